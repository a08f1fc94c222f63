//! Keeps compiled kernels and the results of tuning on disk, so that the next start is quick.
//!
//! CubeCL names a kernel by its type and parameters alone. The folder therefore depends on everything
//! else that a compiled kernel depends on: the GPU's compute capability, the compiler NVRTC and this
//! program. Folders of older programs stay until somebody deletes them. Several
//! processes may use it at the same time, and CubeCL skips lines that it cannot read, such as the
//! last line of a killed process.

use std::env;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Once;

use crc32fast::Hasher;
use cubecl::config::cache::CacheConfig;
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};

/// Makes CubeCL keep what it compiles and tunes for these GPUs and this compiler. The first call
/// decides for the process. Nothing is kept if there is no home directory.
pub fn keep(gpus: &str, compiler: &str) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let Some(folder) = folder(gpus, compiler) else {
            return;
        };
        let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
        let kept = || CacheConfig::File(folder.clone());
        config.compilation.cache.get_or_insert_with(kept);
        if matches!(config.autotune.cache, CacheConfig::Target) {
            config.autotune.cache = kept();
        }
        CubeClRuntimeConfig::set(config);
    });
}

/// Returns the folder `~/.cache/dvs-train/kernels/<GPUs>-nvrtc<version>-<program>`.
fn folder(gpus: &str, compiler: &str) -> Option<PathBuf> {
    let caches = match env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => env::home_dir()?.join(".cache"),
    };
    let program = checksum_of_program().ok()?;
    let name = format!("{gpus}-nvrtc{compiler}-{program:08x}");
    Some(caches.join("dvs-train/kernels").join(name))
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
