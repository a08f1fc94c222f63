//! `dvs-train completions` and `dvs-train man`.

use anyhow::Result;
use clap::CommandFactory;
use dvs_shared::manual;

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::console::print;

/// Prints a shell completion script.
pub fn completions(args: &CompletionsArgs) -> Result<()> {
    let script = manual::completions(Cli::command(), args.shell);
    print(&String::from_utf8_lossy(&script))
}

/// Writes the man pages and prints their paths.
pub fn man(args: &ManArgs) -> Result<()> {
    for page in manual::write_man_pages(Cli::command(), &args.folder)? {
        print(&format!("{}\n", page.display()))?;
    }
    Ok(())
}
