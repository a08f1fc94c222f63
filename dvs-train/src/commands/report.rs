//! `dvs-train report`: a run, or several, as one HTML page that needs no other files and no network.

mod chart;
mod page;
mod samples;
mod several;
mod tables;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use dvs_shared::output::write_file;
use maud::Markup;
use serde_json::json;

use crate::cli::ReportArgs;
use crate::commands::compare::{Comparison, find};
use crate::commands::profile::Profile;
use crate::commands::run_files::RunFiles;
use crate::console::print;
use crate::run_dir::checkpoint::MAX;
use crate::run_dir::file_reader::read_json;
use crate::run_dir::run_folder::{PROFILE, REPORT};

/// Writes the page that `args` ask for and prints its path.
///
/// # Errors
/// Returns an error if no run is found in a folder, a file of the only run cannot be read, or the
/// page cannot be written.
pub fn run(args: &ReportArgs) -> Result<()> {
    match &args.runs[..] {
        [folder] if find::is_run(folder) => one(args, folder),
        places => match &find::runs(places)? {
            found if found.is_one() => one(args, &found.runs[0]),
            _ => several(args),
        },
    }
}

fn one(args: &ReportArgs, folder: &Path) -> Result<()> {
    let run = RunFiles::read(folder)?;
    let profile = profile(&run, folder)?;
    let samples = samples::pictures(&run.settings, args.cache.as_deref());
    if let Err(reason) = &samples {
        eprintln!("dvs-train: the report shows no samples: {reason:#}");
    }
    let page = page::page(&run, profile.as_ref(), samples.as_ref());
    let path = args.output.clone();
    let path = path.unwrap_or_else(|| folder.join(REPORT));
    write(&path, page)?;
    print(&match args.json {
        true => format!(
            "{}\n",
            json!({ "run": folder.to_string_lossy(), "report": path.to_string_lossy() })
        ),
        false => format!("{}\n", path.display()),
    })
}

fn several(args: &ReportArgs) -> Result<()> {
    ensure!(
        args.cache.is_none(),
        "--cache names the cache of the samples to show, and a report of several runs shows none; leave it out"
    );
    let compared = Comparison::read(&args.runs)?;
    let path = args.output.clone().unwrap_or_else(|| REPORT.into());
    write(&path, several::page(&compared))?;
    print(&match args.json {
        true => {
            let runs = compared.folders().into_iter();
            let runs: Vec<_> = runs.map(Path::to_string_lossy).collect();
            format!(
                "{}\n",
                json!({ "runs": runs, "report": path.to_string_lossy() })
            )
        }
        false => format!("{}\n", path.display()),
    })
}

fn write(path: &Path, page: Markup) -> Result<()> {
    write_file(path, page.into_string().as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The cost of the run's best network, if it was profiled.
fn profile(run: &RunFiles, folder: &Path) -> Result<Option<Profile>> {
    let profile: Option<Profile> = read_json(&folder.join(PROFILE))?;
    // A profile of another checkpoint would not match the other figures.
    let best = run.summary.as_ref().map(|summary| summary.best_epoch);
    Ok(profile.filter(|profile| {
        best == Some(profile.epoch) && Path::new(&profile.checkpoint).ends_with(MAX)
    }))
}
