//! SIGINT and SIGTERM stop a run after the current batch; a second signal ends it at once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether the run was asked to stop. All clones see the same signals.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// Starts to listen for signals.
    ///
    /// # Errors
    /// Returns an error if a signal handler cannot be registered.
    pub fn listen() -> Result<Self> {
        let interrupt = Self::default();
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            let failed = || format!("cannot listen for {}", Signal(signal));
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

    /// The signal that asked the run to stop, if one did.
    pub fn asked(&self) -> Option<Signal> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(Signal(signal as i32)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(i32);

impl Signal {
    /// The exit status of a program that this signal ended.
    pub fn exit_status(self) -> u8 {
        128 + self.0 as u8
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            SIGINT => write!(f, "SIGINT"),
            SIGTERM => write!(f, "SIGTERM"),
            other => write!(f, "signal {other}"),
        }
    }
}
