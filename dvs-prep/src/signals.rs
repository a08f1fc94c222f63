//! SIGINT and SIGTERM: what is unfinished is removed, a line says so, and the process ends with 128 and the signal's
//! number, 130 or 143, at once. A second signal ends it without all that.
//!
//! A thread of its own waits for them, so it does not matter what the others are doing; they are not asked.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use dvs_shared::output::temporary;
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use signal_hook::{flag, low_level};

/// Sees to it from now on.
///
/// # Errors
/// Where the system refuses.
pub fn clean_up_on_ending() -> io::Result<()> {
    // Beyond a limit on file sizes (`ulimit -f`) the default is to be killed. Handled, writing fails and is reported.
    flag::register(SIGXFSZ, Arc::default())?;
    let ending = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag down and puts it up.
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
        // A bar may stand on the line.
        let _ = write!(out, "\r\x1b[2K");
    }
    let _ = writeln!(
        out,
        "dvs-prep: ended by {name}; what was unfinished has been removed"
    );
    // Not the way that runs exit handlers: HDF5's would meet threads that are still at work.
    low_level::exit(128 + signal)
}
