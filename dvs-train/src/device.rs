//! What there is to compute on, and what a `--device` means here.
//!
//! A backend panics where its device is missing. So everything that it needs is looked for first, and a device is
//! tried once before it is used.

#[cfg(feature = "cuda")]
pub mod cuda;
mod name;
#[cfg(feature = "vulkan")]
pub mod vulkan;

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};
#[cfg(feature = "cuda")]
use burn::backend::cuda::CudaDevice;
#[cfg(feature = "vulkan")]
use burn::backend::wgpu::WgpuDevice;

pub use self::name::DeviceName;

/// Where to compute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    Cpu,
    /// An NVIDIA GPU.
    #[cfg(feature = "cuda")]
    Cuda(CudaDevice),
    /// A device with a Vulkan driver, and its index.
    #[cfg(feature = "vulkan")]
    Vulkan(WgpuDevice, usize),
}

impl Device {
    /// Bytes of memory that a GPU has of its own, where that is known.
    pub fn memory(&self) -> Option<u64> {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(device) => cuda::memory(device.index),
            _ => None,
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => write!(f, "cpu"),
            #[cfg(feature = "cuda")]
            Self::Cuda(device) => write!(f, "cuda:{}", device.index),
            #[cfg(feature = "vulkan")]
            Self::Vulkan(_, index) => write!(f, "vulkan:{index}"),
        }
    }
}

/// Evaluates an expression for the backend of a [`Device`]: `on_device!(device, |B, device| f::<B>(device))`.
macro_rules! on_device {
    ($device:expr, |$backend:ident, $name:ident| $body:expr) => {
        match $device {
            $crate::device::Device::Cpu => {
                type $backend = burn::backend::Flex;
                let $name = &burn::backend::flex::FlexDevice;
                $body
            }
            #[cfg(feature = "cuda")]
            $crate::device::Device::Cuda($name) => {
                type $backend = burn::backend::Cuda;
                $body
            }
            #[cfg(feature = "vulkan")]
            $crate::device::Device::Vulkan($name, _) => {
                type $backend = burn::backend::Vulkan;
                $body
            }
        }
    };
}
pub(crate) use on_device;

/// The device that `name` means here. `auto` is the first CUDA device that works, else the processor.
///
/// # Errors
/// Where what was asked for is missing or does not work; says why, and what would help.
pub fn resolve(name: DeviceName) -> Result<Device> {
    let found = match name {
        DeviceName::Cpu => Ok(Device::Cpu),
        DeviceName::Auto => Ok(cuda(0).unwrap_or_else(|reason| {
            if has_nvidia_driver() {
                eprintln!(
                    "dvs-train: computing on the CPU, because cuda:0 cannot be used: {reason:#}"
                );
            }
            Device::Cpu
        })),
        DeviceName::Cuda(index) => cuda(index),
        DeviceName::Vulkan(index) => vulkan(index),
    };
    found.with_context(|| format!("--device {name} cannot be used"))
}

/// Whether NVIDIA's driver is installed.
fn has_nvidia_driver() -> bool {
    #[cfg(feature = "cuda")]
    let there = cuda::has_driver();
    #[cfg(not(feature = "cuda"))]
    let there = std::path::Path::new("/proc/driver/nvidia/version").exists();
    there
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Result<Device> {
    cuda::find(index)?;
    let device = CudaDevice::new(index);
    try_out::<burn::backend::Cuda>(&device)?;
    Ok(Device::Cuda(device))
}

#[cfg(not(feature = "cuda"))]
fn cuda(_: usize) -> Result<Device> {
    Err(left_out("cuda"))
}

#[cfg(feature = "vulkan")]
fn vulkan(index: usize) -> Result<Device> {
    let device = vulkan::find(index)?;
    try_out::<burn::backend::Vulkan>(&device)?;
    Ok(Device::Vulkan(device, index))
}

#[cfg(not(feature = "vulkan"))]
fn vulkan(_: usize) -> Result<Device> {
    Err(left_out("vulkan"))
}

#[cfg(not(all(feature = "cuda", feature = "vulkan")))]
fn left_out(feature: &str) -> anyhow::Error {
    anyhow!(
        "this dvs-train was built without {feature}; build it anew: cargo build --release --features {feature}"
    )
}

/// Computes something that takes kernels, and looks at what comes out.
#[cfg(feature = "gpu")]
fn try_out<B: burn::tensor::backend::Backend>(device: &B::Device) -> Result<()> {
    use burn::tensor::{ElementConversion, Tensor};
    let compute = || {
        (Tensor::<B, 1>::ones([2], device) + 1.0)
            .sum()
            .try_into_scalar()
    };
    let (result, panics) = catching_panics(compute);
    let outcome = match result {
        Some(Ok(sum)) if sum.elem::<f32>() == 4.0 => return Ok(()),
        Some(Ok(sum)) => format!("2 + 2 is {sum:?} there"),
        Some(Err(error)) => format!("{error:?}"),
        None => "it panicked".to_owned(),
    };
    // What the driver or the compiler lacks shows only now, and as a panic in a thread of the backend's.
    let reason = panics.into_iter().next().unwrap_or(outcome);
    Err(anyhow!("it failed a first computation: {reason}"))
}

/// What a function returns, none where it panics, and the messages of all panics meanwhile, which are not printed.
fn catching_panics<T>(f: impl FnOnce() -> T) -> (Option<T>, Vec<String>) {
    let messages = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&messages);
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or("no reason given");
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(message.trim().to_owned());
    }));
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    panic::set_hook(hook);
    let messages = messages.lock().unwrap_or_else(PoisonError::into_inner);
    (result.ok(), messages.clone())
}

/// What `work` on `device` in batches of `batch_size` gives. A GPU backend says by a panic what it cannot do; here that
/// is an error, and where memory was short one that says what may fit.
///
/// # Errors
/// Those of `work`; or the backend panicked.
pub fn guard<T>(device: &Device, batch_size: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
    if *device == Device::Cpu {
        return work();
    }
    let (result, panics) = catching_panics(work);
    // Backtraces may follow.
    let reason = panics.first().and_then(|reason| reason.lines().next());
    let result = match (result, reason) {
        (None, reason) => Err(anyhow!("{device} failed: {}", reason.unwrap_or_default())),
        // Another thread's panic is why.
        (Some(Err(error)), Some(reason)) => {
            Err(error.context(format!("{device} failed: {reason}")))
        }
        (Some(result), _) => result,
    };
    result.map_err(|error| match short_of_memory(&format!("{error:#}")) {
        true => error.context(format!(
            "out of memory on {device}; try a smaller batch, as with -b {} and --test-batch-size, fewer --channels, or \
             --frames-in memory if the frames are on the device",
            (batch_size / 2).max(1)
        )),
        false => error,
    })
}

/// Whether what a backend or driver said is that it has no memory left.
fn short_of_memory(reason: &str) -> bool {
    let reason = reason.to_lowercase().replace(['_', '-', ' ', '\''], "");
    [
        "outofmemory",
        "notenoughmemory",
        "buffertoobig",
        "cantallocatebuffer",
    ]
    .iter()
    .any(|words| reason.contains(words))
}

/// A table of what there is, and why something cannot be used.
pub fn table() -> String {
    let mut text = String::from("cpu       this processor, in 32 bits\n");
    text += &lines("cuda", cuda_gpus(), cuda);
    text += &lines("vulkan", vulkan_devices(), vulkan);
    let auto = cuda(0).unwrap_or(Device::Cpu);
    text + &format!("--device auto means {auto}\n")
}

/// A line for each device of a kind, or one that says why there is none.
fn lines(
    kind: &str,
    found: Result<Vec<String>>,
    resolve: impl Fn(usize) -> Result<Device>,
) -> String {
    let found = match found {
        Ok(found) => found,
        Err(reason) => return format!("{kind:<9} none: {reason:#}\n"),
    };
    let line = |(index, what): (usize, &String)| {
        let name = format!("{kind}:{index}");
        match resolve(index) {
            Ok(_) => format!("{name:<9} {what}\n"),
            Err(reason) => format!("{name:<9} {what}; cannot be used: {reason:#}\n"),
        }
    };
    found.iter().enumerate().map(line).collect()
}

fn cuda_gpus() -> Result<Vec<String>> {
    #[cfg(feature = "cuda")]
    let gpus = Ok(cuda::gpus()?.iter().map(ToString::to_string).collect());
    #[cfg(not(feature = "cuda"))]
    let gpus = Err(left_out("cuda"));
    gpus
}

fn vulkan_devices() -> Result<Vec<String>> {
    #[cfg(feature = "vulkan")]
    let devices = Ok(vulkan::devices()?.iter().map(ToString::to_string).collect());
    #[cfg(not(feature = "vulkan"))]
    let devices = Err(left_out("vulkan"));
    devices
}

#[cfg(test)]
mod tests;
