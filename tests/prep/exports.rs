//! Other programs can read exported data. If exported data is prepared again, it gives the same
//! samples.

use std::fs::{self, File};
use std::path::Path;

use ndarray::{Array1, ArrayD};
use ndarray_npy::{NpzReader, ReadNpyExt};

use crate::inputs::*;
use crate::support::{dvs_prep, fail, prepare, run, stderr, text};

const SPLITS: [(&[&str], &str); 3] = [
    (&["--frames=4"], "frames_number_4_split_by_number"),
    (
        &["--frames=4", "--split=time"],
        "frames_number_4_split_by_time",
    ),
    (&["--duration=20ms"], "duration_20000"),
];

/// The names and the values of a `.npz`, converted to integers.
fn arrays(path: &Path) -> Vec<(String, Vec<i64>)> {
    let mut npz = NpzReader::new(File::open(path).unwrap()).unwrap();
    let mut names = npz.names().unwrap();
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let array = match npz.by_name::<ndarray::OwnedRepr<i64>, ndarray::IxDyn>(&name) {
                Ok(array) => array,
                Err(_) => match npz.by_name::<ndarray::OwnedRepr<f64>, ndarray::IxDyn>(&name) {
                    Ok(array) => array.mapv(|v| v as i64),
                    Err(_) => {
                        let array: ArrayD<u8> = npz.by_name(&name).unwrap();
                        array.mapv(i64::from)
                    }
                },
            };
            (name, array.into_iter().collect())
        })
        .collect()
}

#[test]
fn exported_frames_match_spikingjelly_and_reimport_exactly() {
    let folder = unpacked();
    let at = |name: &str| folder.path().join(name);
    for (args, name) in SPLITS {
        let cache = at("cache.h5");
        prepare(&at("recordings"), &cache, &[args, &["--force"]].concat());
        run(&["export", text(&cache), "--to=npz", "-o", text(&at("out"))]);
        let (ours, theirs) = (at("out").join(name), at("sj").join(name));
        let relative = |root: &Path| -> Vec<_> {
            let strip = |f: &std::path::PathBuf| f.strip_prefix(root).unwrap().to_owned();
            files(root).iter().map(strip).collect()
        };
        assert_eq!(relative(&ours), relative(&theirs));
        for file in relative(&ours) {
            assert_eq!(
                arrays(&ours.join(&file)),
                arrays(&theirs.join(&file)),
                "{file:?}"
            );
        }
        assert_eq!(prepared(&ours, &[]), without_windows(samples(&cache)));
        // SpikingJelly looks for this folder first, even if it then finds the folder of frames.
        assert!(at("out/events_np").is_dir());
    }
}

#[test]
fn exported_events_match_spikingjelly_for_every_input_format() {
    let folder = unpacked();
    let at = |name: &str| folder.path().join(name);
    let theirs = at("sj/events_np");
    for (input, out) in [
        ("recordings", "a"),
        ("aedat4", "b"),
        ("sj/events_np", "c"),
        ("prophesee/evt3", "e"),
    ] {
        let said = run(&[
            "export",
            text(&at(input)),
            "--to=events-npz",
            "-o",
            text(&at(out)),
        ]);
        let said = String::from_utf8(said.stdout).unwrap();
        assert!(said.contains("events_np: 6 samples"), "{said}");
        let ours = at(out).join("events_np");
        assert_eq!(files(&ours).len(), files(&theirs).len());
        for file in files(&ours) {
            let same = theirs.join(file.strip_prefix(&ours).unwrap());
            assert_eq!(arrays(&file), arrays(&same), "{input}, {file:?}");
        }
    }
    // Exported events give the same samples as SpikingJelly's events.
    assert_eq!(
        prepared(&at("a/events_np"), &["--frames=7"]),
        prepared(&theirs, &["--frames=7"])
    );
    let frames = at("sj/frames_number_4_split_by_number");
    let said = fail(&[
        "export",
        text(&frames),
        "--to=events-npz",
        "-o",
        text(&at("d")),
    ]);
    assert!(
        said.contains("holds ready frames, and of what events"),
        "{said}"
    );
    assert!(!at("d/events_np").exists());
}

#[test]
fn npy_export_matches_the_cache() {
    let folder = unpacked();
    let at = |name: &str| folder.path().join(name);
    for (args, name) in SPLITS {
        let cache = at("cache.h5");
        prepare(&at("recordings"), &cache, &[args, &["--force"]].concat());
        run(&["export", text(&cache), "--to=npy"]);
        let place = at(&format!("{name}_npy"));
        let read = |file: &str| File::open(place.join(file)).unwrap();
        let expected = samples(&cache);
        for set in ["train", "test"] {
            let frames = ArrayD::<u8>::read_npy(read(&format!("{set}_frames.npy"))).unwrap();
            let labels = Array1::<u8>::read_npy(read(&format!("{set}_labels.npy"))).unwrap();
            let starts = Array1::<i64>::read_npy(read(&format!("{set}_start_us.npy"))).unwrap();
            let names = fs::read_to_string(place.join(format!("{set}_names.txt"))).unwrap();
            let frames: Vec<u32> = frames.iter().map(|&c| c.into()).collect();
            let mut rest = frames.as_slice();
            for ((name, &label), &start) in names.lines().zip(&labels).zip(&starts) {
                let held = expected
                    .iter()
                    .find(|((s, n, l), _)| s.name() == set && n == name && *l == label);
                let (_, held) = held.unwrap();
                let (own, others) = rest.split_at(held.frames.len());
                assert_eq!((own, start), (held.frames.as_slice(), held.window.0));
                rest = others;
            }
            assert!(rest.is_empty());
        }
        let labels = fs::read_to_string(place.join("label_names.txt")).unwrap();
        assert_eq!(labels.lines().count(), 11);
    }
}

#[test]
fn export_replaces_nothing_and_leaves_no_partial_folder() {
    let folder = unpacked();
    let at = |name: &str| folder.path().join(name);
    let (cache, out) = (at("cache.h5"), at("out"));
    prepare(&at("recordings"), &cache, &["--frames=4"]);
    run(&["export", text(&cache), "--to=npz", "-o", text(&out)]);
    let said = fail(&["export", text(&cache), "--to=npz", "-o", text(&out)]);
    assert!(said.contains("exists; it is not replaced"), "{said}");
    // The program removes what a killed run left, and reports it.
    let left = at("out/.events_np.abcdef.unfinished/train");
    fs::create_dir_all(&left).unwrap();
    // The export may fill the empty folder that was made for SpikingJelly.
    let output = run(&[
        "export",
        text(&at("recordings")),
        "--to=events-npz",
        "-o",
        text(&out),
    ]);
    assert!(stderr(&output).contains("which a run that was killed left behind"));
    // An export of damaged input leaves nothing in the output folder.
    fs::write(at("recordings/user01_led.aedat"), b"#!AER-DAT3.1\r\n").unwrap();
    let said = fail(&[
        "export",
        text(&at("recordings")),
        "--to=events-npz",
        "-o",
        text(&at("x")),
    ]);
    assert!(
        said.contains("user01_led.aedat: the header does not end"),
        "{said}"
    );
    assert_eq!(fs::read_dir(at("x")).unwrap().count(), 0);
    let mut other = dvs_prep(["export", text(&at("recordings")), "--to=npz"]);
    let output = other.output().unwrap();
    assert!(stderr(&output).contains("take a cache"));
}
