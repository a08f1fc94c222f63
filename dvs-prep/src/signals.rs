//! Handles SIGINT and SIGTERM: removes unfinished files, prints a line and exits at once with 128
//! plus the signal number (130 or 143). A second signal exits without cleaning up.
//!
//! A separate thread waits for the signals, so the other threads need not check for them.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use dvs_shared::output::temporary;
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use signal_hook::{flag, low_level};

/// Installs the handlers.
///
/// # Errors
/// Returns an error if the system refuses.
pub fn clean_up_on_ending() -> io::Result<()> {
    // By default, exceeding the file size limit (`ulimit -f`) kills the process. With a handler,
    // the write fails and the error is reported.
    flag::register(SIGXFSZ, Arc::default())?;
    let ending = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: the first signal finds the flag clear and then sets it.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&ending))?;
        flag::register(signal, Arc::clone(&ending))?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            if let Some(signal) = signals.forever().next() {
                end(signal);
            }
        })?;
    Ok(())
}

fn end(signal: i32) -> ! {
    let _removed = temporary::remove_all();
    let name = low_level::signal_name(signal).unwrap_or("a signal");
    let mut out = io::stderr();
    if out.is_terminal() {
        // Clears a progress bar from the line.
        let _ = write!(out, "\r\x1b[2K");
    }
    let _ = writeln!(
        out,
        "dvs-prep: interrupted by {name}; partial output has been removed"
    );
    // Skips exit handlers: HDF5's would run while other threads still use the library.
    low_level::exit(128 + signal)
}
