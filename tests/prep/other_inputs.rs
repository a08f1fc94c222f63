//! The same gestures give the same frames in whatever form they come: as recordings of any format, as SpikingJelly keeps
//! them, as figshare has them. `scripts/make_inputs.py` and `scripts/make_aedat4.py` made the files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dvs_shared::{CacheFile, Event};
use serde_json::Value;

use crate::inputs::*;
use crate::support;
use crate::support::{data, events, fail, gzip, prepare, recording, run, stderr, text};

const NUMBER: &[&str] = &["--frames=4", "--split=number"];
const TIME: &[&str] = &["--frames=4", "--split=time"];
const DURATION: &[&str] = &["--duration=20ms"];

fn recognised(input: &Path, args: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache.h5");
    let said = prepare(input, &cache, &[args, &["--json"]].concat()).stdout;
    let said: Value = serde_json::from_slice(&said).unwrap();
    said["recognised"][0].as_str().unwrap().to_owned()
}

#[test]
fn spikingjellys_events_and_ready_frames_give_the_frames_of_the_recordings() {
    let folder = unpacked();
    let at = |name: &str| folder.path().join(name);
    for (args, ready) in [
        (NUMBER, "sj/frames_number_4_split_by_number"),
        (TIME, "sj/frames_number_4_split_by_time"),
        (DURATION, "sj/duration_20000"),
    ] {
        let expected = prepared(&at("recordings"), args);
        assert_eq!(expected.len(), 6);
        let events = prepared(&at("sj/events_np"), args);
        for (key, held) in &events {
            // The window of a file is that of its events, which lie in the one they were cut out by.
            let (cut, found) = (expected[key].window, held.window);
            assert!(cut.0 <= found.0 && found.1 <= cut.1, "{key:?}");
        }
        let expected = without_windows(expected);
        assert_eq!(without_windows(events), expected, "{args:?}");
        // The folder's name says how they were made, and the user may say it too.
        assert_eq!(prepared(&at(ready), &[]), expected, "{ready}");
        assert_eq!(prepared(&at(ready), args), expected, "{ready}");
    }
    assert_eq!(
        recognised(&at("sj/events_np"), NUMBER),
        "SpikingJelly's events, npz: 128 x 128 pixels, as DVS128 Gesture has, since the files do not say \
         (--sensor says another size); y counts from the top; polarity 1 is ON"
    );
    assert_eq!(
        recognised(&at("sj/duration_20000"), &[]),
        "SpikingJelly's ready frames, npz: 128 x 128 pixels, as they have; frames of 20000 us"
    );
    // A folder that holds events_np is searched.
    fs::remove_dir_all(at("sj/duration_20000")).unwrap();
    assert_eq!(prepared(&at("sj"), NUMBER).len(), 6);
}

#[test]
fn figshares_arrays_give_the_frames_of_the_recordings() {
    let folder = unpacked();
    let figshare = folder.path().join("figshare");
    let expected = prepared(&folder.path().join("recordings"), NUMBER);
    let found = prepared(&figshare, NUMBER);
    // One sample of each label and recording.
    assert_eq!(found.len(), 5);
    for (key, held) in &found {
        assert_eq!(held.frames, expected[key].frames, "{key:?}");
        assert_eq!(held.events, expected[key].events, "{key:?}");
    }
    // Times in 64 bits are exact: frames by time are the same.
    let (expected, found) = (
        prepared(&folder.path().join("recordings"), TIME),
        prepared(&figshare, TIME),
    );
    let train = found.iter().filter(|((set, ..), _)| set.name() == "train");
    for (key, held) in train {
        assert_eq!(held.frames, expected[key].frames, "{key:?}");
    }
    // Those in 32 bits are not, which is said.
    let output = prepare(&figshare, &folder.path().join("a.h5"), NUMBER);
    let said = stderr(&output);
    assert!(
        said.contains("milliseconds in 32 bits, up to 250 us apart"),
        "{said}"
    );
}

#[test]
fn figshares_two_archives_are_found_by_either_name() {
    let folder = unpacked();
    let (figshare, place) = (folder.path().join("figshare"), folder.path().join("place"));
    fs::create_dir(&place).unwrap();
    let [train, test] = ["ibmGestureTrain", "ibmGestureTest"].map(|name| {
        let bytes = gzip(&tar_of(&figshare.join(name)));
        let path = place.join(format!("{name}.tar.gz"));
        fs::write(&path, &bytes).unwrap();
        (path, bytes)
    });
    let both = ["ibmGestureTrain", "ibmGestureTest"]
        .into_iter()
        .zip([&train, &test])
        .map(|(name, (_, bytes))| (format!("figshare/{name}.tar.gz"), bytes.clone()))
        .collect::<Vec<_>>();
    let zipped = folder.path().join("zipped.zip");
    fs::write(&zipped, support::zip(&both)).unwrap();
    same_bytes_and_key(&[
        figshare.clone(),
        figshare.join("ibmGestureTest"),
        place.clone(),
        train.0.clone(),
        test.0,
        zipped,
    ]);
    fs::remove_file(&train.0).unwrap();
    let said = fail(&["-i", text(&place)]);
    assert!(said.contains("ibmGestureTrain is not beside it"), "{said}");
}

/// Every input has the same key and gives a cache of the same bytes.
fn same_bytes_and_key(inputs: &[PathBuf]) {
    let folder = tempfile::tempdir().unwrap();
    let mut caches = BTreeSet::new();
    for (i, input) in inputs.iter().enumerate() {
        for jobs in ["1", "3"] {
            let cache = folder.path().join(format!("{i}.h5"));
            let args = [NUMBER, &["--force", "--jobs", jobs]].concat();
            prepare(input, &cache, &args);
            let key = run(&[&["key", "-i", text(input)], NUMBER].concat()).stdout;
            caches.insert((fs::read(&cache).unwrap(), key));
        }
    }
    assert_eq!(caches.len(), 1, "{inputs:?}");
}

#[test]
fn samples_have_the_same_key_and_cache_in_every_container() {
    let folder = unpacked();
    let events = folder.path().join("sj/events_np");
    let write = |name: &str, bytes: Vec<u8>| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    same_bytes_and_key(&[
        events.clone(),
        write("a.tar", tar_of(&events)),
        write("b.tgz", gzip(&tar_of(&events))),
        write("c.zip", zip_of(&events)),
    ]);
    let frames = folder.path().join("sj/frames_number_4_split_by_number");
    same_bytes_and_key(&[
        frames.clone(),
        write(
            "frames_number_4_split_by_number.tar.gz",
            gzip(&tar_of(&frames)),
        ),
        write("frames.zip", zip_of(&frames)),
    ]);
}

#[test]
fn a_cache_of_samples_is_known_again_and_told_from_others() {
    let folder = unpacked();
    let (events, cache) = (
        folder.path().join("sj/events_np"),
        folder.path().join("a.h5"),
    );
    let status = |args: &[&str]| {
        let said = prepare(&events, &cache, &[args, NUMBER, &["--json"]].concat()).stdout;
        let said: Value = serde_json::from_slice(&said).unwrap();
        said["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status(&[]), "made");
    assert_eq!(status(&[]), "already there");
    // Without its note it is known by its content.
    fs::remove_file(folder.path().join("a.h5.source.json")).unwrap();
    assert_eq!(status(&[]), "already there");
    let key = || run(&["key", "-i", text(&events)]).stdout;
    let before = key();
    let file = events.join("train/0/user01_led_0.npz");
    fs::copy(events.join("train/10/user01_led_0.npz"), file).unwrap();
    let said = fail(&[&["-i", text(&events), "-o", text(&cache)], NUMBER].concat());
    assert!(
        said.contains("different contents: it was made from an input"),
        "{said}"
    );
    assert_ne!(key(), before);
}

#[test]
fn ready_frames_must_have_been_made_as_asked_for() {
    let folder = unpacked();
    let ready = folder.path().join("sj/frames_number_4_split_by_number");
    for args in [&["--frames=5"][..], TIME, DURATION] {
        let mut command = support::dvs_prep([&["-i", text(&ready)], args].concat());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains("says that it holds 4 frames split by number"));
    }
    let unnamed = folder.path().join("frames");
    fs::rename(&ready, &unnamed).unwrap();
    let said = fail(&["-i", text(&unnamed)]);
    assert!(
        said.contains("train/0/user01_led_0.npz holds ready frames; say how"),
        "{said}"
    );
    let said = fail(&["-i", text(&unnamed), "--frames=5", "--split=number"]);
    assert!(said.contains("it has 4 frames, not 5"), "{said}");
    assert_eq!(prepared(&unnamed, NUMBER).len(), 6);
    let said = fail(&[&["-i", text(&unnamed), "--sensor=64x64"], NUMBER].concat());
    assert!(
        said.contains("have 128 x 128 pixels; --sensor says 64 x 64"),
        "{said}"
    );
}

#[test]
fn aedat_4_gives_the_cache_of_aedat_3_but_for_its_source() {
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
    same_bytes_and_key(&[four.clone(), {
        let path = folder.path().join("aedat4.tar.gz");
        fs::write(&path, gzip(&tar_of(&four))).unwrap();
        path
    }]);
    // Without compression, under the name of the recording.
    let cache = prepared(&four, NUMBER);
    fs::rename(four.join("plain.aedat4"), four.join("user02_lab.aedat4")).unwrap();
    assert_eq!(prepared(&four, NUMBER), cache);
    // A recording has one name.
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
fn aedat_2_gives_the_cache_of_aedat_3_but_for_its_source() {
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
fn damaged_samples_are_listed_together_and_may_be_left_out() {
    let folder = unpacked();
    let place = folder.path().join("sj/events_np");
    let broken = place.join("train/2/user01_led_1.npz");
    let bytes = fs::read(&broken).unwrap();
    fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    let mut far = events(5, 0, 1);
    far[3].x = 200;
    write(&place.join("test/8/far_0.npz"), &events_npz(&far));
    let two = npy("<i8", &[2], &[0; 16]);
    let three = npy("<i8", &[3], &[0; 24]);
    let short = [("t", two), ("x", three)];
    write(&place.join("test/8/short_0.npz"), &npz(&short));
    let said = fail(&["-i", text(&place)]);
    for part in [
        "3 problems with the input",
        "train/2/user01_led_1.npz: it is not a whole .npz",
        "test/8/far_0.npz: event 3: x = 200, y = 39 lies beyond the sensor's 128 x 128 pixels",
        "test/8/short_0.npz: array `x`: its shape [3] is not (2,), as that of `t`",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    let cache = folder.path().join("a.h5");
    prepare(&place, &cache, &["--skip-damaged"]);
    let cache = CacheFile::open(&cache).unwrap();
    let skipped = ["train/2/user01_led_1", "test/8/far_0", "test/8/short_0"];
    assert_eq!(cache.header.skipped, skipped);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let folder = unpacked();
    let place = folder.path().join("sj/events_np");
    write(&place.join("train/clap/x.npz"), b"");
    let said = fail(&["-i", text(&place)]);
    assert!(
        said.contains("train/clap/x.npz lies where samples do"),
        "{said}"
    );
    fs::remove_dir_all(place.join("train/clap")).unwrap();
    write(
        &place.join("train/11/x_0.npz"),
        &events_npz(&events(3, 0, 1)),
    );
    let said = fail(&["-i", text(&place)]);
    assert!(
        said.contains("train/11/x_0.npz: label 11 is unknown; labels run from 0 to 10"),
        "{said}"
    );
    fs::remove_dir_all(place.join("train/11")).unwrap();
    fs::remove_dir_all(place.join("test")).unwrap();
    let said = fail(&["-i", text(&place)]);
    assert!(said.contains("no samples of the set `test`"), "{said}");
    let all = folder.path().join("all.tar");
    fs::write(&all, tar_of(folder.path())).unwrap();
    let said = fail(&["-i", text(&all)]);
    assert!(
        said.contains("it holds ") && said.contains("and recordings too"),
        "{said}"
    );
    let one = folder.path().join("recordings/user01_led.aedat");
    let said = fail(&["-i", text(&one)]);
    assert!(
        said.contains("it is one recording. Name the folder"),
        "{said}"
    );
    let half = folder.path().join("figshare/ibmGestureTest");
    fs::remove_dir_all(half).unwrap();
    let said = fail(&["-i", text(&folder.path().join("figshare"))]);
    assert!(said.contains("ibmGestureTest is not beside it"), "{said}");
}

/// A dataset of one's own: 240 x 180 pixels and three classes.
fn own(folder: &Path) -> PathBuf {
    let place = folder.join("own");
    let mut all = events(2000, 0, 10);
    for (i, event) in all.iter_mut().enumerate() {
        (event.x, event.y) = ((i % 240) as u16, (i % 180) as u16);
    }
    let bytes = recording(&all);
    let header = b"#!AER-DAT3.1\r\n#Source 1: DAVIS240C\r\n#!END-HEADER\r\n".to_vec();
    let davis = [header, bytes[support::END_HEADER.len()..].to_vec()].concat();
    for (name, list) in [("a", "train"), ("b", "test")] {
        write(&place.join(format!("{name}.aedat")), &davis);
        let labels = "class,startTime_usec,endTime_usec\n1,0,9000\n3,9000,20000\n";
        write(&place.join(format!("{name}_labels.csv")), labels.as_bytes());
        let list = place.join(format!("trials_to_{list}.txt"));
        write(&list, format!("{name}.aedat\n").as_bytes());
    }
    write(
        &place.join("gesture_mapping.csv"),
        b"name,number\nswipe,1\ntap,2\nhold,3\n",
    );
    place
}

#[test]
fn any_camera_and_any_classes_will_do() {
    let folder = tempfile::tempdir().unwrap();
    let place = own(folder.path());
    let cache = folder.path().join("a.h5");
    prepare(&place, &cache, NUMBER);
    let held = CacheFile::open(&cache).unwrap();
    let sensor = held.header.sensor;
    assert_eq!((sensor.width, sensor.height), (240, 180));
    assert_eq!(held.header.label_names, ["swipe", "tap", "hold"]);
    let all = samples(&cache);
    assert_eq!(all.len(), 4);
    for held in all.values() {
        assert_eq!(held.frames.len(), 4 * 2 * 180 * 240);
        let counted: u32 = held.frames.iter().sum();
        assert_eq!(u64::from(counted), held.events);
    }
    run(&["verify", text(&cache)]);
    let said = String::from_utf8(run(&["info", text(&cache)]).stdout).unwrap();
    assert!(
        said.contains("2 x 180 x 240") && said.contains("hold"),
        "{said}"
    );

    // The same content in another container has the same key; other classes or pixels have another.
    let packed = folder.path().join("own.tar.gz");
    fs::write(&packed, gzip(&tar_of(&place))).unwrap();
    same_bytes_and_key(&[place.clone(), packed.clone()]);
    let key = |args: &[&str]| run(&[&["key", "-i", text(&packed)], args].concat()).stdout;
    let classes = folder.path().join("classes.csv");
    fs::write(&classes, "0,swipe\n1,tap\n2,push\n").unwrap();
    let given = format!("--classes={}", text(&classes));
    let keys = BTreeSet::from([key(&[]), key(&[&given]), key(&["--sensor=240x200"])]);
    assert_eq!(keys.len(), 3);
    let said = fail(&[&["-i", text(&place), "-o", text(&cache), &given], NUMBER].concat());
    assert!(said.contains("different contents"), "{said}");
    prepare(
        &place,
        &cache,
        &[NUMBER, &[&given, "--force", "--sensor=240x200"]].concat(),
    );
    let held = CacheFile::open(&cache).unwrap();
    assert_eq!(held.header.label_names, ["swipe", "tap", "push"]);
    assert_eq!(held.header.sensor.height, 200);
    // Without its note, and with the classes of the file, it is known again.
    let said = prepare(
        &place,
        &cache,
        &[NUMBER, &[&given, "--sensor=240x200"]].concat(),
    );
    assert!(
        String::from_utf8(said.stdout)
            .unwrap()
            .contains("already there")
    );
    let said = fail(
        &[
            &[
                "-i",
                text(&place),
                "-o",
                text(&cache),
                &given,
                "--sensor=240x180",
            ],
            NUMBER,
        ]
        .concat(),
    );
    assert!(
        said.contains("its frames have 240 x 200 pixels, not 240 x 180"),
        "{said}"
    );
}

#[test]
fn cameras_and_classes_that_do_not_fit_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let place = own(folder.path());
    let said = fail(&["-i", text(&place), "--sensor=128x128"]);
    assert!(
        said.contains("a.aedat: the event at byte") && said.contains("128 x 128"),
        "{said}"
    );
    let classes = folder.path().join("two.csv");
    fs::write(&classes, "swipe,1\ntap,2\n").unwrap();
    let said = fail(&["-i", text(&place), "--classes", text(&classes)]);
    assert!(
        said.contains("a_labels.csv: line 3: class 3 is unknown; classes run from 1 to 2"),
        "{said}"
    );
    fs::write(&classes, "swipe,1\ntap,7\n").unwrap();
    let said = fail(&["-i", text(&place), "--classes", text(&classes)]);
    assert!(said.contains("without a gap"), "{said}");
    // One recording is of another camera.
    fs::write(place.join("b.aedat"), recording(&events(2000, 0, 10))).unwrap();
    let said = fail(&["-i", text(&place)]);
    assert!(
        said.contains("b.aedat has 128 x 128 pixels, and a.aedat has 240 x 180"),
        "{said}"
    );
    prepare(&place, &folder.path().join("a.h5"), &["--sensor=240x180"]);
    // A mapping that says nothing is not used, which is said.
    fs::write(place.join("gesture_mapping.csv"), "nothing\n").unwrap();
    let output = prepare(&place, &folder.path().join("b.h5"), &["--sensor=240x180"]);
    assert!(stderr(&output).contains("gesture_mapping.csv is not used"));
    let large = fail(&["-i", text(&place), "--sensor=2048x2048", "--frames=64"]);
    assert!(
        large.contains("64 frames of 2048 x 2048 pixels take"),
        "{large}"
    );
    for wrong in ["128", "0x5", "4096x1", "axb"] {
        let mut command = support::dvs_prep(["--sensor", wrong]);
        assert_eq!(command.output().unwrap().status.code(), Some(2), "{wrong}");
    }
}

#[test]
fn the_datasets_own_mapping_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // Notes are kept beside the input.
    let with = folder.path().join("with.tar.gz");
    fs::copy(data("DvsGesture-mini.tar.gz"), &with).unwrap();
    let files = support::unpack(&with);
    let files = support::without(files, "gesture_mapping.csv");
    let without = support::archive(folder.path(), &files);
    same_bytes_and_key(&[with, without]);
}

#[test]
fn what_samples_claim_is_never_believed() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("events_np");
    write(
        &place.join("test/0/fine_0.npz"),
        &events_npz(&events(3, 0, 1)),
    );
    // Zeros that inflate a thousandfold, headers that claim what is not there, entries that lie.
    let zeros = vec![0; 64 << 20];
    let many = [("t", npy("<i8", &[8 << 20], &zeros))];
    write(&place.join("train/0/many_0.npz"), &npz(&many));
    let claimed = [("t", npy("<i8", &[1 << 40], &[0; 8]))];
    write(&place.join("train/0/claimed_0.npz"), &npz(&claimed));
    let frames = npy("<f8", &[1 << 20, 2, 128, 128], &zeros);
    write(
        &place.join("train/0/frames_0.npz"),
        &npz(&[("frames", frames)]),
    );
    let wide = npy("|u1", &[4, 2, 2000, 2000], &zeros[..32_000_000]);
    write(&place.join("train/0/wide_0.npz"), &npz(&[("frames", wide)]));
    let mut lie = npz(&[("t", npy("<i8", &[0], &[]))]);
    let at = lie.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    lie[at + 24..at + 28].copy_from_slice(&u32::MAX.to_le_bytes());
    write(&place.join("train/0/lie_0.npz"), &lie);
    let run = support::measured(&["-i", text(&place), "--frames=4", "--split=number"]);
    let said = stderr(&run.output);
    for part in [
        "many_0.npz: event 8388608: there are more than",
        "claimed_0.npz: event 1099511627776: there are more than",
        "frames_0.npz: it has 1048576 frames, not 4",
        "fine_0.npz has 128 x 128 pixels, and train/0/wide_0.npz has 2000 x 2000",
        "lie_0.npz",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    println!("{} MiB, {:.2} s", run.peak, run.seconds);
    assert!(run.peak <= 400, "{} MiB", run.peak);
}

#[test]
fn aedat_4_that_is_cut_or_changed_anywhere_is_used_or_refused() {
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
    // One whose writer was stopped: no table, and a packet that ends early.
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let cache = folder.path().join("a.h5");
    let output = prepare(&place, &cache, NUMBER);
    let said = stderr(&output);
    assert!(said.contains("user02_lab.aedat4 is cut short"), "{said}");
}
