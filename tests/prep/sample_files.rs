//! SpikingJelly and figshare store each sample in its own file. Such samples give the same frames
//! as the recordings. The program refuses incomplete, damaged and false files.

use std::fs;

use dvs_shared::CacheFile;
use serde_json::Value;

use crate::inputs::*;
use crate::support;
use crate::support::{events, fail, gzip, prepare, run, stderr, text};

#[test]
fn spikingjelly_samples_give_the_frames_of_the_recordings() {
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
            // The window of a file spans its events, which lie in the label window.
            let (cut, found) = (expected[key].window, held.window);
            assert!(cut.0 <= found.0 && found.1 <= cut.1, "{key:?}");
        }
        let expected = without_windows(expected);
        assert_eq!(without_windows(events), expected, "{args:?}");
        // The folder's name gives the split of ready frames. The user may give it too.
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
    // The program also finds events_np if the user names the folder above it.
    fs::remove_dir_all(at("sj/duration_20000")).unwrap();
    assert_eq!(prepared(&at("sj"), NUMBER).len(), 6);
}

#[test]
fn figshare_arrays_give_the_frames_of_the_recordings() {
    let folder = unpacked();
    let figshare = folder.path().join("figshare");
    let expected = prepared(&folder.path().join("recordings"), NUMBER);
    let found = prepared(&figshare, NUMBER);
    // figshare has one sample for each label of a recording.
    assert_eq!(found.len(), 5);
    for (key, held) in &found {
        assert_eq!(held.frames, expected[key].frames, "{key:?}");
        assert_eq!(held.events, expected[key].events, "{key:?}");
    }
    // The training samples have exact times in 64 bits, so frames split by time are equal too.
    let (expected, found) = (
        prepared(&folder.path().join("recordings"), TIME),
        prepared(&figshare, TIME),
    );
    let train = found.iter().filter(|((set, ..), _)| set.name() == "train");
    for (key, held) in train {
        assert_eq!(held.frames, expected[key].frames, "{key:?}");
    }
    // The test samples have inexact times in 32 bits, so the program warns.
    let output = prepare(&figshare, &folder.path().join("a.h5"), NUMBER);
    let said = stderr(&output);
    assert!(
        said.contains("milliseconds in 32 bits, up to 250 us apart"),
        "{said}"
    );
}

#[test]
fn finds_both_figshare_archives_from_either_one() {
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
    assert_same_cache_and_key(&[
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

#[test]
fn samples_have_the_same_key_and_cache_in_every_container() {
    let folder = unpacked();
    let events = folder.path().join("sj/events_np");
    let write = |name: &str, bytes: Vec<u8>| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    assert_same_cache_and_key(&[
        events.clone(),
        write("a.tar", tar_of(&events)),
        write("b.tgz", gzip(&tar_of(&events))),
        write("c.zip", zip_of(&events)),
    ]);
    let frames = folder.path().join("sj/frames_number_4_split_by_number");
    assert_same_cache_and_key(&[
        frames.clone(),
        write(
            "frames_number_4_split_by_number.tar.gz",
            gzip(&tar_of(&frames)),
        ),
        write("frames.zip", zip_of(&frames)),
    ]);
}

#[test]
fn uses_existing_cache_of_samples_only_if_it_matches() {
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
    // Without its note the program recognises the cache by its content.
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
fn ready_frames_must_match_the_requested_split() {
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
fn damaged_samples_are_listed_together_or_skipped() {
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
fn refuses_incomplete_and_mixed_datasets() {
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

#[test]
fn refuses_samples_with_false_or_huge_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("events_np");
    write(
        &place.join("test/0/fine_0.npz"),
        &events_npz(&events(3, 0, 1)),
    );
    // These files hold zeros that inflate a thousandfold, headers that claim data that is not
    // there, and an entry with a false size.
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
