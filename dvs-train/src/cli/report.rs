//! The flags of `report`.

use std::path::PathBuf;

use clap::Args;

/// Flags of `report`.
#[derive(Args, Clone, Debug)]
pub struct ReportArgs {
    /// Run folder. Several, or a folder with run folders in it, make one page that compares the
    /// runs
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,

    /// HTML file to write [default: report.html in the run folder; for several runs, in this
    /// folder]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Frame cache of the samples to show, for one run [default: the one the network was trained
    /// on]
    #[arg(long, value_name = "FILE")]
    pub cache: Option<PathBuf>,

    /// Print the results as one JSON object
    #[arg(long)]
    pub json: bool,
}
