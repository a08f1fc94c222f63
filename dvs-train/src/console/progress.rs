//! Progress bars on standard error, shown only on a terminal.

use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

static HIDDEN: AtomicBool = AtomicBool::new(false);

/// Hides all bars of this process, because another process shows them.
pub fn hide_bars() {
    HIDDEN.store(true, Ordering::Relaxed);
}

/// A bar that counts `samples`, with samples per second and the time that is left.
pub fn sample_bar(name: String, samples: usize) -> ProgressBar {
    let target = match HIDDEN.load(Ordering::Relaxed) {
        true => ProgressDrawTarget::hidden(),
        false => ProgressDrawTarget::stderr(),
    };
    let bar = ProgressBar::with_draw_target(Some(samples as u64), target);
    let style = ProgressStyle::with_template(
        "{msg} {wide_bar} {pos}/{len} samples, {per_sec:.1}, {eta} left",
    );
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.with_message(name)
}
