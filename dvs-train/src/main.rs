//! `dvs-train`: trains spiking neural networks on the frame cache that `dvs-prep` makes.
//!
//! cache -> [`cache_reader`] -> [`batch`] -> [`network`] (its [`neuron`]s and [`batch_norm`]) -> firing rate
//! -> [`metrics`]; [`training`] is the loop around them.

mod batch;
mod batch_norm;
mod cache_reader;
mod cli;
mod metrics;
mod network;
mod neuron;
mod options;
mod seed;
#[cfg(test)]
mod test_data;
mod training;

use std::process::ExitCode;

use anyhow::Result;
use burn::backend::Autodiff;
use burn::backend::flex::{Flex, FlexDevice};
use clap::Parser;

use crate::cli::{Cli, Command};
use crate::options::{Device, TrainOptions};

// The system's allocator maps every large tensor anew and pays for its pages each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dvs-train: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    match cli.chosen() {
        Command::Train(args) => {
            let options = TrainOptions::resolve(args)?;
            match options.device {
                Device::Cpu => training::run::<Autodiff<Flex>>(&options, &FlexDevice),
            }
        }
    }
}
