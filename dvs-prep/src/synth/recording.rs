//! One recording: the gestures of a person in sequence, as the bytes of its `.aedat` and
//! `_labels.csv`.

use std::fmt::Write as _;
use std::io::{self, Write};

use dvs_shared::labels::CLASSES;
use rand_pcg::Pcg64;

use super::camera::{Camera, STEP_US, swept};
use super::gesture::{Motion, Person, Pose};
use super::random::{between, chance, generator, shuffle};
use super::{Light, SynthOptions};

/// Label rows of a recording: the eleven classes, one of them twice, as in the real dataset.
pub(super) const ROWS: usize = CLASSES + 1;

/// The header of IBM's recordings.
const HEADER: &[u8] = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n\
    #Start-Time: 2016-10-13 15:28:27 (TZ-0700)\r\n#!END-HEADER\r\n";
/// Type, source and timestamp offset of a polarity event, and its size in bytes.
const POLARITY: u16 = 1;
const SOURCE: u16 = 0;
const TIME_OFFSET: u32 = 4;
const EVENT_BYTES: u32 = 8;

/// Purposes of random numbers, so that they do not affect each other.
const PERSON: u64 = 1;
const SCORE: u64 = 2;
const CAMERA: u64 = 3;
const PACKETS: u64 = 4;
const LABELS: u64 = 5;

/// One performance of a gesture.
struct Row {
    /// Class, 0 to 10.
    class: u8,
    motion: Motion,
    /// First step of the motion, and the step after the last.
    steps: [i64; 2],
    /// Its window in microseconds of the camera's clock; the end is exclusive.
    window: [i64; 2],
}

/// A recording that is planned completely except for its events.
pub(super) struct Recording {
    person: Person,
    rows: Vec<Row>,
    /// Time of the camera's clock in microseconds when it begins.
    start_us: i64,
    /// Length in steps.
    length: i64,
    camera: Camera,
    packets: Pcg64,
    /// Contents of its `_labels.csv`.
    pub labels: String,
}

impl Recording {
    /// Plans the recording of `user` (from 1) under `light`.
    pub(super) fn new(options: &SynthOptions, user: u32, light: Light) -> Self {
        let key = |purpose| [u64::from(user), light as u64, purpose];
        // The seed ignores the light: a user is the same person in all recordings.
        let person = Person::new(&mut generator(
            options.seed,
            [u64::from(user), u64::MAX, PERSON],
        ));
        let mut random = generator(options.seed, key(SCORE));

        let mut classes: Vec<u8> = (0..CLASSES as u8).collect();
        // Most real recordings contain the arm roll twice.
        let again = if chance(&mut random, 0.9) { 7 } else { 10 };
        classes.insert(usize::from(again), again);
        let mut rows = Vec::with_capacity(ROWS);
        let mut length = 0;
        for class in classes {
            length += pause(options, &mut random);
            let seconds = options.gesture_seconds * between(&mut random, 0.85, 1.15);
            let first = length;
            length += steps(seconds);
            let motion = Motion::new(class, time(length - first), &person, &mut random);
            // Human labels miss the exact moment.
            let late = between(&mut random, 0.0, 0.02);
            let early = between(&mut random, 0.0, 0.02);
            let us = ((length - first) * STEP_US) as f64;
            rows.push(Row {
                class,
                motion,
                steps: [first, length],
                window: [
                    first * STEP_US + (late * us) as i64,
                    length * STEP_US - (early * us) as i64,
                ],
            });
        }
        length += pause(options, &mut random);

        let start_us = start(user, light, length * STEP_US, &mut random);
        for row in &mut rows {
            row.window = row.window.map(|t| t + start_us);
        }
        let labels = labels(
            &rows,
            options
                .shuffle_labels
                .then(|| generator(options.seed, key(LABELS))),
        );
        let camera = Camera::new(
            light,
            &person,
            options.events_per_second,
            mean_swept(&rows, &person),
            generator(options.seed, key(CAMERA)),
        );
        Self {
            person,
            rows,
            start_us,
            length,
            camera,
            packets: generator(options.seed, key(PACKETS)),
            labels,
        }
    }

    /// Writes the `.aedat` to `out` and returns the number of events.
    pub(super) fn write(mut self, out: &mut impl Write) -> io::Result<u64> {
        out.write_all(HEADER)?;
        let mut packets = Packets::new(out, self.packets);
        let mut before = self.person.stand(Pose::REST, 0.0);
        let mut row = 0;
        for step in 0..self.length {
            while self.rows.get(row).is_some_and(|r| r.steps[1] <= step) {
                row += 1;
            }
            let seconds = (step * STEP_US) as f64 / 1e6;
            let after = self
                .person
                .stand(pose(&self.rows, row, step, self.length), seconds);
            let t = self.start_us + step * STEP_US;
            self.camera.step(seconds, &before, &after, |us, word| {
                packets.push(t + us, word)
            });
            before = after;
            packets.end_step()?;
        }
        packets.finish()
    }
}

/// The pose at `step`, if `row` is the first row that has not ended: a pose of that row, or one on
/// the way to it.
fn pose(rows: &[Row], row: usize, step: i64, length: i64) -> Pose {
    let end = |row: &Row| row.motion.pose(time(row.steps[1] - row.steps[0]));
    let last = row.checked_sub(1).map(|i| &rows[i]);
    let (from, since) = last.map_or((Pose::REST, 0), |r| (end(r), r.steps[1]));
    let (to, until) = match rows.get(row) {
        Some(next) if next.steps[0] <= step => return next.motion.pose(time(step - next.steps[0])),
        Some(next) => (next.motion.pose(0.0), next.steps[0]),
        None => (Pose::REST, length),
    };
    from.towards(to, (step - since) as f64 / (until - since) as f64)
}

/// Square pixels per second that edges sweep on average within the motions of `rows`.
fn mean_swept(rows: &[Row], person: &Person) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for row in rows {
        let [first, end] = row.steps;
        let stand = |step: i64| person.stand(row.motion.pose(time(step - first)), time(step));
        let mut before = stand(first);
        for step in first + 1..end {
            let after = stand(step);
            sum += swept(&before, &after, person);
            before = after;
            count += 1;
        }
    }
    sum / f64::from(count.max(1))
}

/// Converts steps to seconds.
fn time(steps: i64) -> f64 {
    (steps * STEP_US) as f64 / 1e6
}

/// Converts seconds to steps, at least 2, so that something can move between them.
fn steps(seconds: f64) -> i64 {
    ((seconds * 1e6) as i64 / STEP_US).max(2)
}

fn pause(options: &SynthOptions, random: &mut Pcg64) -> i64 {
    steps(options.gesture_seconds * between(random, 0.1, 0.25))
}

/// The time on the camera's clock at which a recording of `length_us` begins.
///
/// A timestamp has 31 bits, and the header of a packet counts its overflows. A quarter of the
/// recordings cross 2^31 microseconds, so that readers that ignore the overflow fail.
fn start(user: u32, light: Light, length_us: i64, random: &mut Pcg64) -> i64 {
    if (user + light as u32) % 4 == 1 {
        (1 << 31) - (length_us as f64 * between(random, 0.1, 0.9)) as i64
    } else {
        (between(random, 1.0, 120.0) * 1e6) as i64
    }
}

fn labels(rows: &[Row], control: Option<Pcg64>) -> String {
    let mut classes: Vec<u8> = rows.iter().map(|row| row.class).collect();
    if let Some(mut random) = control {
        shuffle(&mut random, &mut classes);
    }
    let mut csv = String::from("class,startTime_usec,endTime_usec\n");
    for (class, row) in classes.iter().zip(rows) {
        let [start, end] = row.window;
        // Writing to a String cannot fail.
        let _ = writeln!(csv, "{},{start},{end}", class + 1);
    }
    csv
}

/// Collects events into packets of varying sizes.
struct Packets<'a, W> {
    out: &'a mut W,
    random: Pcg64,
    /// Events that are not written yet.
    pending: Vec<u8>,
    /// Number of timestamp overflows when the packet began.
    overflow: u32,
    /// Size of a full packet in bytes.
    full: usize,
    events: u64,
    result: io::Result<()>,
}

impl<'a, W: Write> Packets<'a, W> {
    fn new(out: &'a mut W, random: Pcg64) -> Self {
        let mut packets = Self {
            out,
            random,
            pending: Vec::new(),
            overflow: 0,
            full: 0,
            events: 0,
            result: Ok(()),
        };
        packets.draw_size();
        packets
    }

    fn draw_size(&mut self) {
        let events = between(&mut self.random, 6000.0, 10_400.0) as usize;
        self.full = events * EVENT_BYTES as usize;
    }

    /// Adds the event of `word` at `t` microseconds.
    fn push(&mut self, t: i64, word: u32) {
        let overflow = (t >> 31) as u32;
        if overflow != self.overflow || self.pending.len() >= self.full {
            self.flush();
            self.overflow = overflow;
        }
        let timestamp = t as u32 & 0x7fff_ffff;
        let event = u64::from(word) | u64::from(timestamp) << 32;
        self.pending.extend_from_slice(&event.to_le_bytes());
    }

    fn flush(&mut self) {
        if self.pending.is_empty() || self.result.is_err() {
            self.pending.clear();
            return;
        }
        let events = self.pending.len() as u32 / EVENT_BYTES;
        let mut header = [0; 28];
        header[..2].copy_from_slice(&POLARITY.to_le_bytes());
        header[2..4].copy_from_slice(&SOURCE.to_le_bytes());
        // Capacity, number of events and number of valid events are equal: no event is filtered
        // out.
        let words = [
            EVENT_BYTES,
            TIME_OFFSET,
            self.overflow,
            events,
            events,
            events,
        ];
        for (field, word) in header[4..].chunks_exact_mut(4).zip(words) {
            field.copy_from_slice(&word.to_le_bytes());
        }
        self.result = self
            .out
            .write_all(&header)
            .and_then(|()| self.out.write_all(&self.pending));
        self.events += u64::from(events);
        self.pending.clear();
        self.draw_size();
    }

    /// Returns an error that occurred while events were added.
    fn end_step(&mut self) -> io::Result<()> {
        std::mem::replace(&mut self.result, Ok(()))
    }

    fn finish(mut self) -> io::Result<u64> {
        self.flush();
        self.end_step()?;
        Ok(self.events)
    }
}
