//! Any bytes as a recording of every format, as a sample and as names of classes.

#![no_main]

#[path = "../../support/readers.rs"]
mod readers;

use dvs_shared::SensorSize;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    readers::formats(bytes, SensorSize { width: 16, height: 8 });
    readers::mapping(bytes);
});
