//! SIGINT, SIGTERM or a stop file stop a run after the current batch; a second signal ends it at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use std::{fmt, thread};

use anyhow::{Context, Result, ensure};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether the run was asked to stop. All clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicUsize>);

/// Stands for the stop file, as numbers of signals stand for signals.
const STOP_FILE: usize = usize::MAX;
/// Time between two looks for the stop file.
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl Interrupt {
    /// Starts to listen for signals.
    ///
    /// # Errors
    /// Returns an error if a signal handler cannot be registered.
    pub fn listen() -> Result<Self> {
        let interrupt = Self::default();
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            let failed = || format!("cannot listen for {}", StopReason::Signal(signal));
            // The order matters: the first signal finds the flag clear and sets it, and the second
            // ends the program.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))
                .with_context(failed)?;
            flag::register(signal, Arc::clone(&asked)).with_context(failed)?;
            flag::register_usize(signal, Arc::clone(&interrupt.0), signal as usize)
                .with_context(failed)?;
        }
        Ok(interrupt)
    }

    /// Starts to look for a file that asks the run to stop.
    ///
    /// # Errors
    /// Returns an error if the file exists already, or the thread that looks cannot start.
    pub fn watch(&self, file: &Path) -> Result<()> {
        let shown = file.display();
        let there = file.try_exists();
        let there = there.with_context(|| format!("cannot look for the stop file {shown}"))?;
        ensure!(
            !there,
            "the stop file {shown} exists already; remove it, or name another with --stop-file"
        );
        let folder = file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        ensure!(
            folder.is_none_or(Path::is_dir),
            "nobody can make the stop file {shown}, because its folder does not exist"
        );
        let (asked, file) = (Arc::clone(&self.0), PathBuf::from(file));
        let look = move || {
            while !file.exists() {
                thread::sleep(LOOK_EVERY);
            }
            // A signal that came before is the reason.
            let _ = asked.compare_exchange(0, STOP_FILE, Ordering::Relaxed, Ordering::Relaxed);
        };
        let thread = thread::Builder::new().name("stop file".to_owned());
        thread.spawn(look).context("cannot start a thread")?;
        Ok(())
    }

    /// Returns the reason as a number for other processes: 0 if the run was not asked to stop.
    pub fn code(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Asks the run to stop for the reason with this [`code`](Self::code).
    pub fn stop_as(&self, code: usize) {
        self.0.store(code, Ordering::Relaxed);
    }

    /// Why the run was asked to stop, if it was.
    pub fn asked(&self) -> Option<StopReason> {
        match self.code() {
            0 => None,
            STOP_FILE => Some(StopReason::StopFile),
            signal => Some(StopReason::Signal(signal as i32)),
        }
    }
}

/// Why a run stops before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// This signal came.
    Signal(i32),
    /// The stop file is there.
    StopFile,
}

impl StopReason {
    /// The program's exit status: that of a program which the signal ended, or 3 for a stop file. A
    /// scheduler must not repeat a run that somebody wants to stop.
    pub fn exit_status(self) -> u8 {
        match self {
            Self::Signal(signal) => 128 + signal as u8,
            Self::StopFile => 3,
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(SIGINT) => write!(f, "SIGINT"),
            Self::Signal(SIGTERM) => write!(f, "SIGTERM"),
            Self::Signal(other) => write!(f, "signal {other}"),
            Self::StopFile => write!(f, "stop file"),
        }
    }
}
