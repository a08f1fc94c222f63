//! `dvs-train`: trains spiking neural networks on the frame cache that `dvs-prep` makes.
//!
//! cache -> [`samples`] -> [`cache_reader`] -> [`feed`] (its [`upload`]) -> [`batch`] -> [`network`] (of the layers of [`burn_snn`]) -> firing rate -> [`metrics`]; [`training`] is one epoch of it, [`evaluation`] the judgement after it, and
//! [`run`] the loop around both, which leaves [`epoch_log`], [`checkpoint`] and [`pictures`] in a [`run_folder`].
//! [`augment`] alters the batches of training, and [`preview`] shows it. [`eval`] and [`predict`] use what was trained,
//! [`models`] take it to other programs and from them, [`profile`] says what it costs, [`report`] makes one page of a run,
//! [`mod@bench`] times the steps.

// The library is the program's; its documentation is for those who work on it.
#![allow(rustdoc::private_intra_doc_links)]

#[cfg(all(test, not(feature = "vulkan")))]
compile_error!("GPU kernels are tested through Vulkan: test with --features vulkan");

mod augment;
mod batch;
mod bench;
mod cache_reader;
mod checkpoint;
mod cli;
mod confusion;
mod description;
mod device;
mod epoch_log;
mod eval;
mod evaluation;
mod event_file;
mod feed;
mod firing;
mod gradients;
mod interrupt;
mod loss_scale;
mod metrics;
mod models;
mod network;
mod optimizer;
mod options;
mod pictures;
mod predict;
mod preview;
mod profile;
mod progress;
pub mod readers;
mod report;
mod resume;
mod run;
mod run_folder;
mod samples;
mod schedule;
mod seed;
mod sets;
mod settings;
mod standing;
mod summary;
mod trained;
mod training;
mod tutorial;
mod upload;
mod validation;
mod weights;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use burn::backend::Autodiff;
use clap::CommandFactory;
use dvs_shared::manual;

use crate::cli::{Cli, Command, CompletionsArgs, ManArgs, TrainArgs, Typed};
use crate::device::on_device;
use crate::interrupt::{Interrupt, Signal};
use crate::options::TrainOptions;

/// The whole program: reads the command line, does what it says, and gives the exit status.
pub fn main() -> ExitCode {
    let (cli, typed) = Cli::read(tutorial::translate(std::env::args_os()));
    let result = match cli.chosen() {
        Command::Train(args) => match train(*args, &typed) {
            Ok(Some(signal)) => return ExitCode::from(signal.exit_status()),
            done => done.map(drop),
        },
        Command::Eval(args) => eval::run(&args),
        Command::Profile(args) => profile::run(&args),
        Command::Preview(args) => preview::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Import(args) => models::import::run(&args, &typed),
        Command::Export(args) => models::export::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Devices => run::print(&device::table()),
        Command::Completions(args) => completions(&args),
        Command::Man(args) => man(&args),
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

fn completions(args: &CompletionsArgs) -> Result<()> {
    let script = manual::completions(Cli::command(), args.shell);
    run::print(&String::from_utf8_lossy(&script))
}

fn man(args: &ManArgs) -> Result<()> {
    for page in manual::write_man_pages(Cli::command(), &args.folder)? {
        run::print(&format!("{}\n", page.display()))?;
    }
    Ok(())
}

/// Trains; gives the signal that ended the run early, if one did.
fn train(args: TrainArgs, typed: &Typed) -> Result<Option<Signal>> {
    let (options, from) = match &args.resume {
        None => (TrainOptions::resolve(args)?, None),
        Some(path) => {
            let (options, from) = resume::resume(path, &args, typed)?;
            eprintln!("dvs-train: {from}");
            (options, Some(from))
        }
    };
    let interrupt = Interrupt::listen()?;
    device::guard(&options.device, options.batch_size, || {
        on_device!(&options.device, |B, device| {
            run::run::<Autodiff<B>>(&options, from.as_ref(), &interrupt, device)
        })
    })
}
