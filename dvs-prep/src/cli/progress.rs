//! Shows progress on standard error, if it is a terminal.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dvs_prep::pipeline::Progress;
use dvs_prep::synth::SynthProgress;
use indicatif::{ProgressBar, ProgressStyle};

const TICK: Duration = Duration::from_millis(100);

/// A progress bar that follows counters until it is dropped.
pub struct Bar {
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Bar {
    /// Shows `what` with the bytes of `total` that `progress` has counted. Draws nothing if
    /// standard error is not a terminal.
    pub fn follow(what: &'static str, total: u64, progress: Arc<Progress>) -> Self {
        let bar = ProgressBar::new(total);
        if let Ok(style) = ProgressStyle::with_template(
            "{prefix} {wide_bar} {bytes}/{total_bytes}  {msg}  {binary_bytes_per_sec}  ETA {eta}",
        ) {
            bar.set_style(style);
        }
        bar.set_prefix(what);
        let done = Arc::new(AtomicBool::new(false));
        if bar.is_hidden() {
            return Self { done, thread: None };
        }
        let follow = Arc::clone(&done);
        let thread = thread::spawn(move || {
            while !follow.load(Ordering::Relaxed) {
                bar.set_position(progress.bytes.load(Ordering::Relaxed).min(total));
                bar.set_message(format!(
                    "{} samples",
                    progress.samples.load(Ordering::Relaxed)
                ));
                thread::park_timeout(TICK);
            }
            bar.finish_and_clear();
        });
        Self {
            done,
            thread: Some(thread),
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A failure to draw the bar does not fail the run.
            let _ = thread.join();
        }
    }
}

/// The message and spinner shown while another run makes the cache.
pub struct Waiting(ProgressBar);

impl Waiting {
    /// Reports on standard error that this run waits for `cache`; a terminal also shows a spinner.
    pub fn announce(cache: &Path) -> Self {
        eprintln!(
            "dvs-prep: another dvs-prep is making {}; waiting for it",
            cache.display()
        );
        let spinner = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed}") {
            spinner.set_style(style);
        }
        if !spinner.is_hidden() {
            spinner.enable_steady_tick(TICK);
        }
        Self(spinner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A bar that counts recordings. It draws nothing if standard error is not a terminal.
pub fn synth_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) =
        ProgressStyle::with_template("{wide_bar} {pos}/{len} recordings  {msg}  ETA {eta}")
    {
        bar.set_style(style);
    }
    bar
}

/// Moves the bar of [`synth_bar`].
pub fn show_synth(bar: &ProgressBar, done: SynthProgress) {
    bar.set_length(done.of.into());
    bar.set_position(done.recordings.into());
    bar.set_message(format!("{:.1} M events", done.events as f64 * 1e-6));
}
