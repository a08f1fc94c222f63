//! Any bytes as an archive, its container told by its first bytes.

#![no_main]

#[path = "../../support/readers.rs"]
mod readers;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| readers::archive(bytes));
