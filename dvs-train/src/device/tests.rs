#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use burn_snn::testing;

#[test]
fn missing_device_error_suggests_a_remedy() {
    for name in [DeviceName::Cuda(900), DeviceName::Vulkan(900)] {
        let error = format!("{:#}", resolve(name).unwrap_err());
        let remedy = [
            "install",
            "dvs-train devices lists them",
            "nvidia-smi",
            "$CUDA_PATH",
            "build it anew",
        ];
        assert!(
            error.starts_with(&format!("--device {name} cannot be used: ")),
            "{error}"
        );
        assert!(
            remedy.iter().any(|remedy| error.contains(remedy)),
            "{error}"
        );
    }
}

#[test]
fn backend_panics_become_errors_with_advice_on_memory() {
    let device = Device::Vulkan(WgpuDevice::DefaultDevice, 0);
    let failing = |reason: &'static str, batch_size| {
        let remedy = smaller_batch(batch_size, 1);
        let error = guard(&device, &remedy, || -> Result<()> { panic!("{reason}") });
        format!("{:#}", error.unwrap_err())
    };
    let error = failing("can't allocate buffer of size: 1024", 16);
    assert!(
        error.starts_with(
            "out of memory on vulkan:0; try a smaller batch, as with --batch-size 8: "
        ) && error.ends_with(": vulkan:0 failed: can't allocate buffer of size: 1024"),
        "{error}"
    );
    let error = failing("CUDA_ERROR_OUT_OF_MEMORY", 1);
    assert!(error.contains("as with --batch-size 1: "), "{error}");
    let error = guard(&device, "", || -> Result<()> {
        let thread = std::thread::spawn(|| panic!("out of memory"));
        Err(anyhow!("a thread ended: {}", thread.join().is_err()))
    });
    let error = format!("{:#}", error.unwrap_err());
    assert_eq!(
        error,
        "out of memory on vulkan:0; : vulkan:0 failed: out of memory (a thread ended: true)"
    );
    assert_eq!(failing("lost", 16), "vulkan:0 failed: lost");
    // A result that was computed while a thread of the backend failed is not to be trusted.
    let error = guard(&device, "", || {
        let thread = std::thread::spawn(|| panic!("an illegal memory access"));
        Ok(thread.join().is_err())
    });
    assert_eq!(
        error.unwrap_err().to_string(),
        "vulkan:0 failed: an illegal memory access"
    );
    let plain = guard(&device, "", || -> Result<()> { Err(anyhow!("no cache")) });
    assert_eq!(plain.unwrap_err().to_string(), "no cache");
}

#[test]
fn lists_devices_and_resolves_usable_ones() {
    let table = list().to_string();
    assert!(table.starts_with("cpu "), "{table}");
    assert!(table.contains("\ncuda"), "{table}");
    assert!(table.contains("\nvulkan"), "{table}");
    assert_eq!(resolve(DeviceName::Cpu).unwrap(), Device::Cpu);
    if testing::vulkan().is_some() {
        assert!(matches!(
            resolve(DeviceName::Vulkan(0)).unwrap(),
            Device::Vulkan(_, 0)
        ));
        assert!(table.contains("vulkan:0 "), "{table}");
    }
}

#[test]
fn catches_panics_of_all_threads() {
    let (result, panics) = catching_panics(|| {
        let thread = std::thread::spawn(|| panic!("{} is missing", "all"));
        thread.join().unwrap_err();
        panic!("the server is down");
    });
    let _: Option<()> = result;
    assert!(panics.contains(&"all is missing".to_owned()), "{panics:?}");
    assert!(
        panics.contains(&"the server is down".to_owned()),
        "{panics:?}"
    );
    assert_eq!(catching_panics(|| 4).0, Some(4));
}
