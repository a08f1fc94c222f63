//! Generates shell completions and man pages from a program's command line.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
pub use clap_complete::Shell;
use clap_mangen::Man;
use thiserror::Error;

use crate::output::{AtomicFile, LockError, OutputLock};

/// Why a page was not written. The pages before it were.
#[derive(Debug, Error)]
pub enum ManualError {
    /// The file system reported an error.
    #[error("cannot write {path}")]
    Io {
        /// The page or the folder.
        path: PathBuf,
        source: io::Error,
    },
    /// The page cannot be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// Returns the script that completes the commands and options of `command` in `shell`.
pub fn completions(mut command: Command, shell: Shell) -> Vec<u8> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    script
}

/// Writes man pages for `command` and each of its subcommands into `folder`, creates the folder if
/// necessary, and returns the paths of the pages.
///
/// # Errors
/// Returns an error if a page cannot be written.
pub fn write_man_pages(command: Command, folder: &Path) -> Result<Vec<PathBuf>, ManualError> {
    let error = |path: &Path| {
        let path = path.to_owned();
        |source| ManualError::Io { path, source }
    };
    fs::create_dir_all(folder).map_err(error(folder))?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    for page in commands(&command) {
        let page = Man::new(page.clone());
        let path = folder.join(page.get_filename());
        let mut text = Vec::new();
        page.render(&mut text).map_err(error(&path))?;
        let lock = OutputLock::acquire(&path, || ())?;
        let unfinished = AtomicFile::create(&lock, &path).map_err(error(&path))?;
        fs::write(unfinished.path(), text)
            .and_then(|()| unfinished.finish(true))
            .map_err(error(&path))?;
        pages.push(path);
    }
    Ok(pages)
}

/// A command and all its subcommands.
fn commands(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().filter(|c| !c.is_hide_set());
    let mut all = vec![command];
    all.extend(below.flat_map(commands));
    all
}
