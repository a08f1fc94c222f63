//! The flags of `report`.

use std::path::PathBuf;

use clap::Args;

/// Flags of `report`.
#[derive(Args, Clone, Debug)]
pub struct ReportArgs {
    /// Run folder
    #[arg(value_name = "RUN")]
    pub run: PathBuf,

    /// HTML file to write [default: report.html in the run folder]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Frame cache of the samples to show [default: the one the network was trained on]
    #[arg(long, value_name = "FILE")]
    pub cache: Option<PathBuf>,

    /// Print the results as one JSON object
    #[arg(long)]
    pub json: bool,
}
