//! The tests of the whole program `dvs-prep`, one file for each question.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../support/cameras.rs"]
mod cameras;
#[path = "../support/help.rs"]
mod help_pages;
#[path = "../support/inputs.rs"]
mod inputs;
#[path = "../support/prophesee.rs"]
mod prophesee_files;
#[path = "../support/readers.rs"]
mod readers;
#[path = "../support/running.rs"]
mod running;
#[path = "../support/mod.rs"]
mod support;

mod at_once;
mod atis_bin;
mod cameras_and_classes;
mod ci;
mod class_folders;
mod conventions;
mod damage;
mod errors;
mod exports;
mod faults;
mod foreign_caches;
mod found;
mod help;
mod hostile;
mod interrupted;
mod irregular_files;
mod memory;
mod messages;
mod no_locks;
mod older_versions;
mod peer_frames;
mod properties;
mod prophesee;
mod reader_properties;
mod recognised;
mod recording_formats;
mod sample_files;
mod signals;
mod skipped;
mod synthetic_classes;
mod truncated;
mod view;
mod windows;
