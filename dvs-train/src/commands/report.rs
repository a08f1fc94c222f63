//! `dvs-train report`: a run as one HTML page that needs no other files and no network.

mod chart;
mod page;
mod run_files;
mod samples;
mod tables;

use anyhow::{Context, Result};
use dvs_shared::output::write_file;
use serde_json::json;

use self::run_files::RunFiles;
use crate::cli::ReportArgs;
use crate::console::print;
use crate::run_dir::run_folder::REPORT;

/// Writes the page that `args` ask for and prints its path.
///
/// # Errors
/// Returns an error if the folder is not a run's, a file in it cannot be read, or the page cannot
/// be written.
pub fn run(args: &ReportArgs) -> Result<()> {
    let run = RunFiles::read(&args.run)?;
    let samples = samples::pictures(&run.settings, args.cache.as_deref());
    if let Err(reason) = &samples {
        eprintln!("dvs-train: the report shows no samples: {reason:#}");
    }
    let page = page::page(&run, samples.as_ref()).into_string();
    let path = args.output.clone();
    let path = path.unwrap_or_else(|| args.run.join(REPORT));
    write_file(&path, page.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    print(&match args.json {
        true => format!("{}\n", json!({ "run": args.run, "report": path })),
        false => format!("{}\n", path.display()),
    })
}
