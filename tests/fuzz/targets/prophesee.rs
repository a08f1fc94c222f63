//! Any words in the encodings of Prophesee's files.

#![no_main]

#[path = "../../support/readers.rs"]
mod readers;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| readers::prophesee(bytes));
