//! `dvs-train train`, the default command.

use anyhow::Result;
use burn::backend::Autodiff;

use crate::cli::TrainArgs;
use crate::config::options::TrainOptions;
use crate::config::train_config::TrainConfig;
use crate::console::interrupt::{Interrupt, Signal};
use crate::device::{self, on_device};
use crate::train::resume::resume;
use crate::train::run;

/// Trains a network. Returns the signal that ended the run early, if any.
pub fn run(args: &TrainArgs) -> Result<Option<Signal>> {
    let (options, from) = match &args.resume {
        None => {
            let mut config = TrainConfig::default();
            args.apply(&mut config);
            let options = TrainOptions::resolve(config, &args.cache_request(), args.destination())?;
            (options, None)
        }
        Some(path) => {
            let apply_typed = |config: &mut TrainConfig| args.apply(config);
            let (options, from) =
                resume(path, apply_typed, args.cache_request(), args.destination())?;
            eprintln!("dvs-train: {from}");
            (options, Some(from))
        }
    };
    let interrupt = Interrupt::listen()?;
    let remedy = format!(
        "{} and --test-batch-size, fewer --channels, or --frames-in memory if the frames are on the device",
        device::smaller_batch(options.config.data.batch_size)
    );
    device::guard(&options.device, &remedy, || {
        on_device!(&options.device, |B, device| {
            run::run::<Autodiff<B>>(&options, from.as_ref(), &interrupt, device)
        })
    })
}
