//! CUDA's compiler NVRTC and the headers that kernels include, wherever they are installed.
//!
//! The first of these that has the headers counts: `$CUDA_PATH`, the usual places of a CUDA toolkit,
//! and NVIDIA's packages from PyPI in the Python environment of this program or the active one.

use std::env;
use std::fs;
use std::io;
use std::mem;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result, ensure};
use cubecl::cuda::install::cuda_path;
use cudarc::nvrtc;
use libloading::Library;

use super::CudaToolkit;
use super::runtime_config::caches;

const CUDA_PATH: &str = "CUDA_PATH";
/// A header that all kernels include.
const HEADER: &str = "include/cuda_runtime.h";

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
    const REMEDY: &str = "pip install 'dvs-train[cuda]' brings it, and so does the CUDA toolkit, whose directory $CUDA_PATH names";
    let folder = cuda_path();
    // SAFETY: this loads NVIDIA's library, whose initialisers depend on nothing else.
    let known = || unsafe { nvrtc::sys::is_culib_present() };
    if !known()
        && let Some(library) = folder.as_deref().and_then(compiler_of)
    {
        // SAFETY: as above.
        if let Ok(library) = unsafe { Library::new(library) } {
            // As long as it stays loaded, the loader finds it by its name, in whatever folder it is.
            mem::forget(library);
        }
    }
    ensure!(
        known(),
        "CUDA's compiler libnvrtc.so cannot be loaded; {REMEDY}"
    );
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
        .find_map(|folder| compiler_in(&toolkit.join(folder)))
}

/// Returns the newest libnvrtc.so of a folder.
fn compiler_in(folder: &Path) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.and_then(|name| name.strip_prefix("libnvrtc.so"))
                .is_some_and(|rest| !rest.contains("alt"))
        })
        .collect();
    found.sort();
    found.pop()
}

/// Returns the folders of Python packages beside this program and of the active environment.
fn site_packages() -> Vec<PathBuf> {
    let program = env::current_exe().ok();
    let beside = program.and_then(|program| Some(program.parent()?.parent()?.to_owned()));
    let active = ["VIRTUAL_ENV", "CONDA_PREFIX"].map(|name| env::var_os(name).map(PathBuf::from));
    let mut found = Vec::new();
    for environment in [beside].into_iter().chain(active).flatten() {
        let Ok(versions) = fs::read_dir(environment.join("lib")) else {
            continue;
        };
        for version in versions.flatten() {
            if version
                .file_name()
                .as_encoded_bytes()
                .starts_with(b"python3")
            {
                found.push(version.path().join("site-packages"));
            }
        }
        // What `pip install --target` makes.
        found.push(environment);
    }
    found
}

/// Returns the folder of a toolkit in `site`: with `include`, and `lib` with NVRTC.
fn toolkit_of(site: &Path) -> Option<PathBuf> {
    let nvidia = site.join("nvidia");
    // The packages of CUDA 13 and newer share a folder.
    let mut shared: Vec<PathBuf> = fs::read_dir(&nvidia)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join(HEADER).is_file() && compiler_in(&path.join("lib")).is_some())
        .collect();
    shared.sort();
    if let Some(toolkit) = shared.pop() {
        return Some(toolkit);
    }
    let compiler = compiler_in(&nvidia.join("cuda_nvrtc/lib"))?;
    if !nvidia.join("cuda_runtime").join(HEADER).is_file() {
        return None;
    }
    linked(&nvidia, &compiler).ok()
}

/// Makes one folder of links to the packages of CUDA 12, each of which has a folder of its own.
fn linked(nvidia: &Path, compiler: &Path) -> io::Result<PathBuf> {
    let caches = caches().ok_or(io::ErrorKind::NotFound)?;
    let name = crc32fast::hash(nvidia.as_os_str().as_encoded_bytes());
    let toolkit = caches.join(format!("dvs-train/cuda-{name:08x}"));
    if toolkit.join(HEADER).is_file()
        && compiler_in(&toolkit.join("lib")).is_some_and(|path| path.exists())
    {
        return Ok(toolkit);
    }
    fs::create_dir_all(caches.join("dvs-train"))?;
    let part = caches.join(format!("dvs-train/cuda-{name:08x}.{}", process::id()));
    fs::create_dir_all(part.join("include"))?;
    for package in fs::read_dir(nvidia)?.flatten() {
        let Ok(headers) = fs::read_dir(package.path().join("include")) else {
            continue;
        };
        for header in headers.flatten() {
            match symlink(header.path(), part.join("include").join(header.file_name())) {
                // Each package has one.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                linked => linked?,
            }
        }
    }
    let libraries = compiler.parent().ok_or(io::ErrorKind::NotFound)?;
    symlink(libraries, part.join("lib"))?;
    // Links to packages that are no longer there.
    let _ = fs::remove_dir_all(&toolkit);
    match fs::rename(&part, &toolkit) {
        Ok(()) => Ok(toolkit),
        // Another process was faster.
        Err(_) if toolkit.join(HEADER).is_file() => {
            fs::remove_dir_all(&part)?;
            Ok(toolkit)
        }
        Err(error) => Err(error),
    }
}
