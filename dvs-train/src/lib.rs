//! `dvs-train`: trains spiking neural networks on the frame cache that `dvs-prep` makes.
//!
//! Each module below uses only those above it, which `architecture` tests. [`data`] reads the
//! cache, [`nn`] is the network, [`optim`] updates its weights, [`train`] runs the training loop,
//! [`run_dir`] keeps a run's files, and [`commands`] has one file per command.

// Only the program uses this library, so its documentation is for developers.
#![allow(rustdoc::private_intra_doc_links)]

#[cfg(all(test, not(feature = "vulkan")))]
compile_error!("GPU kernels are tested through Vulkan: test with --features vulkan");

mod console;

mod metrics;

mod device;

mod optim;

mod data;

mod nn;

mod config;

mod run_dir;

mod interop;

mod train;

mod cli;

mod commands;

pub mod fuzzing;

#[cfg(test)]
mod testing;

#[cfg(test)]
#[path = "../../tests/support/architecture.rs"]
mod architecture;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, argparse_compat};
use crate::commands::{
    bench, compare, devices, eval, export, import, manual, predict, preview, profile, report,
    train as training,
};
use crate::run_dir::run_folder::FolderInUse;

/// Exit status if another process trains the same run: EX_TEMPFAIL of the BSD systems' sysexits.h, to
/// try again later.
const FOLDER_IN_USE: u8 = 75;

/// Finds what CUDA needs in NVIDIA's packages from PyPI, if it is nowhere else.
///
/// # Safety
/// No other thread may run, because this may set an environment variable.
pub unsafe fn use_cuda_packages() {
    #[cfg(feature = "cuda")]
    // SAFETY: the caller promises that no other thread runs.
    unsafe {
        device::toolkit::use_packages();
    }
}

/// Parses the command line, runs the command and returns the exit status.
pub fn main() -> ExitCode {
    let cli = Cli::parse_from(argparse_compat::translate(std::env::args_os()));
    let result = match cli.chosen() {
        Command::Train(args) => match training::run(&args) {
            Ok(Some(reason)) => return ExitCode::from(reason.exit_status()),
            done => done.map(drop),
        },
        Command::Eval(args) => eval::run(&args),
        Command::Profile(args) => profile::run(&args),
        Command::Preview(args) => preview::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Devices(args) => devices::run(&args),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed.
            let _ = writeln!(io::stderr(), "dvs-train: {error:#}");
            match error.is::<FolderInUse>() {
                true => ExitCode::from(FOLDER_IN_USE),
                false => ExitCode::FAILURE,
            }
        }
    }
}
