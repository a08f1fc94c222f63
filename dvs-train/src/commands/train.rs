//! `dvs-train train`, the default command.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use burn::backend::Autodiff;

use crate::cli::TrainArgs;
use crate::config::options::TrainOptions;
use crate::config::train_config::TrainConfig;
use crate::console::interrupt::{Interrupt, StopReason};
use crate::console::progress::hide_bars;
use crate::device::{self, on_device};
use crate::train::joint_start::{OwnOptions, Started, follow, lead};
use crate::train::processors;
use crate::train::resume::{AutoStart, resume, resume_auto};
use crate::train::run;
use crate::train::run_output::RunOutput;
use crate::train::run_ranks::RunRanks;

/// The value of `--resume` that resumes if there is something to resume. A folder of this name is
/// `./auto`.
const AUTO: &str = "auto";

/// Trains a network. Returns the reason if the run stopped before its end.
///
/// # Errors
/// Returns [`FolderInUse`](crate::run_dir::run_folder::FolderInUse) if another process trains the
/// same run, and another error if the options, the cache, the checkpoint or the device cannot be
/// used.
pub fn run(args: &TrainArgs) -> Result<Option<StopReason>> {
    let timeout = Duration::from_secs(args.ranks_timeout);
    let ranks = RunRanks::meet(Interrupt::listen()?, timeout)?;
    ranks.end(run_on(args, &ranks))
}

/// Trains a network on these ranks.
fn run_on(args: &TrainArgs, ranks: &RunRanks) -> Result<Option<StopReason>> {
    let ranks_here = processors::divide(ranks.operations())?;
    ranks.check_same("options", args.shared_options().as_bytes())?;
    let started = match ranks.is_first() {
        true => lead(ranks.agree(start(args, ranks_here))?, ranks)?,
        false => {
            hide_bars();
            ranks.agree(Ok(()))?;
            let own = OwnOptions {
                cache: args.cache_request(),
                device: args.device,
                jobs: args.jobs,
            };
            follow(own, args.destination(), ranks_here, ranks)?
        }
    };
    let Some((options, from)) = started else {
        return Ok(None);
    };
    if ranks.is_first() {
        if let Some(file) = &args.stop_file {
            ranks.interrupt().watch(file)?;
        }
        if let Some(from) = &from {
            eprintln!("dvs-train: {from}");
        }
    }
    let remedy = format!(
        "{} and --test-batch-size, a smaller network, --recompute, or --frames-in memory if the frames are on the device",
        device::smaller_batch(options.config.data.batch_size, ranks.size())
    );
    device::guard(&options.device, &remedy, || {
        on_device!(&options.device, |B, device| {
            run::run::<Autodiff<B>>(&options, from.as_ref(), ranks, args.json, device)
        })
    })
}

/// Resolves the options and finds the checkpoint to resume from. Returns `None` if nothing is left to
/// do, and prints the results in that case.
fn start(args: &TrainArgs, ranks_here: usize) -> Result<Option<Started>> {
    args.check_notation()?;
    let (request, destination) = (args.cache_request(), args.destination());
    match &args.resume {
        Some(path) if path != Path::new(AUTO) => {
            let apply_typed = |config: &mut TrainConfig| args.apply(config);
            let (options, from) = resume(path, apply_typed, request, destination, ranks_here)?;
            Ok(Some((options, Some(from))))
        }
        auto => {
            let mut config = TrainConfig::default();
            args.apply(&mut config);
            let options = TrainOptions::resolve(config, &request, destination, ranks_here)?;
            if auto.is_none() {
                return Ok(Some((options, None)));
            }
            ensure!(
                !args.force,
                "--force would replace the run that --resume auto resumes; leave one of them out"
            );
            match resume_auto(&options)? {
                AutoStart::Anew => Ok(Some((options, None))),
                AutoStart::Resumed(from) => Ok(Some((options, Some(*from)))),
                AutoStart::Complete(summary) => {
                    let folder = options.run_folder();
                    let output = RunOutput {
                        json: args.json,
                        folder: &folder,
                        config: &options.config,
                    };
                    eprintln!(
                        "dvs-train: nothing is left to do: {} has all {} epochs",
                        folder.display(),
                        options.config.schedule.epochs
                    );
                    output.finished(&summary)?;
                    Ok(None)
                }
            }
        }
    }
}
