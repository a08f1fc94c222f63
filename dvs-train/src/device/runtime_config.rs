//! Settings of CubeCL for CUDA: how it uses memory, and where it keeps compiled kernels and the
//! results of tuning, so that the next start is quick.
//!
//! CubeCL names a kernel by its type and parameters alone. The folder therefore depends on everything
//! else that a compiled kernel depends on: the GPU's compute capability, the compiler NVRTC and this
//! program. Several processes may use it at the same time, and CubeCL skips lines that it cannot
//! read, such as the last line of a killed process.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use crc32fast::Hasher;
use cubecl::config::cache::CacheConfig;
use cubecl::config::memory::PersistentMemory;
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};

/// Folders of compiled kernels that stay. Those that were used longest ago are deleted.
const FOLDERS: usize = 8;

/// Configures CubeCL for these GPUs and this compiler. The first call decides for the process.
/// Nothing is kept if there is no home directory.
///
/// A training step needs the same sizes of memory again and again. CubeCL therefore allocates each
/// size as it is and uses it again for that size. Its other ways round large sizes up: to pages of
/// 1.3 and 5.4 GB on a GPU of 80 GB. [`Backend::memory_cleanup`] gives back what is unused.
///
/// [`Backend::memory_cleanup`]: burn::tensor::backend::Backend::memory_cleanup
pub fn configure(gpus: &str, compiler: &str) {
    KEPT.get_or_init(|| {
        let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
        config.memory.persistent_memory = PersistentMemory::Enforced;
        if let Some(folder) = folder(gpus, compiler) {
            let kept = || CacheConfig::File(folder.clone());
            config.compilation.cache.get_or_insert_with(kept);
            if matches!(config.autotune.cache, CacheConfig::Target) {
                config.autotune.cache = kept();
            }
            // If folders cannot be deleted, they stay. The next start tries again.
            let _ = keep_recent(&folder);
        }
        let kept = match &config.compilation.cache {
            Some(CacheConfig::File(folder)) => Some(folder.clone()),
            _ => None,
        };
        CubeClRuntimeConfig::set(config);
        kept
    });
}

static KEPT: OnceLock<Option<PathBuf>> = OnceLock::new();

/// Returns the folder of compiled kernels, if they are kept.
pub fn kept() -> Option<&'static Path> {
    KEPT.get()?.as_deref()
}

/// Returns the user's folder of caches, if there is a home directory.
pub fn caches() -> Option<PathBuf> {
    match env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()) {
        Some(folder) => Some(PathBuf::from(folder)),
        None => Some(env::home_dir()?.join(".cache")),
    }
}

/// Returns the folder `~/.cache/dvs-train/kernels/<GPUs>-nvrtc<version>-<program>`.
fn folder(gpus: &str, compiler: &str) -> Option<PathBuf> {
    let program = checksum_of_program().ok()?;
    let name = format!("{gpus}-nvrtc{compiler}-{program:08x}");
    Some(caches()?.join("dvs-train/kernels").join(name))
}

/// Notes that `folder` is used now, and deletes the oldest folders beside it.
fn keep_recent(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    File::open(folder)?.set_modified(SystemTime::now())?;
    let Some(all) = folder.parent() else {
        return Ok(());
    };
    let mut folders = Vec::new();
    for entry in fs::read_dir(all)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    folders.sort();
    let surplus = folders.len().saturating_sub(FOLDERS);
    for (_, old) in &folders[..surplus] {
        fs::remove_dir_all(old)?;
    }
    Ok(())
}

/// Returns the CRC-32 of this program's file. A program that was built anew may have other kernels
/// under the same names.
fn checksum_of_program() -> io::Result<u32> {
    let mut program = File::open(env::current_exe()?)?;
    let mut sum = Sum(Hasher::new());
    io::copy(&mut program, &mut sum)?;
    Ok(sum.0.finalize())
}

struct Sum(Hasher);

impl io::Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
