//! The flags of `completions` and `man`.

use std::path::PathBuf;

use clap::Args;
use dvs_shared::manual::Shell;

/// Flags of `completions`.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// Shell to complete commands for
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Flags of `man`.
#[derive(Args, Clone, Debug)]
pub struct ManArgs {
    /// Folder for the pages; it is created if it does not exist
    #[arg(value_hint = clap::ValueHint::DirPath)]
    pub folder: PathBuf,
}
