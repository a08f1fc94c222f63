//! The flags of `compare`.

use std::path::PathBuf;

use clap::Args;

/// Flags of `compare`.
#[derive(Args, Clone, Debug)]
pub struct CompareArgs {
    /// Run folders, or folders with run folders in them at any depth
    #[arg(value_name = "LOGS", required = true)]
    pub logs: Vec<PathBuf>,

    /// Draw accuracy and loss by epoch: the mean of each group of runs, with a band of one standard
    /// deviation
    #[arg(long, value_name = "FILE.png", value_parser = png)]
    pub picture: Option<PathBuf>,

    /// Print the table as CSV, a row for each group of runs
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,

    /// Print the results as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Accepts a file name that ends in .png.
fn png(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path
        .extension()
        .unwrap_or_default()
        .eq_ignore_ascii_case("png")
    {
        true => Ok(path),
        false => Err(format!("{text:?} does not end in .png")),
    }
}
