//! Any bytes as a checkpoint of dvs-train.

#![no_main]

#[path = "../../support/train_readers.rs"]
mod readers;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    readers::checkpoint(bytes);
});
