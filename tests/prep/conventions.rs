//! If the arguments name only the split, the program finds the dataset in the places that the
//! README lists. It gives the cache the name and the place where training looks for it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::*;

/// A command that runs `dvs-prep` in `folder` with the arguments of the README's quick start.
fn quick_start(folder: &Path) -> Command {
    let mut command = dvs_prep(["--frames", "16", "--split", "number"]);
    command.current_dir(folder);
    command
}

#[test]
fn finds_the_archive_in_every_documented_place() {
    let targz = gzip(&tar(&dataset()));
    let zipped: Vec<_> = dataset()
        .into_iter()
        .map(|(n, c)| (format!("DvsGesture/{n}"), c))
        .collect();
    let boxed = zip(&[("DvsGesture.tar.gz".to_owned(), targz.clone())]);
    let mut first = None;
    for (place, bytes) in [
        ("DvsGesture.tar.gz", &targz),
        ("download/DvsGesture.tar.gz", &targz),
        ("DvsGesture.tar", &tar(&dataset())),
        ("DvsGesture.zip", &zip(&zipped)),
        ("whatever Box called it.zip", &boxed),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("DVS128Gesture").join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        let output = quick_start(folder.path()).output().unwrap();
        assert!(output.status.success(), "{place}: {}", stderr(&output));
        let cache = folder
            .path()
            .join("DVS128Gesture/frames_number_16_split_by_number.h5");
        let bytes = fs::read(cache).unwrap();
        assert!(
            first.get_or_insert_with(|| bytes.clone()) == &bytes,
            "{place}"
        );
    }
}

#[test]
fn finds_the_extracted_folder_and_writes_outside_it() {
    for place in ["DvsGesture", "extract/DvsGesture"] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("DVS128Gesture");
        fs::create_dir_all(data.join(place)).unwrap();
        for (name, content) in dataset() {
            fs::write(data.join(place).join(name), content).unwrap();
        }
        let output = quick_start(folder.path()).output().unwrap();
        assert!(output.status.success(), "{place}: {}", stderr(&output));
        assert!(data.join("frames_number_16_split_by_number.h5").exists());
        assert_eq!(
            fs::read_dir(data.join(place)).unwrap().count(),
            dataset().len(),
            "{place}"
        );
    }
}

#[test]
fn dvs_data_sets_the_folder_and_options_name_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    archive(folder.path(), &dataset());
    for (args, name) in [
        (
            &["-T", "8", "--split", "time"][..],
            "frames_number_8_split_by_time.h5",
        ),
        (&["--duration", "100us"], "duration_100.h5"),
    ] {
        let output = dvs_prep(args)
            .env("DVS_DATA", folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(folder.path().join(name).exists());
    }
}

#[test]
fn missing_input_error_suggests_remedies() {
    let folder = tempfile::tempdir().unwrap();
    let output = quick_start(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    for part in ["no input is named", "$DVS_DATA", "dvs-prep synth"] {
        assert!(said.contains(part), "{said}");
    }
}
