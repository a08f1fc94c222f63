//! The program refuses incompatible options and damaged input, and it does not overwrite files that
//! are not pictures.

use std::fs;

use crate::running::hidden;
use crate::support::{archive, dataset, dvs_prep, fail, prepare, run, stderr, text, with};

#[test]
fn incompatible_options_exit_with_status_2() {
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &dataset());
    let cache = folder.path().join("cache.h5");
    prepare(&input, &cache, &["-T", "2"]);
    for (args, part) in [
        (&["-o", "x.jpg"][..], "ends neither in .png"),
        (&["-o", "x.gif", "--plot"], "--plot makes a .png"),
        (&["--delay", "real"], "--delay goes with an animation"),
        (&["--scale", "2"], "--scale goes with pictures"),
        (
            &["--scale", "0", "-o", "x.png"],
            "whole number from 1 to 64",
        ),
        (&["--max-frames", "0"], "max-frames"),
        (&["-T", "4"], "frames are made already"),
        (&["--keep-invalid"], "frames are made already"),
        (
            &["--each-class", "--sample", "user01_led_0"],
            "by its number",
        ),
        (&["--each-class", "--label", "3"], "--label"),
        (&["--start-us", "3"], "--end-us"),
    ] {
        let output = dvs_prep([&["view", text(&cache)], args].concat())
            .output()
            .unwrap();
        assert_eq!(
            output.status.code(),
            Some(2),
            "{args:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(part),
            "{args:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn replaces_only_pictures_and_only_on_success() {
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &dataset());
    let output = folder.path().join("x.png");
    fs::write(&output, "notes").unwrap();
    let said = fail(&["view", text(&input), "-o", text(&output)]);
    assert!(said.contains("is not a .png picture"), "{said}");
    assert_eq!(fs::read(&output).unwrap(), b"notes");
    fs::remove_file(&output).unwrap();
    run(&["view", text(&input), "-o", text(&output)]);
    let before = fs::read(&output).unwrap();
    // A run that fails keeps the old picture and leaves no other file.
    let said = fail(&["view", text(&input), "--scale", "64", "-o", text(&output)]);
    assert!(said.contains("smaller scale"), "{said}");
    fail(&["view", text(&input), "--sample", "9", "-o", text(&output)]);
    assert_eq!(fs::read(&output).unwrap(), before);
    run(&["view", text(&input), "--scale", "1", "-o", text(&output)]);
    assert_ne!(fs::read(&output).unwrap(), before);
    let nowhere = folder.path().join("no/folder/x.gif");
    let said = fail(&["view", text(&input), "-o", text(&nowhere)]);
    assert!(said.contains("no/folder/x.gif"), "{said}");
    assert_eq!(hidden(folder.path()), [] as [&str; 0]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn refuses_to_draw_damaged_frames() {
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &dataset());
    let cache = folder.path().join("cache.h5");
    prepare(&input, &cache, &["-T", "2"]);
    let bytes = fs::read(&cache).unwrap();
    // Opening a cache checks everything that matters except the frames.
    let mut damaged = 0;
    for at in (0..bytes.len()).step_by(bytes.len() / 150) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0xff;
        fs::write(&cache, &bytes).unwrap();
        let output = folder.path().join("x.png");
        let done = dvs_prep(["view", text(&cache), "-o", text(&output)])
            .output()
            .unwrap();
        match done.status.code() {
            Some(0) => fs::remove_file(&output).unwrap(),
            Some(1) => {
                assert!(!output.exists());
                damaged += usize::from(stderr(&done).contains("damaged at /train/frames"));
            }
            code => panic!("{code:?}: {}", stderr(&done)),
        }
    }
    assert!(damaged > 0);
}

#[test]
fn reports_damaged_labels_archives_and_missing_caches() {
    let folder = tempfile::tempdir().unwrap();
    // The samples of the other recording can still be shown.
    let files = with(dataset(), "user01_led_labels.csv", b"class");
    let input = archive(folder.path(), &files);
    let seen = run(&["view", text(&input), "--set", "test"]);
    assert!(stderr(&seen).contains("left out what user01_led_labels.csv labels: line 1"));
    fail(&["view", text(&input)]);
    let broken = folder.path().join("broken.tar.gz");
    let whole = fs::read(&input).unwrap();
    fs::write(&broken, &whole[..200]).unwrap();
    let said = fail(&["view", text(&broken)]);
    assert!(said.contains("broken.tar.gz"), "{said}");
    let said = fail(&["view", text(&folder.path().join("nothing.h5"))]);
    assert!(said.contains("nothing.h5"), "{said}");
}
