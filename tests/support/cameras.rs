//! Builds recordings of every camera and program, event by event, from the specifications of their
//! formats.

#![allow(dead_code, clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use dvs_shared::Event;
use dvs_shared::aedat::{EVENT_BYTES, POLARITY_EVENT, encode};

/// v2e begins a recording with this comment. It names no camera.
pub const V2E: &str = "# This is a raw AE data file created by AEDat2Output in v2e (see https://github.com/SensorsINI/v2e) as specified at https://inivation.com/support/software/fileformat/#aedat-20\r\n";

/// An AEDAT 2.0 recording. `header` holds the lines after the first, `events` the addresses and
/// times.
pub fn aedat2(header: &str, events: &[(u32, u32)]) -> Vec<u8> {
    let mut bytes = format!("#!AER-DAT2.0\r\n{header}").into_bytes();
    for (address, time) in events {
        bytes.extend(address.to_be_bytes());
        bytes.extend(time.to_be_bytes());
    }
    bytes
}

/// The AEDAT 2 address of an event in a DVS128's layout. As in jAER, x and y count from the lower
/// right.
pub fn dvs128(e: &Event) -> u32 {
    (127 - u32::from(e.y)) << 8 | (127 - u32::from(e.x)) << 1 | u32::from(!e.polarity)
}

/// The AEDAT 2 address of an event in a DAVIS's layout, for a camera of this size.
pub fn davis(e: &Event, (width, height): (u32, u32)) -> u32 {
    (height - 1 - u32::from(e.y)) << 22
        | (width - 1 - u32::from(e.x)) << 12
        | u32::from(e.polarity) << 11
}

/// The AEDAT 2 address of an event in a DVS640's layout.
pub fn dvs640(e: &Event) -> u32 {
    (479 - u32::from(e.y)) << 11 | (639 - u32::from(e.x)) << 1 | u32::from(e.polarity)
}

/// `n` events, 10 us apart, that reach every edge of a camera of this size.
pub fn events_on(n: u64, (width, height): (u32, u32)) -> Vec<Event> {
    let (width, height) = (u64::from(width), u64::from(height));
    (0..n)
        .map(|i| Event {
            t: 1000 + 10 * i as i64,
            x: (i * 7 % width) as u16,
            y: (i * 11 % height) as u16,
            polarity: i % 3 == 0,
            valid: true,
        })
        .collect()
}

/// The address and the time of each event. `layout` computes the address.
pub fn addressed(events: &[Event], layout: impl Fn(&Event) -> u32) -> Vec<(u32, u32)> {
    events.iter().map(|e| (layout(e), e.t as u32)).collect()
}

/// Writes a dataset of two recordings: `a` for training and `b` for testing. The names of their
/// files have this `ending`. Each recording is one sample of class 1 that holds all its events.
pub fn dataset_of(folder: &Path, recording: &[u8], ending: &str) {
    fs::create_dir_all(folder).unwrap();
    for (name, set) in [("a", "train"), ("b", "test")] {
        fs::write(folder.join(format!("{name}{ending}")), recording).unwrap();
        let labels = "class,startTime_usec,endTime_usec\n1,0,9000000000000\n";
        fs::write(folder.join(format!("{name}_labels.csv")), labels).unwrap();
        let list = format!("{name}{ending}\n");
        fs::write(folder.join(format!("trials_to_{set}.txt")), list).unwrap();
    }
}

/// An AEDAT 3 recording. `first` is its version, `lines` are the header lines after the first, and
/// `source` is the camera's number in every packet.
pub fn aedat3(first: &str, lines: &str, source: u16, events: &[Event]) -> Vec<u8> {
    let mut bytes = format!("#!AER-DAT{first}\r\n{lines}").into_bytes();
    for events in events.chunks(100) {
        let number = events.len() as u32;
        let overflow = (events[0].t >> 31) as u32;
        bytes.extend(POLARITY_EVENT.to_le_bytes());
        bytes.extend(source.to_le_bytes());
        for field in [EVENT_BYTES as u32, 4, overflow, number, number, number] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(events.iter().flat_map(|&e| encode(e)));
    }
    bytes
}

/// A FlatBuffer whose root table has one field with the number `field`. The field refers to
/// `content`, which is a vector or a string and begins with its length.
fn flatbuffer(field: u16, content: &[u8]) -> Vec<u8> {
    let vtable_size = 4 + 2 * (field + 1);
    let mut vtable = vec![0u8; usize::from(vtable_size)];
    vtable[..2].copy_from_slice(&vtable_size.to_le_bytes());
    vtable[2..4].copy_from_slice(&8u16.to_le_bytes());
    let last = vtable.len() - 2;
    vtable[last..].copy_from_slice(&4u16.to_le_bytes());
    // The root offset and the vtable come first. The table then gives the distance back to the
    // vtable and the distance forward to the content.
    let table = 4 + vtable.len() as u32;
    let mut bytes = table.to_le_bytes().to_vec();
    bytes.extend(&vtable);
    bytes.extend((vtable.len() as u32).to_le_bytes());
    bytes.extend(4u32.to_le_bytes());
    bytes.extend(content);
    bytes
}

/// `content`, preceded by its length.
fn with_size(content: Vec<u8>) -> Vec<u8> {
    [&(content.len() as u32).to_le_bytes()[..], &content].concat()
}

/// An event stream of an AEDAT 4 recording: its number, its camera's size, and its events.
pub type Stream<'a> = (i32, (u32, u32), &'a [Event]);

/// An AEDAT 4.0 recording of these streams, without compression.
pub fn aedat4(streams: &[Stream<'_>]) -> Vec<u8> {
    let node = |(id, (width, height), _): &Stream<'_>| {
        format!(
            "<node name=\"{id}\"><attr key=\"typeIdentifier\">EVTS</attr><node name=\"info\">\
             <attr key=\"sizeX\">{width}</attr><attr key=\"sizeY\">{height}</attr>\
             <attr key=\"source\">DAVIS{width}_0000000{id}</attr></node></node>"
        )
    };
    let nodes: String = streams.iter().map(node).collect();
    let description = format!("<dv><node name=\"outInfo\">{nodes}</node></dv>");
    let text = with_size(description.into_bytes());
    let mut bytes = b"#!AER-DAT4.0\r\n".to_vec();
    bytes.extend(with_size(flatbuffer(2, &text)));
    for (id, _, events) in streams {
        for events in events.chunks(100) {
            let mut vector = (events.len() as u32).to_le_bytes().to_vec();
            for e in events {
                vector.extend(e.t.to_le_bytes());
                vector.extend(e.x.to_le_bytes());
                vector.extend(e.y.to_le_bytes());
                vector.extend([u8::from(e.polarity), 0, 0, 0]);
            }
            let packet = with_size(flatbuffer(0, &vector));
            bytes.extend(id.to_le_bytes());
            bytes.extend((packet.len() as i32).to_le_bytes());
            bytes.extend(packet);
        }
    }
    bytes
}
