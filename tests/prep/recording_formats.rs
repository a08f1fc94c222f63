//! Recordings in AEDAT 2, AEDAT 4 and Prophesee's formats give the same samples as the same recordings in AEDAT 3.

use std::fs;
use std::path::Path;

use dvs_shared::Event;

use crate::inputs::*;
use crate::support::{fail, gzip, prepare, stderr, text};

#[test]
fn aedat_4_gives_the_samples_of_aedat_3() {
    let folder = unpacked();
    let (three, four) = (
        folder.path().join("recordings"),
        folder.path().join("aedat4"),
    );
    for args in [NUMBER, TIME, DURATION] {
        assert_eq!(prepared(&four, args), prepared(&three, args), "{args:?}");
    }
    assert_eq!(
        recognised(&four, NUMBER),
        "recordings with label files, AEDAT 4.0: 128 x 128 pixels of a DVS, as its header says; y counts from the top; the \
         byte of polarity is 1 for ON"
    );
    assert_same_cache_and_key(&[four.clone(), {
        let path = folder.path().join("aedat4.tar.gz");
        fs::write(&path, gzip(&tar_of(&four))).unwrap();
        path
    }]);
    // `plain.aedat4` is the same recording without compression.
    let cache = prepared(&four, NUMBER);
    fs::rename(four.join("plain.aedat4"), four.join("user02_lab.aedat4")).unwrap();
    assert_eq!(prepared(&four, NUMBER), cache);
    // Two files may not hold the same recording.
    fs::copy(
        three.join("user02_lab.aedat"),
        four.join("user02_lab.aedat"),
    )
    .unwrap();
    let said = fail(&["-i", text(&four)]);
    assert!(
        said.contains("the archive contains user02_lab.aedat4 twice"),
        "{said}"
    );
}

/// The events of a recording in AEDAT 3.1.
fn events_of(path: &Path) -> Vec<Event> {
    let bytes = fs::read(path).unwrap();
    let sensor = dvs_shared::event::DVS128;
    let recording = dvs_shared::recording::Recording::new(&bytes, sensor, true).unwrap();
    let mut events = Vec::new();
    recording.window(i64::MIN, i64::MAX).for_each(|t, cell| {
        events.push(Event {
            t,
            x: (cell % 128) as u16,
            y: (cell / 128 % 128) as u16,
            polarity: cell >= 128 * 128,
            valid: true,
        });
    });
    events
}

#[test]
fn aedat_2_gives_the_samples_of_aedat_3() {
    let folder = unpacked();
    let three = folder.path().join("recordings");
    let expected = prepared(&three, TIME);
    for name in ["user01_led.aedat", "user02_lab.aedat"] {
        let mut bytes = b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.DVS128\r\n".to_vec();
        for e in events_of(&three.join(name)) {
            let (x, y) = (127 - u32::from(e.x), 127 - u32::from(e.y));
            let address = y << 8 | x << 1 | u32::from(!e.polarity);
            bytes.extend(address.to_be_bytes());
            bytes.extend((e.t as u32).to_be_bytes());
        }
        fs::write(three.join(name), bytes).unwrap();
    }
    assert_eq!(prepared(&three, TIME), expected);
    assert_eq!(
        recognised(&three, TIME),
        "recordings with label files, AEDAT 2.0: addresses of a DVS128, as its AEChip DVS128 has; 128 x 128 pixels, as that \
         camera has; x and y count from the lower right and are turned; bit 0 is 0 for ON"
    );
}

#[test]
fn prophesee_files_give_the_samples_of_aedat_3() {
    let folder = unpacked();
    let three = folder.path().join("recordings");
    // Files of expelliarmus do not say the size.
    let size = &["--sensor", "128x128"];
    for (kind, said) in [
        (
            "evt3",
            "EVT 3.0: 128 x 128 pixels, as --sensor says; y counts from the top; bit 11 is 1 for ON",
        ),
        (
            "evt2",
            "EVT 2.0: 128 x 128 pixels, as --sensor says; y counts from the top; bit 28 is 1 for ON",
        ),
        (
            "dat",
            "DAT 2: 128 x 128 pixels, as --sensor says; y counts from the top; bit 28 is 1 for ON",
        ),
    ] {
        let place = folder.path().join("prophesee").join(kind);
        for args in [NUMBER, TIME, DURATION] {
            let args = &[args, size].concat();
            assert_eq!(
                prepared(&place, args),
                prepared(&three, args),
                "{kind} {args:?}"
            );
        }
        let found = recognised(&place, &[NUMBER, size].concat());
        assert_eq!(found, format!("recordings with label files, {said}"));
    }
    let evt3 = folder.path().join("prophesee/evt3");
    assert_eq!(prepared(&evt3, TIME), prepared(&three, TIME));
    assert_same_cache_and_key(&[evt3.clone(), {
        let path = folder.path().join("evt3.tar.gz");
        fs::write(&path, gzip(&tar_of(&evt3))).unwrap();
        path
    }]);
    let said = fail(&["-i", text(&folder.path().join("prophesee/dat"))]);
    assert!(
        said.contains("user01_led.dat: the camera's size is not known"),
        "{said}"
    );
    // An incomplete last word is left out.
    let path = evt3.join("user01_led.raw");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let output = prepare(&evt3, &folder.path().join("a.h5"), NUMBER);
    let said = stderr(&output);
    assert!(said.contains("user01_led.raw is cut short"), "{said}");
}

#[test]
fn other_files_that_end_in_dat_or_raw_do_not_hide_samples() {
    let folder = unpacked();
    let samples = folder.path().join("sj/events_np");
    let expected = prepared(&samples, NUMBER);
    for name in ["notes.dat", "picture.raw"] {
        fs::write(samples.join(name), "something else").unwrap();
    }
    assert_eq!(prepared(&samples, NUMBER), expected);
    let path = folder.path().join("events.tar.gz");
    fs::write(&path, gzip(&tar_of(&samples))).unwrap();
    assert_eq!(prepared(&path, NUMBER), expected);
}

#[test]
fn truncated_or_altered_aedat_4_is_used_or_refused() {
    let folder = unpacked();
    let place = folder.path().join("aedat4");
    fs::remove_file(place.join("plain.aedat4")).unwrap();
    let path = place.join("user02_lab.aedat4");
    let bytes = fs::read(&path).unwrap();
    let decode = |bytes: &[u8]| {
        let decoded = dvs_shared::formats::decode(
            bytes,
            dvs_shared::formats::Format::Aedat4,
            &dvs_shared::formats::ReadOptions::default(),
            1 << 24,
        );
        decoded.map(|d| d.packets.len()).map_err(|e| e.to_string())
    };
    let whole = decode(&bytes).unwrap();
    for cut in 0..bytes.len() {
        if let Ok(left) = decode(&bytes[..cut]) {
            assert!(left <= whole);
        }
    }
    let mut refused = 0;
    for at in (0..bytes.len()).step_by(3) {
        for value in [0, 0x7f, 0xff] {
            let mut changed = bytes.clone();
            changed[at] = value;
            refused += usize::from(decode(&changed).is_err());
        }
    }
    assert!(refused > 1000, "{refused}");
    // If its writer was stopped, a recording has no table, and its last packet is incomplete.
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let cache = folder.path().join("a.h5");
    let output = prepare(&place, &cache, NUMBER);
    let said = stderr(&output);
    assert!(said.contains("user02_lab.aedat4 is cut short"), "{said}");
}
