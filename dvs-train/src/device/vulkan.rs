//! Devices with a Vulkan driver.

use std::fmt;

use anyhow::{Context, Result, ensure};
use burn::backend::wgpu::WgpuDevice;

/// The error if there is no device.
const NONE: &str = "no Vulkan driver has a device here; install your GPU's driver (Debian: mesa-vulkan-drivers, \
                        which also computes on the CPU, slowly)";

/// A device, as its driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    name: String,
    kind: &'static str,
    /// The backend's name for it; `None` if it has none.
    pub device: Option<WgpuDevice>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.name, self.kind)
    }
}

/// All devices, in the driver's order; at least one.
///
/// # Errors
/// Returns an error if there is none.
pub fn devices() -> Result<Vec<Found>> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::VULKAN,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapters = cubecl::future::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN));
    let (mut discrete, mut integrated, mut virtual_, mut software) = (0.., 0.., 0.., 0..);
    let next = |counter: &mut std::ops::RangeFrom<usize>| counter.next().unwrap_or_default();
    ensure!(!adapters.is_empty(), NONE);
    let found = adapters
        .into_iter()
        .map(|adapter| {
            // The backend numbers the devices of each kind separately, in this order.
            let info = adapter.get_info();
            let (kind, device) = match info.device_type {
                wgpu::DeviceType::DiscreteGpu => {
                    ("a GPU", Some(WgpuDevice::DiscreteGpu(next(&mut discrete))))
                }
                wgpu::DeviceType::IntegratedGpu => (
                    "an integrated GPU",
                    Some(WgpuDevice::IntegratedGpu(next(&mut integrated))),
                ),
                wgpu::DeviceType::VirtualGpu => (
                    "a virtual GPU",
                    Some(WgpuDevice::VirtualGpu(next(&mut virtual_))),
                ),
                wgpu::DeviceType::Cpu => {
                    let first = next(&mut software) == 0;
                    (
                        "software on the CPU: for tests alone, slow and inexact",
                        first.then_some(WgpuDevice::Cpu),
                    )
                }
                wgpu::DeviceType::Other => ("of an unknown kind", None),
            };
            Found {
                name: info.name,
                kind,
                device,
            }
        })
        .collect();
    Ok(found)
}

/// The device with the given index.
///
/// # Errors
/// Returns an error if there is none.
pub fn find(index: usize) -> Result<WgpuDevice> {
    let devices = devices()?;
    let last = devices.len() - 1;
    let found = devices.get(index).with_context(|| {
        format!("vulkan:{last} is the last device of its kind; dvs-train devices lists them")
    })?;
    let unknown = || format!("{found} is not a device that the backend can name");
    found.device.clone().with_context(unknown)
}
