//! Compute devices, and what `--device` means on this machine.
//!
//! A backend panics if its device is missing. So everything that it needs is looked for first, and
//! a device is tried once before it is used.

#[cfg(feature = "cuda")]
pub mod cuda;
mod name;
#[cfg(feature = "cuda")]
mod runtime_config;
#[cfg(feature = "cuda")]
pub mod toolkit;
#[cfg(feature = "vulkan")]
pub mod vulkan;

use std::fmt;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow, ensure};
#[cfg(feature = "cuda")]
use burn::backend::cuda::CudaDevice;
#[cfg(feature = "vulkan")]
use burn::backend::wgpu::WgpuDevice;
use dvs_ranks::RankError;
use serde::Serialize;

use crate::console::numbers::bytes;

pub use self::name::DeviceName;

/// A compute device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    Cpu,
    /// An NVIDIA GPU.
    #[cfg(feature = "cuda")]
    Cuda(CudaDevice),
    /// A device with a Vulkan driver, and its index.
    #[cfg(feature = "vulkan")]
    Vulkan(WgpuDevice, usize),
}

impl Device {
    /// Compares the bytes that a training and a test step need with what a GPU has. Returns a line
    /// that says all of them, or `None` for a device whose memory is not known.
    ///
    /// # Errors
    /// Returns an error if less is free.
    pub fn check_memory(&self, training: u64, test: u64) -> Result<Option<String>> {
        let Some((free, all)) = self.free_memory() else {
            return Ok(None);
        };
        let line = format!(
            "a training step needs about {} of memory and a test step {}; {} of {self}'s {} are free",
            bytes(training),
            bytes(test),
            bytes(free),
            bytes(all)
        );
        ensure!(training.max(test) <= free, "not enough memory: {line}");
        Ok(Some(line))
    }

    /// Returns the free and all bytes of a GPU's own memory, if known.
    fn free_memory(&self) -> Option<(u64, u64)> {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(device) => cuda::free_memory(device.index),
            _ => None,
        }
    }

    /// Whether compiled kernels are kept for later runs.
    pub fn keeps_kernels(&self) -> bool {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(_) => true,
            _ => false,
        }
    }

    /// Returns a line that says where compiled kernels are kept, if they are.
    pub fn kernels_note(&self) -> Option<String> {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(_) => Some(format!(
                "kernels are kept in {}; the first steps compile those that are missing",
                runtime_config::kept()?.display()
            )),
            _ => None,
        }
    }

    /// Bytes of a GPU's own memory, if known.
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

/// Evaluates an expression for the backend of a [`Device`]:
/// `on_device!(device, |B, device| f::<B>(device))`.
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

/// The device that `name` means here. `auto` is `cuda:0` if it works, else the CPU.
///
/// # Errors
/// Returns an error if the device is missing or does not work; the message says why and how to fix
/// it.
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

/// Runs a small computation that needs kernels, and checks its result.
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
    // Faults of the driver or the compiler appear only now, as panics in a thread of the backend.
    let reason = panics.into_iter().next().unwrap_or(outcome);
    let reason = brief(&reason);
    Err(match short_of_memory(reason) {
        true => anyhow!("its memory is full ({reason}); see what else uses it"),
        false => anyhow!("it failed a first computation: {reason}"),
    })
}

/// Returns the line of a backend's message that says most. Other lines repeat it, show a backtrace
/// or the source of a kernel.
fn brief(reason: &str) -> &str {
    let lines = || {
        reason
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
    };
    let telling = ["DriverError(", "nvrtc: error", "error:"];
    let line = lines().find(|line| telling.iter().any(|words| line.contains(words)));
    let line = line.or_else(|| lines().next()).unwrap_or(reason);
    line.trim_start_matches("called `Result::unwrap()` on an `Err` value: ")
}

/// Messages of panics since the last call of [`catching_panics`].
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn panics() -> MutexGuard<'static, Vec<String>> {
    PANICS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the result of a function, `None` if it panics, and the messages of all panics meanwhile,
/// which are not printed.
fn catching_panics<T>(f: impl FnOnce() -> T) -> (Option<T>, Vec<String>) {
    // Tests run at the same time in one process.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    panics().clear();
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or("no reason given");
        panics().push(message.trim().to_owned());
    }));
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    panic::set_hook(hook);
    (result.ok(), mem::take(&mut panics()))
}

/// Checks within [`guard`] that no thread of a backend has failed so far, before results are kept.
///
/// # Errors
/// Returns an error if one has; [`guard`] then returns its reason.
pub fn check_threads() -> Result<()> {
    ensure!(
        panics().is_empty(),
        "the results so far are not to be trusted"
    );
    Ok(())
}

/// Runs `work` on `device`. A GPU backend reports failures as panics, often in a thread of its own
/// while `work` goes on with wrong values; here they become errors. `remedy` says what to do if
/// memory ran out.
///
/// # Errors
/// Returns an error if `work` does, or if the backend panics.
pub fn guard<T>(device: &Device, remedy: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    if *device == Device::Cpu {
        panics().clear();
        return work();
    }
    let (result, panics) = catching_panics(work);
    let reason = panics.first().map(|reason| brief(reason));
    let result = match (result, reason) {
        (None, reason) => Err(anyhow!("{device} failed: {}", reason.unwrap_or_default())),
        // An error of `work` may follow from that of the backend's thread, and then repeats it.
        (Some(Err(error)), Some(reason)) => Err(anyhow!("{device} failed: {reason} ({error})")),
        // A thread of the backend did not do its part, so the result is not to be trusted.
        (Some(Ok(_)), Some(reason)) => Err(anyhow!("{device} failed: {reason}")),
        (Some(result), None) => result,
    };
    let own = |error: &anyhow::Error| !error.is::<RankError>();
    result.map_err(
        |error| match own(&error) && short_of_memory(&format!("{error:#}")) {
            true => error.context(format!("out of memory on {device}; {remedy}")),
            false => error,
        },
    )
}

/// Returns the remedy of [`guard`] for a command with batches of `batch_size` samples, which `ranks`
/// ranks share.
pub fn smaller_batch(batch_size: usize, ranks: usize) -> String {
    let each = (batch_size / ranks / 2).max(1);
    format!("try a smaller batch, as with --batch-size {}", each * ranks)
}

/// Whether a message of a backend or driver means that memory ran out.
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

/// The devices of this machine.
#[derive(Debug, Serialize)]
pub struct DeviceList {
    pub devices: Vec<ListedDevice>,
    /// The device that `auto` means.
    pub auto: String,
    /// What compiles kernels for CUDA; `None` if something is missing.
    pub cuda_toolkit: Option<CudaToolkit>,
}

/// CUDA's compiler and headers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CudaToolkit {
    /// Version of the compiler NVRTC, such as 12.8.
    pub nvrtc: String,
    /// Folder of the toolkit, in which `include` has the headers.
    pub folder: PathBuf,
}

/// A device, or a kind of devices of which there is none.
#[derive(Debug, Serialize)]
pub struct ListedDevice {
    /// The name for `--device`; `None` if there is no device of this kind.
    pub name: Option<String>,
    /// `cpu`, `cuda` or `vulkan`.
    pub kind: &'static str,
    /// What the device is.
    pub description: Option<String>,
    /// Why it cannot be used, or why there is none; `None` if it can be used.
    pub reason: Option<String>,
}

/// Lists the devices, and why any cannot be used.
pub fn list() -> DeviceList {
    let cpu = ListedDevice {
        name: Some("cpu".to_owned()),
        kind: "cpu",
        description: Some("this processor, in 32 bits".to_owned()),
        reason: None,
    };
    let mut devices = vec![cpu];
    devices.extend(listed("cuda", cuda_gpus(), cuda));
    devices.extend(listed("vulkan", vulkan_devices(), vulkan));
    let auto = cuda(0).unwrap_or(Device::Cpu).to_string();
    #[cfg(feature = "cuda")]
    let cuda_toolkit = toolkit::find().ok();
    #[cfg(not(feature = "cuda"))]
    let cuda_toolkit = None;
    DeviceList {
        devices,
        auto,
        cuda_toolkit,
    }
}

/// Lists the devices of a kind, or says why there is none.
fn listed(
    kind: &'static str,
    found: Result<Vec<String>>,
    resolve: impl Fn(usize) -> Result<Device>,
) -> Vec<ListedDevice> {
    let found = match found {
        Ok(found) => found,
        Err(reason) => {
            return vec![ListedDevice {
                name: None,
                kind,
                description: None,
                reason: Some(format!("{reason:#}")),
            }];
        }
    };
    let device = |(index, description)| ListedDevice {
        name: Some(format!("{kind}:{index}")),
        kind,
        description: Some(description),
        reason: resolve(index).err().map(|reason| format!("{reason:#}")),
    };
    found.into_iter().enumerate().map(device).collect()
}

impl fmt::Display for DeviceList {
    /// Formats a line for each device, and what `auto` means.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for device in &self.devices {
            let name = device.name.as_deref().unwrap_or(device.kind);
            write!(
                f,
                "{name:<9} {}",
                device.description.as_deref().unwrap_or("none")
            )?;
            match (&device.name, &device.reason) {
                (_, None) => writeln!(f)?,
                (None, Some(reason)) => writeln!(f, ": {reason}")?,
                (Some(_), Some(reason)) => writeln!(f, "; cannot be used: {reason}")?,
            }
        }
        if let Some(CudaToolkit { nvrtc, folder }) = &self.cuda_toolkit {
            writeln!(
                f,
                "CUDA's compiler NVRTC {nvrtc}, headers in {}/include",
                folder.display()
            )?;
        }
        writeln!(f, "--device auto means {}", self.auto)
    }
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
