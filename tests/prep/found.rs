//! The program finds a dataset in nested archives, in subfolders, and under path names with
//! backslashes. It accepts single samples and custom classes, and it recognises web pages that were
//! saved as data.

use std::fs;
use std::path::{Path, PathBuf};

use dvs_shared::CacheFile;
use serde_json::Value;

use crate::inputs;
use crate::inputs::{events_npz, npy, samples, write};
use crate::support;
use crate::support::{
    Files, content, dataset, events, fail, gzip, prepare, recording, run, stderr, tar, text, with,
    without, zip,
};

/// Expects that `input` gives the same cache, key and view as an archive of `dataset()`.
fn assert_gives_dataset(input: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let (plain, found) = (
        folder.path().join("plain.h5"),
        folder.path().join("found.h5"),
    );
    let archive = support::archive(folder.path(), &dataset());
    prepare(&archive, &plain, &["-T", "2"]);
    prepare(input, &found, &["-T", "2"]);
    assert_eq!(fs::read(&found).unwrap(), fs::read(&plain).unwrap());
    let key = |input: &Path| run(&["key", "-i", text(input)]).stdout;
    assert_eq!(key(input), key(&archive));
    let shown = |input: &Path| {
        let shown = json(&["view", text(input), "--sample", "user02_lab_0@10"]);
        shown["samples"].clone()
    };
    assert_eq!(shown(input), shown(&archive));
}

fn json(args: &[&str]) -> Value {
    serde_json::from_slice(&run(&[args, &["--json"]].concat()).stdout).unwrap()
}

fn file(name: &str, content: &[u8]) -> (String, Vec<u8>) {
    (name.to_owned(), content.to_vec())
}

fn gesture_mapping() -> Vec<u8> {
    let names = (1..).zip(dvs_shared::labels::LABEL_NAMES);
    let rows: String = names.map(|(i, name)| format!("{name},{i}\n")).collect();
    format!("Action,Label\n{rows}").into_bytes()
}

#[test]
fn finds_the_archive_anywhere_in_a_zip() {
    let folder = tempfile::tempdir().unwrap();
    let inner = gzip(&tar(&dataset()));
    let beside = [
        file(
            "DVS  Gesture dataset/gesture_mapping.csv",
            &gesture_mapping(),
        ),
        file("DVS  Gesture dataset/LICENSE.txt", b"CC"),
        file("DVS  Gesture dataset/README.txt", b"Read me"),
    ];
    for (name, content) in [
        ("DVS  Gesture dataset/DvsGesture.tar.gz", &inner),
        ("DvsGesture.tar.gz", &inner),
        ("a/b/c/DvsGesture.tgz", &inner),
        ("a/DvsGesture.tar", &tar(&dataset())),
        ("a\\b\\DvsGesture.tar.gz", &inner),
    ] {
        let box_zip = folder.path().join("box.zip");
        let files = [&beside[..], &[file(name, content)]].concat();
        fs::write(&box_zip, zip(&files)).unwrap();
        assert_gives_dataset(&box_zip);
        let alone = [file(name, content)];
        fs::write(&box_zip, zip(&alone)).unwrap();
        assert_gives_dataset(&box_zip);
    }
}

#[test]
fn uses_class_names_beside_an_archive_without_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let names: String = (1..=11).map(|i| format!("own{i},{i}\n")).collect();
    let other: String = (1..=11).map(|i| format!("other{i},{i}\n")).collect();
    for (inside, first) in [(None, "other1"), (Some(&names), "own1")] {
        let mut files = dataset();
        files.extend(inside.map(|names| file("gesture_mapping.csv", names.as_bytes())));
        let zipped = [
            file("x/DvsGesture.tar.gz", &gzip(&tar(&files))),
            file("x/gesture_mapping.csv", other.as_bytes()),
        ];
        let path = folder.path().join("x.zip");
        fs::write(&path, zip(&zipped)).unwrap();
        let cache = folder.path().join("x.h5");
        prepare(&path, &cache, &["-T", "2", "--force"]);
        assert_eq!(
            CacheFile::open(&cache).unwrap().header.label_names[0],
            first
        );
        let shown = json(&["view", text(&path), "--sample", "user01_led_0@2"]);
        assert_eq!(shown["samples"][0]["label_name"], first.replace('1', "3"));
    }
}

#[test]
fn errors_list_what_an_unusable_archive_holds() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let inner = zip(&dataset());
    let outer = [file("x/DvsGesture.zip", &inner), file("x/README", b"")];
    fs::write(at("zip.zip"), zip(&outer)).unwrap();
    fs::write(at("tar.tar"), tar(&outer.to_vec())).unwrap();
    for name in ["zip.zip", "tar.tar"] {
        let prepared = fail(&["-i", text(&at(name))]);
        let viewed = fail(&["view", text(&at(name))]);
        for said in [prepared, viewed] {
            assert!(
                said.contains("1 archive within it:") && said.contains("x/DvsGesture.zip"),
                "{said}"
            );
        }
    }
    let holiday = [file("beach.jpg", b""), file("sea.jpg", b"")];
    fs::write(at("photos.zip"), zip(&holiday)).unwrap();
    let said = fail(&["-i", text(&at("photos.zip"))]);
    assert!(said.contains("it holds beach.jpg, sea.jpg"), "{said}");
    let several = [file("a.tar.gz", &gzip(b"")), file("b.tar.gz", &gzip(b""))];
    fs::write(at("several.zip"), zip(&several)).unwrap();
    let said = fail(&["-i", text(&at("several.zip"))]);
    assert!(said.contains("a.tar.gz, b.tar.gz"), "{said}");
    // If two archives have the right name, the program does not choose one.
    let inner = gzip(&tar(&dataset()));
    let twice = [
        file("a/DvsGesture.tar.gz", &inner),
        file("b/DvsGesture.tar.gz", &inner),
    ];
    fs::write(at("twice.zip"), zip(&twice)).unwrap();
    let said = fail(&["-i", text(&at("twice.zip"))]);
    assert!(
        said.contains("a/DvsGesture.tar.gz") && said.contains("b/DvsGesture.tar.gz"),
        "{said}"
    );
    // The program recognises a web page that was saved under the archive's name.
    let page = [file("x/DvsGesture.tar.gz", b"<!DOCTYPE html><title>Box")];
    fs::write(at("page.zip"), zip(&page)).unwrap();
    let said = fail(&["-i", text(&at("page.zip"))]);
    assert!(
        said.contains("x/DvsGesture.tar.gz") && said.contains("HTML page"),
        "{said}"
    );
}

#[test]
fn backslashes_separate_folders_in_every_container() {
    let folder = tempfile::tempdir().unwrap();
    let files: Files = dataset()
        .into_iter()
        .map(|(name, content)| (format!("DvsGesture\\{name}"), content))
        .collect();
    let zipped = folder.path().join("windows.zip");
    fs::write(&zipped, zip(&files)).unwrap();
    assert_gives_dataset(&zipped);
    let tarred = folder.path().join("windows.tar");
    fs::write(&tarred, tar(&files)).unwrap();
    assert_gives_dataset(&tarred);
    // When Python unpacks the archive, it keeps the backslashes in the names.
    let unpacked = folder.path().join("unpacked");
    for (name, content) in &files {
        write(&unpacked.join(name), content);
    }
    assert_gives_dataset(&unpacked);
}

/// Writes a dataset's files into a folder.
fn unpack(folder: &Path, files: &Files) {
    for (name, content) in files {
        write(&folder.join(name), content);
    }
}

#[test]
fn finds_the_only_dataset_in_subfolders() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("place");
    unpack(&place.join("DvsGesture/DvsGesture"), &dataset());
    assert_gives_dataset(&place);
    let other = folder.path().join("other");
    write(
        &other.join("downloads/IBM/DvsGesture.tar.gz"),
        &gzip(&tar(&dataset())),
    );
    write(
        &other.join("downloads/IBM/gesture_mapping.csv"),
        &gesture_mapping(),
    );
    assert_gives_dataset(&other);
    let third = folder.path().join("third");
    write(&third.join("anything.tar.gz"), &gzip(&tar(&dataset())));
    write(&third.join("README"), b"");
    assert_gives_dataset(&third);
    // The program does not choose one of several datasets.
    write(&third.join("another.tar.gz"), &gzip(&tar(&dataset())));
    let said = fail(&["-i", text(&third)]);
    assert!(
        said.contains("another.tar.gz") && said.contains("anything.tar.gz"),
        "{said}"
    );
    unpack(&other.join("more/x"), &dataset());
    let said = fail(&["-i", text(&other)]);
    assert!(
        said.contains("IBM/DvsGesture.tar.gz") && said.contains("more/x"),
        "{said}"
    );
    let nothing = folder.path().join("nothing");
    write(&nothing.join("notes.txt"), b"");
    let said = fail(&["-i", text(&nothing)]);
    assert!(said.contains("which holds notes.txt"), "{said}");
}

#[test]
fn uses_class_names_beside_a_nested_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let names: String = (1..=11).map(|i| format!("own{i},{i}\n")).collect();
    let inner = gzip(&tar(&dataset()));
    let files = vec![
        file("x/DvsGesture.tar.gz", &inner),
        file("x/gesture_mapping.csv", names.as_bytes()),
    ];
    let zipped = folder.path().join("x.zip");
    fs::write(&zipped, zip(&files)).unwrap();
    let unpacked = folder.path().join("unpacked");
    unpack(&unpacked, &files);
    let further = folder.path().join("further");
    unpack(&further.join("x/DvsGesture"), &dataset());
    write(&further.join("x/gesture_mapping.csv"), names.as_bytes());
    let key = |input: &Path| run(&["key", "-i", text(input)]).stdout;
    for (n, input) in [&zipped, &unpacked, &further].into_iter().enumerate() {
        let cache = folder.path().join(format!("{n}.h5"));
        prepare(input, &cache, &["-T", "2"]);
        let names = CacheFile::open(&cache).unwrap().header.label_names.clone();
        assert_eq!(names[0], "own1", "{}", input.display());
        assert_eq!(key(input), key(&zipped), "{}", input.display());
    }
}

#[test]
fn folder_search_reports_broken_archives_and_skips_unrelated_folders() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("place");
    write(&place.join("a/DvsGesture.tar.gz"), b"\x1f\x8b broken");
    let said = fail(&["-i", text(&place)]);
    assert!(said.contains("a/DvsGesture.tar.gz"), "{said}");
    // Folders named `train` and `test` count as samples only if they hold files of samples.
    let code = folder.path().join("code");
    write(&code.join("train/main.py"), b"import this");
    write(&code.join("test/main.py"), b"import this");
    let said = fail(&["-i", text(&code)]);
    assert!(said.contains("no DVS128 Gesture archive"), "{said}");
    unpack(&code.join("data"), &dataset());
    assert_gives_dataset(&code);
}

#[test]
fn single_sample_uses_the_class_names_of_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("events_np");
    let one = place.join("train/1/anna_0.npz");
    write(&one, &events_npz(&events(20, 50, 3)));
    write(
        &place.join("gesture_mapping.csv"),
        b"action,label\nrock,1\npaper,2\n",
    );
    for input in [&one, &place] {
        let shown = json(&["view", text(input)]);
        assert_eq!(shown["samples"][0]["label_name"], "paper");
    }
    // `--label 0` means the label 0, even if another class has the name `0`.
    write(
        &place.join("gesture_mapping.csv"),
        b"action,label\n1,1\n0,2\n",
    );
    let said = fail(&["view", text(&place), "--label", "0"]);
    assert!(said.contains("0"), "{said}");
}

#[test]
fn reports_missing_trial_lists_instead_of_a_missing_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let half = folder.path().join("half");
    unpack(
        &half.join("DvsGesture"),
        &without(dataset(), "trials_to_train.txt"),
    );
    let bare = folder.path().join("bare");
    let files = without(dataset(), "trials_to_train.txt");
    unpack(&bare, &without(files, "trials_to_test.txt"));
    for (input, missing) in [
        (&half, &["trials_to_train.txt"][..]),
        (&bare, &["trials_to_train.txt", "trials_to_test.txt"]),
    ] {
        for command in [&["-i"][..], &["key", "-i"]] {
            let said = fail(&[command, &[text(input)]].concat());
            for list in missing {
                assert!(said.contains(&format!("{list} is missing")), "{said}");
            }
            assert!(!said.contains("looked for"), "{said}");
        }
        let said = fail(&["view", text(input)]);
        assert!(said.contains("trials_to_train.txt is missing"), "{said}");
    }
}

#[test]
fn errors_identify_web_pages_and_lfs_pointers() {
    let folder = tempfile::tempdir().unwrap();
    let page = b"\r\n<!DOCTYPE html>\n<html><head><title>Box | Login</title>";
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n";
    for (bytes, named) in [
        (&page[..], "is an HTML page"),
        (pointer, "is a Git LFS pointer"),
        (b"", "is empty"),
        (b"7z\xbc\xaf\x27\x1c\0\0", "is a .7z file"),
    ] {
        let archive = folder.path().join("DvsGesture.tar.gz");
        fs::write(&archive, bytes).unwrap();
        let input = text(&archive);
        for said in [
            fail(&["-i", input]),
            fail(&["view", input]),
            fail(&["key", "-i", input]),
        ] {
            assert!(said.contains(named), "{said}");
            assert_eq!(said.matches(named).count(), 1, "{said}");
        }
        // Put the same bytes in the place of a recording and of a sample.
        let recordings = folder.path().join("recordings");
        unpack(&recordings, &with(dataset(), "user01_led.aedat", bytes));
        let one = recordings.join("user01_led.aedat");
        for said in [
            fail(&["-i", text(&recordings)]),
            fail(&["view", text(&one)]),
        ] {
            assert!(
                said.contains(named) && said.contains("user01_led"),
                "{said}"
            );
        }
        let sample = folder.path().join("events_np/train/0/user01_led_0.npz");
        write(&sample, bytes);
        write(
            &folder.path().join("events_np/test/0/b_0.npz"),
            &events_npz(&events(3, 0, 1)),
        );
        let said = fail(&["-i", text(&folder.path().join("events_np"))]);
        assert!(said.contains(named) || bytes.starts_with(b"7z"), "{said}");
        let said = fail(&["view", text(&sample)]);
        assert!(said.contains(named) || bytes.starts_with(b"7z"), "{said}");
    }
    for (bytes, named) in [(&page[..], "an HTML page"), (pointer, "a Git LFS pointer")] {
        for list in ["user01_led_labels.csv", "trials_to_train.txt"] {
            let recordings = folder.path().join("lists");
            unpack(&recordings, &with(dataset(), list, bytes));
            let said = fail(&["-i", text(&recordings)]);
            assert!(said.contains(named) && said.contains(list), "{said}");
        }
    }
}

#[test]
fn view_shows_single_samples_and_folders_of_samples() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("own/events_np");
    let write_sample = |set: &str, label: u8, name: &str, n: u64| {
        let path = place.join(format!("{set}/{label}/{name}.npz"));
        write(&path, &events_npz(&events(n, 50, 3)));
        path
    };
    let one = write_sample("train", 2, "anna_0", 20);
    write_sample("train", 2, "anna_1", 21);
    write_sample("train", 3, "anna_0", 22);
    write_sample("test", 3, "ben_0", 23);
    let shown = json(&["view", text(&one)]);
    let sample = &shown["samples"][0];
    assert_eq!(shown["input_kind"], "sample");
    for (key, value) in [
        ("sample", Value::from("anna_0@2")),
        ("label", 2.into()),
        ("set", "train".into()),
        ("events", 20.into()),
        ("start_us", 50.into()),
        ("end_us", 108.into()),
    ] {
        assert_eq!(sample[key], value, "{key}");
    }
    let alone = folder.path().join("user46_dc_0.npz");
    fs::copy(&one, &alone).unwrap();
    let shown = json(&["view", text(&alone)]);
    assert_eq!(shown["samples"][0]["sample"], "user46_dc_0");
    assert_eq!(shown["samples"][0]["label"], Value::Null);
    assert!(
        shown["recognised"][0]
            .as_str()
            .unwrap()
            .contains("128 x 128")
    );
    let said = fail(&["view", text(&alone), "--sensor", "100x100"]);
    assert!(
        said.contains("100 x 100") && said.contains("--ignore-outside"),
        "{said}"
    );
    let said = fail(&["-i", text(&alone)]);
    assert!(said.contains("is one sample. Name the folder"), "{said}");
    // The folder of the samples, the folder above it and an archive all give the same samples.
    let tarred = folder.path().join("own.tar");
    fs::write(&tarred, inputs::tar_of(&place)).unwrap();
    for input in [&place, &tarred, &folder.path().join("own")] {
        for (args, name, events) in [
            (&[][..], "anna_0@2", 20),
            (&["--sample", "2"], "anna_1@2", 21),
            (&["--label", "3"], "anna_0@3", 22),
            (&["--set", "test"], "ben_0@3", 23),
            (&["--sample", "ben_0"], "ben_0@3", 23),
        ] {
            let shown = json(&[&["view", text(input)], args].concat());
            let sample = &shown["samples"][0];
            assert_eq!(
                (&sample["sample"], &sample["events"]),
                (&name.into(), &events.into())
            );
        }
    }
    // `view` shows a sample of figshare's copy too.
    let mut bytes = Vec::new();
    for e in events(9, 1000, 1000) {
        for value in [
            f64::from(e.x),
            f64::from(e.y),
            f64::from(u8::from(e.polarity)),
            e.t as f64 / 1e3,
        ] {
            bytes.extend(value.to_le_bytes());
        }
    }
    let array = folder.path().join("x/ibmGestureTrain/user01_led/7.npy");
    write(&array, &npy("<f8", &[9, 4], &bytes));
    let shown = json(&["view", text(&array)]);
    let sample = &shown["samples"][0];
    assert_eq!(
        (&sample["sample"], &sample["end_us"]),
        (&"user01_led_0@7".into(), &9001.into())
    );
}

#[test]
fn view_takes_split_of_ready_frames_from_folder_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut counts = vec![0_u8; 3 * 2 * 128 * 128];
    counts[5] = 7;
    let frames = inputs::npz(&[("frames", npy("|u1", &[3, 2, 128, 128], &counts))]);
    let named = folder
        .path()
        .join("frames_number_3_split_by_time/train/4/a_0.npz");
    write(&named, &frames);
    let sample = json(&["view", text(&named)])["samples"][0].clone();
    assert_eq!(
        (&sample["events"], &sample["split_by"]),
        (&7.into(), &"time".into())
    );
    assert_eq!(sample["frames"][0]["events_off"], 7);
    let other = folder.path().join("mine/train/4/a_0.npz");
    write(&other, &frames);
    let said = fail(&["view", text(&other)]);
    assert!(said.contains("say how they were made"), "{said}");
    let told = json(&["view", text(&other), "--split", "number", "--frames", "3"]);
    assert_eq!(told["samples"][0]["split_by"], "number");
}

/// Writes a dataset with one class for each of `names`.
fn write_custom_classes(folder: &Path, names: &[&str]) -> PathBuf {
    let mut labels = "class,startTime_usec,endTime_usec\n".to_owned();
    for class in 1..=names.len() {
        labels += &format!("{class},{},{}\n", class * 100, class * 100 + 100);
    }
    let rows: String = (1..)
        .zip(names)
        .map(|(number, name)| format!("{name},{number}\n"))
        .collect();
    let mut files = dataset();
    let bytes = recording(&events(100 * names.len() as u64 + 200, 0, 1));
    for name in ["user01_led", "user02_lab"] {
        files = with(files, &format!("{name}.aedat"), &bytes);
        files = with(files, &format!("{name}_labels.csv"), labels.as_bytes());
    }
    files.push(file(
        "gesture_mapping.csv",
        format!("action,label\n{rows}").as_bytes(),
    ));
    unpack(folder, &files);
    folder.to_owned()
}

#[test]
fn custom_classes_use_their_own_names() {
    let folder = tempfile::tempdir().unwrap();
    let three = write_custom_classes(&folder.path().join("three"), &["rock", "paper", "scissors"]);
    let names: Vec<String> = (1..=19).map(|i| format!("animal{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let many = write_custom_classes(&folder.path().join("many"), &names);
    let tarred = folder.path().join("many.tar");
    fs::write(&tarred, inputs::tar_of(&many)).unwrap();
    for (input, label, number, name) in [
        (&three, "paper", 1, "paper"),
        (&three, "1", 1, "paper"),
        (&three.join("user01_led.aedat"), "scissors", 2, "scissors"),
        (&many, "15", 15, "animal16"),
        (&many, "animal19", 18, "animal19"),
        (&tarred, "animal19", 18, "animal19"),
    ] {
        let sample = json(&["view", text(input), "--label", label])["samples"][0].clone();
        assert_eq!(
            (&sample["label"], &sample["label_name"]),
            (&number.into(), &name.into())
        );
    }
    let all = json(&["view", text(&tarred), "--each-class"])["samples"].clone();
    assert_eq!(all.as_array().unwrap().len(), 19);
    let said = fail(&["view", text(&three), "--label", "hand_clapping"]);
    assert!(said.contains("rock, paper, scissors"), "{said}");
    // --classes overrides the names in the input. `view` gives the same errors as `prepare`.
    let classes = folder.path().join("classes.csv");
    fs::write(&classes, "stone,1\npaper,2\nshears,3\n").unwrap();
    let given = ["--classes", text(&classes)];
    let shown = json(&[&["view", text(&three), "--label", "shears"], &given[..]].concat());
    assert_eq!(shown["samples"][0]["label_name"], "shears");
    fs::write(&classes, "stone,1\npaper,5\n").unwrap();
    for command in [&["-i"][..], &["view"]] {
        let said = fail(&[command, &[text(&three)], &given[..]].concat());
        assert!(
            said.contains("for --classes: its 2 numbers are not"),
            "{said}"
        );
    }
    fs::remove_file(three.join("gesture_mapping.csv")).unwrap();
    unpack(
        &three,
        &vec![file(
            "user01_led_labels.csv",
            b"class,startTime_usec,endTime_usec\n12,1,2\n",
        )],
    );
    let said = fail(&["-i", text(&three)]);
    assert!(
        said.contains("class 12 is unknown") && said.contains("--classes"),
        "{said}"
    );
}

#[test]
fn view_refuses_options_that_do_not_fit_the_input() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("user01_led.aedat");
    fs::write(&path, content(&dataset(), "user01_led.aedat")).unwrap();
    let shown = run(&["view", text(&path), "--json"]);
    assert!(stderr(&shown).contains("all of it is one sample"));
    let cache = folder.path().join("a.h5");
    prepare(
        &support::archive(folder.path(), &dataset()),
        &cache,
        &["-T", "2"],
    );
    assert_eq!(samples(&cache).len(), 4);
    let archive = folder.path().join("DvsGesture.tar.gz");
    let said = fail(&["view", text(&archive), "--start-us", "1", "--end-us", "2"]);
    assert!(said.contains("are for one recording"), "{said}");
    for option in [
        &["--sensor", "128x128"][..],
        &["--ignore-outside"],
        &["--layout", "davis"],
        &["--stream", "1"],
        &["--classes", "x.csv"],
    ] {
        let line = [&["view", text(&cache)], option].concat();
        let output = support::dvs_prep(line).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(2),
            "{option:?}: {}",
            stderr(&output)
        );
    }
}
