//! With no argument but the split, the dataset is found where the README says, and the cache is named and placed so
//! that training finds it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::*;

/// Runs `dvs-prep` with the README's arguments in `folder`.
fn readme(folder: &Path) -> Command {
    let mut command = dvs_prep(["--frames", "16", "--split", "number"]);
    command.current_dir(folder);
    command
}

#[test]
fn every_place_of_the_archive_is_found() {
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
        let output = readme(folder.path()).output().unwrap();
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
fn the_extracted_folder_is_found_and_the_cache_lies_beside_it() {
    for place in ["DvsGesture", "extract/DvsGesture"] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("DVS128Gesture");
        fs::create_dir_all(data.join(place)).unwrap();
        for (name, content) in dataset() {
            fs::write(data.join(place).join(name), content).unwrap();
        }
        let output = readme(folder.path()).output().unwrap();
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
fn the_variable_names_another_folder_and_names_follow_the_options() {
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
fn nothing_found_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let output = readme(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    for part in ["no input is named", "$DVS_DATA", "dvs-prep synth"] {
        assert!(said.contains(part), "{said}");
    }
}
