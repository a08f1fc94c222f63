//! Any bytes as the events of an ATIS.

#![no_main]

#[path = "../../support/readers.rs"]
mod readers;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| readers::atis_bin(bytes));
