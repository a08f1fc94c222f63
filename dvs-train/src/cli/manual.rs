//! The flags of `completions` and `man`.

use std::path::PathBuf;

use clap::Args;
use dvs_shared::manual::Shell;

/// Flags of `completions`.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Flags of `man`.
#[derive(Args, Clone, Debug)]
pub struct ManArgs {
    /// The folder the pages go to; it is made where there is none
    #[arg(value_hint = clap::ValueHint::DirPath)]
    pub folder: PathBuf,
}
