//! The flags of `report`.

use std::path::PathBuf;

use clap::Args;

/// Flags of `report`.
#[derive(Args, Clone, Debug)]
pub struct ReportArgs {
    /// A run's folder
    #[arg(value_name = "RUN")]
    pub run: PathBuf,

    /// The page [default: report.html in the run's folder]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// The frame cache to show samples of [default: the one the network was trained on]
    #[arg(long, value_name = "FILE")]
    pub cache: Option<PathBuf>,
}
