//! NVIDIA GPUs, and what CUDA needs: the driver, the compiler NVRTC and the toolkit's headers, all
//! found at run time.

use std::fmt;

use anyhow::{Context, Result, anyhow, ensure};
use cudarc::driver::CudaContext;
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{CUdevice_attribute, CUresult};
use cudarc::{driver, nvrtc};

use super::{runtime_config, toolkit};

/// A GPU, as the driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    name: String,
    /// In bytes.
    memory: usize,
    /// Compute capability, such as 90 for 9.0.
    capability: i32,
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
    result::init().map_err(|error| failed(error).context(advice(error.0)))?;
    let count = result::device::get_count().map_err(failed)?;
    ensure!(count > 0, advice(CUresult::CUDA_ERROR_NO_DEVICE));
    let gpus = (0..count).map(|index| {
        let gpu = result::device::get(index).map_err(failed)?;
        // SAFETY: `gpu` comes from `get`.
        let number = |of| unsafe { result::device::get_attribute(gpu, of) }.map_err(failed);
        let major = number(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = number(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        Ok(Gpu {
            name: result::device::get_name(gpu).map_err(failed)?,
            // SAFETY: `gpu` comes from `get`.
            memory: unsafe { result::device::total_mem(gpu) }.map_err(failed)?,
            capability: 10 * major + minor,
        })
    });
    let gpus = gpus.collect::<Result<_>>()?;
    toolkit::find()?;
    Ok(gpus)
}

/// Returns what to do about an answer of the driver when it starts.
fn advice(answer: CUresult) -> &'static str {
    match answer {
        CUresult::CUDA_ERROR_NO_DEVICE => {
            "the driver sees no GPU; see nvidia-smi, and whether $CUDA_VISIBLE_DEVICES hides it"
        }
        CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH => {
            "libcuda.so.1 is not of the version of the kernel's driver; reboot after an update of the driver"
        }
        CUresult::CUDA_ERROR_STUB_LIBRARY => {
            "libcuda.so.1 is the toolkit's stub and no driver; remove its directory from $LD_LIBRARY_PATH"
        }
        _ => "the driver finds no GPU that it can use; see what nvidia-smi says",
    }
}

/// Checks that the GPU with the given index can be used, and configures CubeCL for the GPUs of
/// this machine.
///
/// # Errors
/// Returns an error if there is none, or it cannot be used.
pub fn find(index: usize) -> Result<()> {
    let gpus = gpus()?;
    let last = gpus.len() - 1;
    let gpu = gpus.get(index).with_context(|| {
        format!("cuda:{last} is the last device of its kind; dvs-train devices lists them")
    })?;
    let compiler = toolkit::compiler_version()?;
    check_versions(gpu, compiler)?;
    let mut capabilities: Vec<_> = gpus.iter().map(|gpu| gpu.capability).collect();
    capabilities.sort_unstable();
    capabilities.dedup();
    let names: Vec<_> = capabilities.iter().map(|cc| format!("sm{cc}")).collect();
    let [major, minor] = compiler;
    runtime_config::configure(&names.join("-"), &format!("{major}.{minor}"));
    Ok(())
}

/// Whether a GPU computes in bfloat16.
pub fn has_bf16(index: usize) -> bool {
    let gpus = gpus().unwrap_or_default();
    gpus.get(index).is_some_and(|gpu| gpu.capability >= 80)
}

/// Checks that the driver takes what NVRTC compiles, and that NVRTC compiles for the GPU.
fn check_versions(gpu: &Gpu, compiler: [i32; 2]) -> Result<()> {
    let mut driver = 0;
    // SAFETY: the pointer is valid for the call.
    let answer = unsafe { driver::sys::cuDriverGetVersion(&raw mut driver) };
    ensure!(
        answer == CUresult::CUDA_SUCCESS,
        "NVIDIA's driver answers {answer:?} if asked for its version"
    );
    let driver = [driver / 1000, driver % 1000 / 10];
    let [[major, minor], [theirs, theirs_minor]] = [compiler, driver];
    ensure!(
        compiler <= driver,
        "NVIDIA's driver supports CUDA {theirs}.{theirs_minor}, and CUDA's compiler NVRTC is of CUDA {major}.{minor}; \
         install a newer driver, or the CUDA toolkit {theirs}.{theirs_minor} or an older one"
    );
    let mut number = 0;
    // SAFETY: the pointer is valid for the call.
    let answer = unsafe { nvrtc::sys::nvrtcGetNumSupportedArchs(&raw mut number) };
    let mut known = vec![0; usize::try_from(number).unwrap_or(0)];
    if answer != nvrtc::sys::nvrtcResult::NVRTC_SUCCESS || known.is_empty() {
        return Ok(());
    }
    // SAFETY: there is room for as many numbers as NVRTC just said.
    let answer = unsafe { nvrtc::sys::nvrtcGetSupportedArchs(known.as_mut_ptr()) };
    let (a, b) = (gpu.capability / 10, gpu.capability % 10);
    ensure!(
        answer != nvrtc::sys::nvrtcResult::NVRTC_SUCCESS || known.contains(&gpu.capability),
        "CUDA's compiler NVRTC {major}.{minor} does not compile for this GPU, whose compute capability is {a}.{b}; \
         install a CUDA toolkit that does"
    );
    Ok(())
}

/// Returns the free and all bytes of a GPU's memory.
pub fn free_memory(index: usize) -> Option<(u64, u64)> {
    let context = CudaContext::new(index).ok()?;
    let (free, all) = context.mem_get_info().ok()?;
    Some((free as u64, all as u64))
}

/// Bytes of memory of a GPU.
pub fn memory(index: usize) -> Option<u64> {
    gpus().ok()?.get(index).map(|gpu| gpu.memory as u64)
}
