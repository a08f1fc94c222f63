//! Datasets may come from cameras of any size and may have any classes. Errors name cameras and
//! classes that do not match.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dvs_shared::CacheFile;

use crate::inputs::*;
use crate::support;
use crate::support::{data, events, fail, gzip, prepare, recording, run, stderr, text};

/// Writes a dataset with 240 x 180 pixels and three classes.
fn write_custom_dataset(folder: &Path) -> PathBuf {
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
fn accepts_any_camera_size_and_classes() {
    let folder = tempfile::tempdir().unwrap();
    let place = write_custom_dataset(folder.path());
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

    // Another container gives the same key. Other classes or another size give another key.
    let packed = folder.path().join("own.tar.gz");
    fs::write(&packed, gzip(&tar_of(&place))).unwrap();
    assert_same_cache_and_key(&[place.clone(), packed.clone()]);
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
    // The same classes and the same size find the cache again.
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
fn errors_name_mismatched_cameras_and_classes() {
    let folder = tempfile::tempdir().unwrap();
    let place = write_custom_dataset(folder.path());
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
    // The two recordings come from different cameras.
    fs::write(place.join("b.aedat"), recording(&events(2000, 0, 10))).unwrap();
    let said = fail(&["-i", text(&place)]);
    assert!(
        said.contains("b.aedat has 128 x 128 pixels, and a.aedat has 240 x 180"),
        "{said}"
    );
    prepare(&place, &folder.path().join("a.h5"), &["--sensor=240x180"]);
    // The program does not use a mapping without classes, and it warns.
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
fn original_class_mapping_does_not_change_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    // The test copies the archive, because the program writes a note beside its input.
    let with = folder.path().join("with.tar.gz");
    fs::copy(data("DvsGesture-mini.tar.gz"), &with).unwrap();
    let files = support::unpack(&with);
    let files = support::without(files, "gesture_mapping.csv");
    let without = support::archive(folder.path(), &files);
    assert_same_cache_and_key(&[with, without]);
}
