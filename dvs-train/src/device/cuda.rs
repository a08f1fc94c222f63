//! NVIDIA GPUs, and what CUDA needs: the driver, the compiler NVRTC and the toolkit's headers, all
//! found at run time.

use std::fmt;

use anyhow::{Context, Result, anyhow, ensure};
use cudarc::driver::result::{self, DriverError};
use cudarc::{driver, nvrtc};

/// A GPU, as the driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    name: String,
    /// In bytes.
    memory: usize,
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} MiB", self.name, self.memory >> 20)
    }
}

/// Whether NVIDIA's driver is installed.
pub fn has_driver() -> bool {
    // SAFETY: this loads NVIDIA's library through the system's loader, which runs its initialisers.
    unsafe { driver::sys::is_culib_present() }
}

/// The GPUs that the driver lists, in its order; at least one.
///
/// # Errors
/// Returns an error if there is no GPU or something is missing; the message says what, and how to
/// fix it.
pub fn gpus() -> Result<Vec<Gpu>> {
    ensure!(
        has_driver(),
        "libcuda.so.1 cannot be loaded; install NVIDIA's driver (in a container, start it with the GPU)"
    );
    let failed = |error: DriverError| anyhow!("NVIDIA's driver answers {:?}", error.0);
    result::init()
        .map_err(failed)
        .context("the driver finds no GPU that it can use; see what nvidia-smi says")?;
    let count = result::device::get_count().map_err(failed)?;
    ensure!(
        count > 0,
        "the driver sees no GPU; see nvidia-smi, and whether $CUDA_VISIBLE_DEVICES hides it"
    );
    let gpus = (0..count).map(|index| {
        let gpu = result::device::get(index).map_err(failed)?;
        Ok(Gpu {
            name: result::device::get_name(gpu).map_err(failed)?,
            // SAFETY: `gpu` comes from `get`.
            memory: unsafe { result::device::total_mem(gpu) }.map_err(failed)?,
        })
    });
    let gpus = gpus.collect::<Result<_>>()?;
    check_compiler()?;
    Ok(gpus)
}

/// Checks that there is a GPU with the given index.
///
/// # Errors
/// Returns an error if there is none, or it cannot be used.
pub fn find(index: usize) -> Result<()> {
    let last = gpus()?.len() - 1;
    ensure!(
        index <= last,
        "cuda:{last} is the last device of its kind; dvs-train devices lists them"
    );
    Ok(())
}

/// Bytes of memory of a GPU.
pub fn memory(index: usize) -> Option<u64> {
    gpus().ok()?.get(index).map(|gpu| gpu.memory as u64)
}

/// Checks for NVRTC and the headers, because kernels are compiled on first use.
fn check_compiler() -> Result<()> {
    // SAFETY: as in `has_driver`.
    let there = unsafe { nvrtc::sys::is_culib_present() };
    ensure!(
        there,
        "CUDA's compiler libnvrtc.so cannot be loaded; install the CUDA toolkit, and name the directory of its \
         libraries in $LD_LIBRARY_PATH"
    );
    let toolkit = cubecl::cuda::install::cuda_path().context(
        "the CUDA toolkit's headers are not found; install the toolkit, and name its directory in $CUDA_PATH",
    )?;
    let header = toolkit.join("include/cuda_runtime.h");
    ensure!(
        header.is_file(),
        "{} does not exist; name the directory of the CUDA toolkit in $CUDA_PATH",
        header.display()
    );
    Ok(())
}
