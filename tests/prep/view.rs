//! `dvs-prep view` shows samples as pictures, as characters and as JSON.

mod decoded;
mod errors;
mod pictures;
mod samples;
mod stdout;

use dvs_shared::Event;
use serde_json::Value;

use crate::support::{Files, dataset, recording, run, with};

/// Returns the JSON that a command prints.
fn json(args: &[&str]) -> Value {
    serde_json::from_slice(&run(&[args, &["--json"]].concat()).stdout).unwrap()
}

/// Events with different numbers in different pixels, some of one polarity and some of both.
fn many_counts(start: i64) -> Vec<Event> {
    let mut events = Vec::new();
    for i in 0..4000_i64 {
        // Pixels near the corner have more events than others.
        let (x, y) = ((i * i * 31) % 128, (i * i * i * 17) % 128);
        let repeat = if x + y < 60 { 1 + i % 7 } else { 1 };
        for r in 0..repeat {
            events.push(Event {
                t: start + i * 250,
                x: x as u16,
                y: y as u16,
                polarity: (x + r) % 3 == 0,
                valid: true,
            });
        }
    }
    events
}

/// A dataset whose training recording holds `events`. Each recording has two label windows: the
/// first covers the times of `events`, and the second begins after them.
fn dataset_of(events: &[Event]) -> Files {
    let (start, end) = (events[0].t, events[events.len() - 1].t + 1);
    let labels = format!(
        "class,startTime_usec,endTime_usec\n8,{start},{end}\n3,{end},{}\n",
        end + 5
    );
    let mut files = with(dataset(), "user01_led.aedat", &recording(events));
    for name in ["user01_led_labels.csv", "user02_lab_labels.csv"] {
        files = with(files, name, labels.as_bytes());
    }
    files
}
