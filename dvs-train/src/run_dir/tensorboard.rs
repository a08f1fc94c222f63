//! TensorBoard's event file, with scalars by name and epoch.
//!
//! The file is a chain of TFRecords, each with an `Event` of TensorBoard's protocol buffers. Only a
//! handful of fields are needed, so they are encoded here:
//! <https://github.com/tensorflow/tensorboard/tree/master/tensorboard/compat/proto>.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

/// A file with one event per epoch.
#[derive(Debug)]
pub struct EventFile {
    file: File,
}

impl EventFile {
    /// Creates a file in `folder`. TensorBoard drops the events of earlier files from `first_epoch`
    /// on.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn create(folder: &Path, first_epoch: u32) -> io::Result<Self> {
        let seconds = now().trunc();
        // TensorBoard reads a folder's files in the order of their names, so the time comes first.
        let name = format!("events.out.tfevents.{seconds}.dvs-train.{}", process::id());
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(folder.join(name))?;
        let mut events = Self { file };
        events.write(&event(0, 3, b"brain.Event:2"))?;
        if first_epoch > 0 {
            const START: [u8; 2] = [1 << 3, 1];
            events.write(&event(first_epoch, 7, &START))?;
        }
        Ok(events)
    }

    /// Adds the scalars of an epoch.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn add(&mut self, epoch: u32, numbers: &[(String, f64)]) -> io::Result<()> {
        let mut summary = Vec::new();
        for (name, number) in numbers {
            let mut value = Vec::new();
            bytes(&mut value, 1, name.as_bytes());
            value.push(2 << 3 | 5);
            value.extend((*number as f32).to_le_bytes());
            bytes(&mut summary, 1, &value);
        }
        self.write(&event(epoch, 5, &summary))
    }

    /// Writes one record in one call, so that a reader does not see part of it for long.
    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(data.len() + 16);
        record.extend(length);
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(data);
        record.extend(masked_crc(data).to_le_bytes());
        self.file.write_all(&record)
    }
}

/// Encodes an `Event` with the time, the step and one field of bytes.
fn event(step: u32, field: u8, content: &[u8]) -> Vec<u8> {
    let mut event = vec![1 << 3 | 1];
    event.extend(now().to_le_bytes());
    event.push(2 << 3);
    varint(&mut event, step.into());
    bytes(&mut event, field, content);
    event
}

/// Appends a field of bytes: field number and wire type, length, content.
fn bytes(out: &mut Vec<u8>, field: u8, content: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, content.len() as u64);
    out.extend(content);
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Returns TFRecord's checksum: a masked CRC, because CRCs of data that contains CRCs are weak.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

/// Returns the seconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn varints_use_the_fewest_bytes() {
        for (number, expected) in [
            (0, &[0][..]),
            (127, &[127]),
            (128, &[128, 1]),
            (300, &[172, 2]),
        ] {
            let mut out = Vec::new();
            varint(&mut out, number);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn event_file_holds_version_session_and_summary_records() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(folder.path(), 3).unwrap();
        events.add(3, &[("loss".to_owned(), 0.5)]).unwrap();
        let path = std::fs::read_dir(folder.path())
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        let file = std::fs::read(path).unwrap();
        let (mut rest, mut records) = (file.as_slice(), Vec::new());
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[8..12], masked_crc(&rest[..8]).to_le_bytes());
            let data = &rest[12..12 + length];
            assert_eq!(
                rest[12 + length..16 + length],
                masked_crc(data).to_le_bytes()
            );
            records.push(data.to_vec());
            rest = &rest[16 + length..];
        }
        assert_eq!(records.len(), 3);
        assert!(records[0].ends_with(b"brain.Event:2"));
        // Event.session_log (field 7) has 2 bytes: its status (field 1) is START (1).
        assert!(records[1].ends_with(&[16, 3, 58, 2, 8, 1]));
        // Event.summary (field 5) has a value (1) with a tag (1) and a simple_value (2).
        assert!(records[2].ends_with(b"\x2a\x0d\x0a\x0b\x0a\x04loss\x15\x00\x00\x00\x3f"));
    }
}
