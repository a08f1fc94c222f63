//! Builds NumPy files like those in which SpikingJelly stores samples.

#![allow(dead_code, clippy::unwrap_used)]

use std::io::Write;

use dvs_shared::Event;
use zip::write::SimpleFileOptions;

/// An array as NumPy writes it.
pub fn npy(descr: &str, shape: &[usize], bytes: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    dvs_shared::formats::write_npy_header(&mut file, descr, shape).unwrap();
    file.extend(bytes);
    file
}

/// A `.npz` of arrays.
pub fn npz(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, array) in arrays {
        writer
            .start_file(format!("{name}.npy"), SimpleFileOptions::default())
            .unwrap();
        writer.write_all(array).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A `.npz` of events, with the arrays that SpikingJelly uses.
pub fn events_npz(events: &[Event]) -> Vec<u8> {
    let column = |value: fn(&Event) -> i64| {
        let bytes: Vec<u8> = events.iter().flat_map(|e| value(e).to_le_bytes()).collect();
        npy("<i8", &[events.len()], &bytes)
    };
    npz(&[
        ("t", column(|e| e.t)),
        ("x", column(|e| e.x.into())),
        ("y", column(|e| e.y.into())),
        ("p", column(|e| e.polarity.into())),
    ])
}
