//! Datasets without trial lists have a folder for each class and a file for each sample. Their
//! frames, their order and their division into sets are those of SpikingJelly 2.0.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use dvs_shared::{CacheFile, Set};
use flate2::read::GzDecoder;
use serde_json::Value;
use tempfile::TempDir;

use crate::inputs::*;
use crate::support::{data, fail, gzip, measured, prepare, run, stderr, text, zip};

/// The ways to divide samples into frames, and SpikingJelly's folders of such frames.
const WAYS: [(&[&str], &str); 3] = [
    (NUMBER, "frames_number_4_split_by_number"),
    (TIME, "frames_number_4_split_by_time"),
    (DURATION, "duration_20000"),
];
const SHARE: &str = "--test-share=0.25";
const CLASSES: [&str; 3] = ["airplane", "bird", "truck"];

/// Unpacks `classes.tar.gz`, which `scripts/make_classes.py` made.
fn unpacked() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = GzDecoder::new(File::open(data("classes.tar.gz")).unwrap());
    tar::Archive::new(file).unpack(folder.path()).unwrap();
    folder
}

/// The names of the samples of a cache with their classes, in the order of the cache.
fn order(cache: &Path, set: Set) -> Vec<String> {
    let cache = CacheFile::open(cache).unwrap();
    let names = &cache.header.label_names;
    let rows = cache.set(set).samples.iter();
    rows.map(|row| format!("{}/{}", names[usize::from(row.label)], row.name))
        .collect()
}

/// Expects that all inputs give the same cache and the same key.
fn assert_same(inputs: &[PathBuf], args: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let mut found = BTreeSet::new();
    for (i, input) in inputs.iter().enumerate() {
        for jobs in ["1", "3"] {
            let cache = folder.path().join(format!("{i}.h5"));
            let args = [args, &["--force", "--jobs", jobs]].concat();
            prepare(input, &cache, &args);
            found.insert(fs::read(&cache).unwrap());
        }
        let output = folder.path().join(format!("{i}.h5"));
        let key = [&["key", "-i", text(input), "-o", text(&output)], args].concat();
        found.insert(run(&key).stdout);
    }
    assert_eq!(found.len(), 2, "a cache and a key from {inputs:?}");
}

/// A `.zip` of the files of `folder`. Their names begin with `prefix`.
fn zipped(folder: &Path, prefix: &str) -> Vec<u8> {
    let named = |file: &PathBuf| {
        let name = file.strip_prefix(folder).unwrap().to_str().unwrap();
        (format!("{prefix}{name}"), fs::read(file).unwrap())
    };
    zip(&files(folder).iter().map(named).collect::<Vec<_>>())
}

#[test]
fn frames_match_those_of_spikingjelly() {
    let folder = unpacked();
    let at = |name: &str| folder.path().join(name);
    for (args, ready) in WAYS {
        let share = [args, &[SHARE]].concat();
        let ours = without_windows(prepared(&at("cifar10dvs"), &share));
        assert_eq!(ours.len(), 12);
        let theirs = at("cifar10dvs-sj").join(ready);
        assert_eq!(ours, prepared(&theirs, &[SHARE]), "CIFAR10-DVS, {ready}");
        let ours = without_windows(prepared(&at("nmnist"), args));
        assert_eq!(ours.len(), 12);
        // SpikingJelly's folders of ready frames have labels for names. Labels 3 and 7 are the second
        // and the third class of this small part of N-MNIST.
        let theirs = prepared(&at("nmnist-sj").join(ready), &[]);
        let theirs = theirs.into_iter().map(|((set, name, digit), held)| {
            let label = [0, 3, 7].iter().position(|d| *d == digit).unwrap();
            ((set, name, label as u8), held)
        });
        assert_eq!(ours, theirs.collect(), "N-MNIST, {ready}");
    }
}

#[test]
fn order_and_test_set_are_those_of_spikingjelly() {
    let folder = unpacked();
    let cache = folder.path().join("c.h5");
    let input = folder.path().join("cifar10dvs");
    prepare(&input, &cache, &[NUMBER, &[SHARE]].concat());
    let split = fs::read_to_string(folder.path().join("cifar10dvs-sj/split.txt")).unwrap();
    for set in Set::ALL {
        let prefix = format!("{} ", set.name());
        let expected: Vec<&str> = split
            .lines()
            .filter_map(|l| l.strip_prefix(&prefix))
            .collect();
        assert_eq!(order(&cache, set), expected);
    }
}

#[test]
fn all_containers_give_the_same_cache_and_key() {
    let folder = unpacked();
    let at = |name: &str| folder.path().join(name);
    let input = at("cifar10dvs");
    let mut inputs = vec![input.clone()];
    for (place, prefixed) in [("zips", true), ("flat", false)] {
        for class in CLASSES {
            let prefix = if prefixed {
                format!("{class}/")
            } else {
                String::new()
            };
            let bytes = zipped(&input.join(class), &prefix);
            write(&at(place).join(format!("{class}.zip")), &bytes);
        }
        inputs.push(at(place));
    }
    write(&at("one.zip"), &zip_of(&input));
    write(&at("root.zip"), &zipped(&input, ""));
    write(&at("one.tar"), &tar_of(&input));
    write(&at("one.tar.gz"), &gzip(&tar_of(&input)));
    inputs.extend(["one.zip", "root.zip", "one.tar", "one.tar.gz"].map(at));
    // The folder above the dataset is searched, too.
    write(&at("above/note.txt"), b"");
    fs::rename(&input, at("above/data")).unwrap();
    inputs[0] = at("above/data");
    inputs.push(at("above"));
    assert_same(&inputs, &[NUMBER, &[SHARE, "--split-seed=5"]].concat());
}

#[test]
fn nmnist_is_found_by_either_of_its_archives() {
    let folder = unpacked();
    let at = |name: &str| folder.path().join(name);
    for set in ["Train", "Test"] {
        let bytes = zipped(&at("nmnist").join(set), &format!("{set}/"));
        write(&at("zips").join(format!("{set}.zip")), &bytes);
    }
    let inputs = ["nmnist", "zips", "zips/Train.zip", "zips/Test.zip"].map(at);
    assert_same(&inputs, NUMBER);
    let said = recognised(&at("zips"), NUMBER);
    assert!(said.starts_with("N-MNIST: 3 classes, 12 samples"), "{said}");
    fs::remove_file(at("zips/Test.zip")).unwrap();
    let said = fail(&["-i", text(&at("zips/Train.zip"))]);
    assert!(said.contains("no samples of the set `test`"), "{said}");
    let said = fail(&["-i", text(&at("nmnist/Test"))]);
    assert!(said.contains("no samples of the set `train`"), "{said}");
}

#[test]
fn cache_and_key_hold_the_division_into_sets() {
    let folder = unpacked();
    let (input, cache) = (folder.path().join("cifar10dvs"), folder.path().join("c.h5"));
    let key = |args: &[&str]| run(&[&["key", "-i", text(&input)], args].concat()).stdout;
    let seeded = |seed: &'static str| [SHARE, "--split-seed", seed];
    let keys = [
        key(&[SHARE]),
        key(&["--test-share", "0.5"]),
        key(&seeded("0")),
        key(&seeded("1")),
    ];
    assert_eq!(BTreeSet::from(keys).len(), 4);
    prepare(&input, &cache, &seeded("1"));
    run(&["verify", text(&cache)]);
    let again = prepare(&input, &cache, &seeded("1"));
    assert!(
        String::from_utf8(again.stdout)
            .unwrap()
            .contains("already there")
    );
    let held = hdf5::File::open(&cache).unwrap();
    let share: hdf5::types::VarLenUnicode = held.attr("test_share").unwrap().read_scalar().unwrap();
    assert_eq!(share.as_str(), "0.25");
    let seed: u64 = held.attr("split_seed").unwrap().read_scalar().unwrap();
    assert_eq!(seed, 1);
    let info: Value =
        serde_json::from_slice(&run(&["info", text(&cache), "--json"]).stdout).unwrap();
    assert_eq!(
        (&info["test_share"], &info["split_seed"]),
        (&"0.25".into(), &1.into())
    );
    for (args, said) in [
        (
            &[SHARE][..],
            "with --split-seed 1, not without --split-seed",
        ),
        (
            &["--test-share", "0.5", "--split-seed", "1"],
            "with --test-share 0.25, not with --test-share 0.5",
        ),
    ] {
        let error = fail(&[&["-i", text(&input), "-o", text(&cache)], args].concat());
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn classes_may_have_an_order_of_their_own() {
    let folder = unpacked();
    let (input, cache) = (folder.path().join("cifar10dvs"), folder.path().join("c.h5"));
    let list = folder.path().join("classes.csv");
    fs::write(&list, "truck,0\nairplane,1\nship,2\nbird,3\n").unwrap();
    let classes = format!("--classes={}", text(&list));
    prepare(&input, &cache, &[SHARE, &classes]);
    let held = CacheFile::open(&cache).unwrap();
    assert_eq!(
        held.header.label_names,
        ["truck", "airplane", "ship", "bird"]
    );
    assert_eq!(order(&cache, Set::Test)[0], "truck/cifar10_truck_2");
    fs::write(&list, "truck,0\nairplane,1\n").unwrap();
    let said = fail(&["-i", text(&input), SHARE, &classes]);
    assert!(
        said.contains("its folder bird is none of the classes"),
        "{said}"
    );
    // Folders that are numbers are in the order of their values, and numbers may have names.
    let numbers = folder.path().join("numbers");
    for (class, number) in CLASSES.iter().zip(["2", "10", "0"]) {
        fs::create_dir_all(&numbers).unwrap();
        fs::rename(input.join(class), numbers.join(number)).unwrap();
    }
    prepare(&numbers, &cache, &[SHARE, "--force"]);
    assert_eq!(
        CacheFile::open(&cache).unwrap().header.label_names,
        ["0", "2", "10"]
    );
    let names: String = (0..11).map(|i| format!("class {i},{i}\n")).collect();
    fs::write(&list, names).unwrap();
    prepare(&numbers, &cache, &[SHARE, &classes, "--force"]);
    assert_eq!(order(&cache, Set::Test)[2], "class 10/cifar10_bird_2");
}

#[test]
fn view_and_export_read_class_folders() {
    let folder = unpacked();
    let at = |name: &str| folder.path().join(name);
    let shown = |args: &[&str]| -> Value {
        let line = [&["view"], args, &["--json"]].concat();
        serde_json::from_slice(&run(&line).stdout).unwrap()
    };
    let (input, cache) = (at("cifar10dvs"), at("c.h5"));
    prepare(&input, &cache, &[NUMBER, &[SHARE]].concat());
    let of_cache = shown(&[text(&cache), "--sample=cifar10_bird_2"]);
    // Without a division, the sample has no set.
    for (args, set) in [(&[SHARE][..], Value::from("test")), (&[], Value::Null)] {
        let args = [&[text(&input), "--sample=cifar10_bird_2", "-T=4"], args].concat();
        let found = shown(&args);
        assert_eq!(found["samples"][0]["set"], set);
        assert_eq!(found["samples"][0]["label_name"], "bird");
        assert_eq!(found["samples"][0]["frames"].as_array().unwrap().len(), 4);
        for field in ["events_off", "events_on"] {
            let counts = |v: &Value| v["samples"][0]["frames"][1][field].clone();
            assert_eq!(counts(&found), counts(&of_cache));
        }
    }
    // A single file is read as in its dataset.
    let one = shown(&[text(&input.join("bird/cifar10_bird_2.aedat"))]);
    assert_eq!(one["recognised"], shown(&[text(&input)])["recognised"]);
    let bin = shown(&[text(&at("nmnist/Test/3/00001.bin"))]);
    assert_eq!(bin["samples"][0]["events"], 904);

    // Both sets of N-MNIST have files of the same name.
    run(&[
        "export",
        text(&at("nmnist")),
        "--to=events-npz",
        "-o",
        text(&at("out")),
    ]);
    let ours = prepared(&at("nmnist"), NUMBER);
    let again = prepared(
        &at("out/events_np"),
        &[NUMBER, &["--sensor=34x34"]].concat(),
    );
    assert_eq!(ours, again);
}

#[test]
fn arrays_and_recordings_of_any_format_may_be_samples() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("mixed");
    let events = crate::support::events(500, 0, 10);
    for (class, start) in [("left", 0), ("right", 3)] {
        for k in 0..2 {
            let shown = &events[start + k..];
            let name = |ending: &str| place.join(format!("{class}/{k}{ending}"));
            write(&name("_a.npz"), &events_npz(shown));
            write(&name("_b.aedat"), &crate::support::recording(shown));
        }
    }
    let said = fail(&["-i", text(&place), "--test-share=0.5"]);
    assert!(said.contains("say it with --sensor"), "{said}");
    let all = prepared(&place, &["--test-share=0.5", "--sensor=128x128", "-T=2"]);
    assert_eq!(all.len(), 8);
    for class in [0, 1] {
        for (array, recording) in [("0_a", "0_b"), ("1_a", "1_b")] {
            let held = |name: &str| {
                let found = all.iter().find(|((_, n, l), _)| n == name && *l == class);
                found.unwrap().1
            };
            assert_eq!(held(array), held(recording));
        }
    }
    // Sets may have any case, and their classes need not be the same.
    let sets = folder.path().join("sets");
    for (set, class) in [("TRAIN", "left"), ("TRAIN", "right"), ("Test", "left")] {
        fs::create_dir_all(sets.join(set)).unwrap();
        for file in files(&place.join(class)) {
            let to = sets.join(set).join(class).join(file.file_name().unwrap());
            write(&to, &fs::read(&file).unwrap());
        }
    }
    let all = prepared(&sets, &["--sensor=128x128", "-T=2"]);
    let number = |set: Set| all.keys().filter(|(s, ..)| *s == set).count();
    assert_eq!((number(Set::Train), number(Set::Test)), (8, 4));
}

#[test]
fn refuses_what_can_be_read_in_several_ways() {
    let folder = unpacked();
    let at = |name: &str| folder.path().join(name);
    let input = at("cifar10dvs");
    let one = fs::read(input.join("bird/cifar10_bird_1.aedat")).unwrap();
    let refused = |args: &[&str], said: &[&str]| {
        let error = fail(&[&["-i", text(&input)], args].concat());
        for part in said {
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
    };
    refused(
        &[],
        &["CIFAR10-DVS: 3 classes, 12 samples", "Add --test-share 0.1"],
    );
    refused(
        &["--test-share=0.1"],
        &["leaves no sample for testing", "the largest class has 4"],
    );
    for (file, said) in [
        ("bird/other.aedat", "truck/cifar10_truck"),
        (
            "train/bird/cifar10_bird_9.aedat",
            "which of its folders are classes",
        ),
        (
            "bird/cifar10_bird_1.npz",
            "would be samples of the same name",
        ),
        ("birds.zip", "holds folders of classes"),
    ] {
        let said = if file == "bird/other.aedat" {
            "have the names of CIFAR10-DVS"
        } else {
            said
        };
        write(&input.join(file), &one);
        refused(&[SHARE], &[said]);
        fs::remove_file(input.join(file)).unwrap();
    }
    fs::remove_dir_all(input.join("train")).unwrap();
    // A set's folder must hold classes.
    for set in ["train", "test"] {
        write(&at("sets").join(set).join("a.bin"), &[0; 5]);
    }
    let said = fail(&["-i", text(&at("sets"))]);
    assert!(
        said.contains("no folder says of which class they are"),
        "{said}"
    );
    write(&at("one/bird.zip"), &zipped(&input.join("bird"), "bird/"));
    let said = fail(&["-i", text(&at("one/bird.zip")), SHARE]);
    assert!(said.contains("it holds one class, bird"), "{said}");
    let said = fail(&["-i", text(&at("nmnist")), SHARE]);
    assert!(said.contains("leave --test-share out"), "{said}");
    let gestures = data("DvsGesture-mini.tar.gz");
    let said = fail(&["-i", text(&gestures), "-o", text(&at("x.h5")), SHARE]);
    assert!(said.contains("leave --test-share out"), "{said}");
    // What is no sample is left out with a warning.
    write(&input.join("bird/notes.txt"), b"");
    write(&input.join("bird/more/cifar10_bird_7.aedat"), &one);
    let output = prepare(&input, &at("c.h5"), &[SHARE]);
    let said = stderr(&output);
    assert!(said.contains("no samples: bird/"), "{said}");
    assert!(
        said.contains("bird/notes.txt") && said.contains("bird/more"),
        "{said}"
    );
}

#[test]
fn archives_with_too_many_samples_are_refused_within_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.tar.gz");
    let mut gz =
        flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
    for i in 0..200_000 {
        let mut header = tar::Header::new_ustar();
        header.set_path(format!("{}/{i}.bin", i % 7)).unwrap();
        header.set_size(0);
        header.set_cksum();
        gz.write_all(header.as_bytes()).unwrap();
    }
    gz.finish().unwrap();
    let run = measured(&["-i", text(&path), "--sensor=34x34", SHARE]);
    let said = stderr(&run.output);
    assert!(said.contains("more than 131072 files"), "{said}");
    assert!(
        run.peak <= 400 && run.seconds < 10.0,
        "{} MiB, {} s",
        run.peak,
        run.seconds
    );
    // Recordings beside an archive in an archive are no classes.
    let gestures = fs::read(data("DvsGesture-mini.tar.gz")).unwrap();
    let files = [
        ("a/x.aedat", vec![]),
        ("b/y.aedat", vec![]),
        ("x/DvsGesture.tar.gz", gestures),
    ];
    let files = files.map(|(name, content)| (name.to_owned(), content));
    let path = folder.path().join("nested.zip");
    fs::write(&path, zip(&files)).unwrap();
    assert_eq!(prepared(&path, NUMBER).len(), 44);
    // A name may hold anything.
    let names = ["a/\u{1b}[2J.bin", "b/../../x.bin", "c/.bin", "/d/1.bin"];
    let files: Vec<_> = names.map(|name| (name.to_owned(), vec![0; 5])).into();
    let path = folder.path().join("names.zip");
    fs::write(&path, zip(&files)).unwrap();
    let said = fail(&["-i", text(&path), "--sensor=34x34", SHARE]);
    assert!(!said.contains('\u{1b}'), "{said}");
}
