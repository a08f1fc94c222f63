//! CUDA's compiler NVRTC and the headers that kernels include, wherever they are installed.
//!
//! If `$CUDA_PATH` is set, it names the toolkit. Otherwise the toolkit is in its usual place, or
//! consists of NVIDIA's packages from PyPI in the Python environment of this program or the active
//! one.

use std::env;
use std::fs;
use std::io;
use std::mem;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use crc32fast::Hasher;
use cubecl::cuda::install::cuda_path;
use cudarc::{driver, nvrtc};
use libloading::Library;

use super::CudaToolkit;
use super::runtime_config::caches;

const CUDA_PATH: &str = "CUDA_PATH";
/// A header that all kernels include.
const HEADER: &str = "include/cuda_runtime.h";
const REMEDY: &str = "pip install 'dvs-train[cuda]' brings it, and so does the CUDA toolkit, whose directory $CUDA_PATH names";

/// Makes `$CUDA_PATH` name NVIDIA's packages from PyPI if there is no other toolkit.
///
/// # Safety
/// No other thread may run, because this sets an environment variable.
pub unsafe fn use_packages() {
    let named = env::var_os(CUDA_PATH).is_some();
    if named || cuda_path().is_some_and(|folder| folder.join(HEADER).is_file()) {
        return;
    }
    if let Some(folder) = site_packages().iter().find_map(|site| toolkit_of(site)) {
        // SAFETY: the caller promises that no other thread runs.
        unsafe { env::set_var(CUDA_PATH, folder) };
    }
}

/// Finds the toolkit and loads its compiler, because kernels are compiled on first use.
///
/// # Errors
/// Returns an error if something is missing; the message says what, and how to fix it.
pub fn find() -> Result<CudaToolkit> {
    let folder = cuda_path();
    if let Some(library) = folder.as_deref().and_then(compiler_of) {
        load(&library)?;
    }
    // SAFETY: this loads NVIDIA's library, whose initialisers depend on nothing else.
    let there = unsafe { nvrtc::sys::is_culib_present() };
    ensure!(there, "CUDA's compiler libnvrtc.so is not found; {REMEDY}");
    let folder = folder.with_context(|| format!("no headers of CUDA are found; {REMEDY}"))?;
    let header = folder.join(HEADER);
    ensure!(
        header.is_file(),
        "{} does not exist; name the directory of the CUDA toolkit in $CUDA_PATH",
        header.display()
    );
    let [major, minor] = compiler_version()?;
    Ok(CudaToolkit {
        nvrtc: format!("{major}.{minor}"),
        folder,
    })
}

/// Loads a toolkit's NVRTC. As long as it stays loaded, the system's loader finds it by its name, in
/// whatever folder it is.
fn load(library: &Path) -> Result<()> {
    // NVRTC opens this one by its name, and CUDA 13's packages do not say where it is.
    let builtins = newest(library.parent().unwrap_or(library), "libnvrtc-builtins.so");
    for library in builtins.iter().map(PathBuf::as_path).chain([library]) {
        // SAFETY: these are NVIDIA's libraries, whose initialisers depend on nothing else.
        let loaded = unsafe { Library::new(library) };
        mem::forget(
            loaded.map_err(|error| anyhow!("{} cannot be loaded: {error}", library.display()))?,
        );
    }
    Ok(())
}

/// Returns the version of NVRTC, such as `[12, 4]`.
///
/// # Errors
/// Returns an error if NVRTC does not say it.
pub fn compiler_version() -> Result<[i32; 2]> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both pointers are valid for the call.
    let answer = unsafe { nvrtc::sys::nvrtcVersion(&raw mut major, &raw mut minor) };
    ensure!(
        answer == nvrtc::sys::nvrtcResult::NVRTC_SUCCESS,
        "CUDA's compiler NVRTC answers {answer:?} if asked for its version"
    );
    Ok([major, minor])
}

/// Returns NVRTC's library in a toolkit's folder.
fn compiler_of(toolkit: &Path) -> Option<PathBuf> {
    let folders = ["lib64", "lib", "lib/x86_64-linux-gnu"];
    folders
        .iter()
        .find_map(|folder| newest(&toolkit.join(folder), "libnvrtc.so"))
}

/// Returns the library of a folder with this name, and of several the one with the longest version.
fn newest(folder: &Path, library: &str) -> Option<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let name = entry.file_name();
        let version = name.to_str().and_then(|name| name.strip_prefix(library));
        // A second build of NVRTC, for other uses, has "alt" in its name.
        if let Some(version) = version.filter(|version| !version.contains("alt")) {
            found.push((version.len(), entry.path()));
        }
    }
    found.into_iter().max().map(|(_, path)| path)
}

/// Returns the folders of Python packages beside this program and of the active environment.
fn site_packages() -> Vec<PathBuf> {
    let program = env::current_exe().ok();
    let beside = program.and_then(|program| Some(program.parent()?.parent()?.to_owned()));
    let active = ["VIRTUAL_ENV", "CONDA_PREFIX"].map(|name| env::var_os(name).map(PathBuf::from));
    let mut found = Vec::new();
    for environment in [beside].into_iter().chain(active).flatten() {
        for version in entries(&environment.join("lib")) {
            let name = version.file_name().unwrap_or_default();
            if name.as_encoded_bytes().starts_with(b"python3") {
                found.push(version.join("site-packages"));
            }
        }
        // What `pip install --target` makes.
        found.push(environment);
    }
    found
}

/// Returns the paths in a folder, in order.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Returns the folder of a toolkit in `site`: with `include`, and `lib` with NVRTC.
fn toolkit_of(site: &Path) -> Option<PathBuf> {
    let nvidia = site.join("nvidia");
    let has_headers = |folder: &Path| folder.join(HEADER).is_file();
    // Packages of CUDA 13 and newer share a folder, such as cu13.
    let newer = entries(&nvidia).into_iter().rev().find(|folder| {
        let name = folder.file_name().unwrap_or_default();
        name.as_encoded_bytes().starts_with(b"cu1")
            && has_headers(folder)
            && compiler_of(folder).is_some()
    });
    let older = newest(&nvidia.join("cuda_nvrtc/lib"), "libnvrtc.so")
        .filter(|_| has_headers(&nvidia.join("cuda_runtime")));
    match (newer, older) {
        // A driver for CUDA 12 takes nothing from the compiler of CUDA 13.
        (Some(newer), Some(_)) if driver_major().is_none_or(|major| major > 12) => Some(newer),
        (newer, None) => newer,
        (_, Some(compiler)) => linked(site, &compiler)
            .inspect_err(|error| {
                eprintln!(
                    "dvs-train: the packages of CUDA in {} are not used: {error}",
                    site.display()
                );
            })
            .ok(),
    }
}

/// Returns the first number of the CUDA version that the driver supports.
fn driver_major() -> Option<i32> {
    let mut version = 0;
    // SAFETY: loading NVIDIA's driver runs its initialisers, and the pointer is valid for the call.
    let answer = unsafe {
        if !driver::sys::is_culib_present() {
            return None;
        }
        driver::sys::cuDriverGetVersion(&raw mut version)
    };
    (answer == driver::sys::CUresult::CUDA_SUCCESS).then_some(version / 1000)
}

/// Returns one folder of links to the packages of CUDA 12, each of which has a folder of its own. Its
/// name depends on the installed packages, so that it is never changed.
fn linked(site: &Path, compiler: &Path) -> io::Result<PathBuf> {
    let caches =
        caches().ok_or_else(|| io::Error::other("there is no home directory for links"))?;
    let caches = caches.join("dvs-train");
    let mut installed = Hasher::new();
    installed.update(site.as_os_str().as_encoded_bytes());
    for package in entries(site) {
        let name = package.file_name().unwrap_or_default().as_encoded_bytes();
        if name.starts_with(b"nvidia_") {
            installed.update(name);
        }
    }
    let toolkit = caches.join(format!("cuda-{:08x}", installed.finalize()));
    if toolkit.join(HEADER).is_file() && compiler_of(&toolkit).is_some() {
        return Ok(toolkit);
    }
    fs::create_dir_all(&caches)?;
    let part = tempfile::tempdir_in(&caches)?;
    let include = part.path().join("include");
    fs::create_dir(&include)?;
    for package in entries(&site.join("nvidia")) {
        for header in entries(&package.join("include")) {
            match symlink(
                &header,
                include.join(header.file_name().unwrap_or_default()),
            ) {
                // Each package has an `__init__.py`.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made?,
            }
        }
    }
    let libraries = compiler.parent().unwrap_or(compiler);
    symlink(libraries, part.path().join("lib"))?;
    match fs::rename(part.path(), &toolkit) {
        Ok(()) => {
            // It has another name now.
            mem::forget(part);
            Ok(toolkit)
        }
        // Another process was faster.
        Err(_) if toolkit.join(HEADER).is_file() => Ok(toolkit),
        Err(error) => Err(error),
    }
}
