//! The tests of the whole program `dvs-train`, one file for each question.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../support/arrays.rs"]
mod arrays;
#[path = "../support/cameras.rs"]
mod cameras;
#[path = "../support/help.rs"]
mod help_pages;
#[path = "../support/job.rs"]
mod job;
#[path = "../support/networks.rs"]
mod networks;
#[path = "../support/train.rs"]
mod support;
#[path = "../support/train_readers.rs"]
mod train_readers;

mod augment;
mod classes;
mod compare;
mod costs;
#[cfg(feature = "cuda")]
mod cuda;
mod device;
mod documents;
mod exports;
mod graphs;
mod help;
mod inputs;
mod learns;
mod messages;
mod models;
mod notation;
mod older_versions;
mod ranks;
mod ranks_that_fail;
mod readers;
mod report;
mod requeue;
mod resume;
mod usage;
