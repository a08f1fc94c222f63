//! `dvs-train train`, the default command.

use anyhow::Result;
use burn::backend::Autodiff;

use crate::config::Typed;
use crate::config::options::TrainOptions;
use crate::config::train_args::TrainArgs;
use crate::console::interrupt::{Interrupt, Signal};
use crate::device::{self, on_device};
use crate::train::{resume, run};

/// Trains a network. Returns the signal that ended the run early, if any.
pub fn run(args: TrainArgs, typed: &Typed) -> Result<Option<Signal>> {
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
