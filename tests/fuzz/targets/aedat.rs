//! Any bytes as a recording, of a sensor so small that counting takes no time.

#![no_main]

#[path = "../../support/readers.rs"]
mod readers;

use dvs_shared::SensorSize;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| readers::aedat(bytes, SensorSize { width: 16, height: 8 }));
