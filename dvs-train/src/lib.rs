//! `dvs-train`: trains spiking neural networks on the frame cache that `dvs-prep` makes.
//!
//! The modules stand below in the order in which they may use each other: each uses only those above it, which
//! `architecture` tests. [`data`] reads the cache, [`nn`] is the network, [`optim`] changes its weights, [`train`] puts
//! them together, [`run_dir`] keeps what comes of it, and [`commands`] has one file for each command.

// The library is the program's; its documentation is for those who work on it.
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
#[path = "../../tests/support/architecture.rs"]
mod architecture;

use std::io::{self, Write};
use std::process::ExitCode;

use crate::cli::{Cli, Command, argparse_compat};
use crate::commands::{
    bench, eval, export, import, manual, predict, preview, profile, report, train as training,
};

/// The whole program: reads the command line, does what it says, and gives the exit status.
pub fn main() -> ExitCode {
    let (cli, typed) = Cli::read(argparse_compat::translate(std::env::args_os()));
    let result = match cli.chosen() {
        Command::Train(args) => match training::run(*args, &typed) {
            Ok(Some(signal)) => return ExitCode::from(signal.exit_status()),
            done => done.map(drop),
        },
        Command::Eval(args) => eval::run(&args),
        Command::Profile(args) => profile::run(&args),
        Command::Preview(args) => preview::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Import(args) => import::run(&args, &typed),
        Command::Export(args) => export::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Devices => console::print(&device::table()),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever would read it may be gone.
            let _ = writeln!(io::stderr(), "dvs-train: {error:#}");
            ExitCode::FAILURE
        }
    }
}
