//! CI pipelines rely on the cache key, on identical bytes, on the exit status, on the fields of the
//! JSON output, and on plain output without a terminal.

#![cfg(unix)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::running::report_skipped;
use crate::support::*;

fn key(input: &Path, args: &[&str]) -> String {
    let said = run(&[&["key", "-i", text(input)], args].concat()).stdout;
    let said = String::from_utf8(said).unwrap();
    let key = said.trim_end().to_owned();
    assert_eq!(said, format!("{key}\n"), "a key is one line");
    // GitHub, GitLab and all file systems accept such a key.
    assert!(key.len() < 200 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    key
}

/// Writes the dataset in every supported container, each into its own folder.
fn containers(folder: &Path, files: &Files) -> Vec<PathBuf> {
    let place = |name: &str| {
        let path = folder.join(name.replace('.', "_")).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    let reversed: Files = files.iter().rev().cloned().collect();
    let inner = vec![("DvsGesture.tar.gz".to_owned(), gzip(&tar(files)))];
    let mut paths = Vec::new();
    for (name, bytes) in [
        ("a.tar.gz", gzip(&tar(files))),
        ("b.tar.gz", gzip(&tar(&reversed))),
        ("c.tar", tar(files)),
        ("d.zip", zip(files)),
        ("e.zip", zip(&inner)),
    ] {
        paths.push(place(name));
        fs::write(paths.last().unwrap(), bytes).unwrap();
    }
    let extracted = place("f").join("DvsGesture");
    fs::create_dir_all(&extracted).unwrap();
    for (name, content) in files {
        fs::write(extracted.join(name), content).unwrap();
    }
    paths.push(extracted);
    paths
}

#[test]
fn keys_and_cache_bytes_correspond_one_to_one() {
    let folder = tempfile::tempdir().unwrap();
    let (mut keys, mut bytes) = (BTreeSet::new(), BTreeSet::new());
    let mut distinct_keys = |inputs: &[PathBuf], args: &[&str]| {
        let output = folder.path().join("cache.h5");
        let all: BTreeSet<_> = inputs
            .iter()
            .map(|input| {
                let key = key(input, args);
                prepare(input, &output, &[args, &["--force"]].concat());
                (key, fs::read(&output).unwrap())
            })
            .collect();
        assert_eq!(all.len(), 1, "{args:?}: keys or bytes differ");
        for (key, made) in all {
            keys.insert(key);
            bytes.insert(made);
        }
        assert_eq!(
            keys.len(),
            bytes.len(),
            "{args:?}: the key or the bytes of other options"
        );
        keys.len()
    };
    let inputs = containers(folder.path(), &dataset());
    let mut expected = 0;
    for args in [
        &["-T", "4"][..],
        &["-T", "5"],
        &["-T", "4", "--split", "time"],
        &["--duration", "100us"],
        &["--duration", "101us"],
        &["-T", "4", "--keep-invalid"],
    ] {
        expected += 1;
        assert_eq!(
            distinct_keys(&inputs, args),
            expected,
            "{args:?} are as other options"
        );
    }
    // A single changed bit gives another key.
    let mut recording = content(&dataset(), "user01_led.aedat").to_vec();
    *recording.last_mut().unwrap() ^= 1;
    let other = containers(
        &folder.path().join("other"),
        &with(dataset(), "user01_led.aedat", &recording),
    );
    assert_eq!(distinct_keys(&other, &["-T", "4"]), expected + 1);
    // Unlisted files, the number of threads and the memory do not change the key.
    let mut more = dataset();
    more.push(("user29_led.aedat".to_owned(), b"anything".to_vec()));
    let more = containers(&folder.path().join("more"), &more);
    assert_eq!(distinct_keys(&more, &["-T", "4"]), expected + 1);
    assert_eq!(
        distinct_keys(&more, &["-T", "4", "-j", "1", "--memory", "64"]),
        expected + 1
    );
}

#[test]
fn key_is_stored_and_reused_until_the_input_changes() {
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &dataset());
    let first = key(&input, &[]);
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    let note = "frames_number_16_split_by_number.h5.source.json";
    assert_eq!(names, ["DvsGesture.tar.gz", note]);

    // If size and time are those in the note, the program does not read the input again. So it does
    // not notice these other bytes.
    let was = fs::metadata(&input).unwrap();
    let times = fs::FileTimes::new().set_modified(was.modified().unwrap());
    let rubbish = [&[0x1f, 0x8b][..], &vec![0; was.len() as usize - 2]].concat();
    fs::write(&input, rubbish).unwrap();
    let file = fs::File::options().write(true).open(&input).unwrap();
    file.set_times(times).unwrap();
    assert_eq!(key(&input, &[]), first);
    file.set_modified(std::time::SystemTime::now()).unwrap();
    let said = fail(&["key", "-i", text(&input)]);
    assert!(
        said.contains("cannot tell what") && said.contains(text(&input)),
        "{said}"
    );

    // An incomplete dataset has no key.
    archive(folder.path(), &without(dataset(), "trials_to_test.txt"));
    let said = fail(&["key", "-i", text(&input)]);
    assert!(said.contains("trials_to_test.txt is missing"), "{said}");

    // A broken note is ignored.
    archive(folder.path(), &dataset());
    fs::write(folder.path().join(note), "{").unwrap();
    assert_eq!(key(&input, &[]), first);

    // If no note can be written, the key is printed nevertheless.
    let nowhere = folder.path().join("nowhere/cache.h5");
    assert_eq!(key(&input, &["-o", text(&nowhere)]), first);
}

#[test]
fn a_restored_cache_is_used_without_reading_the_input() {
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &dataset());
    let output = folder.path().join("cache.h5");
    prepare(&input, &output, &[]);
    let made = fs::read(&output).unwrap();
    // The next job restores the cache alone, which has a new modification time.
    fs::remove_file(folder.path().join("cache.h5.source.json")).unwrap();
    fs::remove_file(&output).unwrap();
    run(&["key", "-i", text(&input), "-o", text(&output)]);
    fs::write(&output, made).unwrap();
    let was = fs::metadata(&input).unwrap();
    let rubbish = [&[0x1f, 0x8b][..], &vec![0; was.len() as usize - 2]].concat();
    fs::write(&input, rubbish).unwrap();
    let file = fs::File::options().write(true).open(&input).unwrap();
    file.set_modified(was.modified().unwrap()).unwrap();
    let said = String::from_utf8(prepare(&input, &output, &[]).stdout).unwrap();
    assert!(said.contains("already there"), "{said}");
}

/// The names of an object's fields, including those of nested objects.
fn fields(json: &Value) -> Vec<String> {
    let Value::Object(object) = json else {
        return Vec::new();
    };
    let mut names: Vec<_> = object.keys().cloned().collect();
    for (name, value) in object {
        names.extend(
            fields(value)
                .into_iter()
                .map(|inner| format!("{name}.{inner}")),
        );
    }
    names.sort_unstable();
    names
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn json_has_the_fields_the_readme_promises() {
    let readme = include_str!("../../dvs-prep/README.md");
    let promised = |command: &str| -> Vec<String> {
        let row = readme
            .lines()
            .find(|line| line.starts_with(&format!("| `{command} --json` |")))
            .unwrap_or_else(|| panic!("the README says nothing of {command} --json"));
        let mut names: Vec<_> = row
            .split('`')
            .skip(3)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        names.sort_unstable();
        names
    };
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &dataset());
    let output = folder.path().join("cache.h5");
    let top = |output: &Output| -> Vec<String> {
        let all = fields(&json(output));
        all.into_iter().filter(|name| !name.contains('.')).collect()
    };
    let key = run(&["key", "--json", "-i", text(&input)]);
    assert_eq!(top(&key), promised("key"));
    let made = prepare(&input, &output, &["--json"]);
    let info = run(&["info", "--json", text(&output)]);
    assert_eq!(top(&info), promised("info"));
    let mut whole = [promised("info"), promised("prepare")].concat();
    whole.sort_unstable();
    assert_eq!(top(&made), whole);
    let verify = run(&["verify", "--json", text(&output)]);
    assert_eq!(top(&verify), promised("verify"));
}

#[test]
fn cache_bytes_do_not_depend_on_the_environment() {
    let input = data("DvsGesture-mini.tar.gz");
    let mut first: Option<Vec<u8>> = None;
    for (i, jobs) in ["1", "2", "5", "2"].into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join(format!("cache-{i}.h5"));
        // Every run has another folder and file name. Time zone, locale and user differ too, and
        // all later runs start at least a second after the first.
        let done = dvs_prep([
            "-T",
            "8",
            "-i",
            text(&input),
            "-o",
            text(&output),
            "-j",
            jobs,
        ])
        .current_dir(folder.path())
        .env("TZ", ["UTC", "Asia/Tokyo", "America/New_York", "UTC"][i])
        .env("LC_ALL", ["C", "de_DE.UTF-8", "tr_TR.UTF-8", "C"][i])
        .env("USER", format!("user{i}"))
        .output()
        .unwrap();
        assert!(done.status.success(), "{}", stderr(&done));
        let bytes = fs::read(&output).unwrap();
        assert!(
            *first.get_or_insert_with(|| bytes.clone()) == bytes,
            "run {i} differs"
        );
        std::thread::sleep(std::time::Duration::from_millis(if i == 0 {
            1100
        } else {
            0
        }));
    }
}

#[test]
fn piped_output_has_no_colour_or_progress_bar() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("cache.h5");
    let input = data("DvsGesture-mini.tar.gz");
    let made = prepare(&input, &output, &["--force"]);
    assert_eq!(stderr(&made), "");
    for args in [
        &["--help"][..],
        &["--frames", "x"],
        &["-i", "absent"],
        &["info", text(&output)],
    ] {
        let said = dvs_prep(args)
            .env("CLICOLOR", "1")
            .env("TERM", "xterm-256color")
            .output()
            .unwrap();
        for bytes in [&said.stdout, &said.stderr] {
            assert!(
                !bytes.contains(&0x1b) && !bytes.contains(&b'\r'),
                "{args:?}"
            );
        }
    }
}

/// The output of the program on a terminal, or `None` if `script` cannot be run to make one.
fn on_a_terminal(args: &[&str], no_color: bool) -> Option<String> {
    let command = [&[env!("CARGO_BIN_EXE_dvs-prep")], args].concat().join(" ");
    let mut script = Command::new("script");
    script
        .args(["-qec", &command, "/dev/null"])
        .env("TERM", "xterm-256color");
    script
        .env_remove("NO_COLOR")
        .env_remove("CI")
        .stdin(std::process::Stdio::null());
    if no_color {
        script.env("NO_COLOR", "1");
    }
    Some(String::from_utf8_lossy(&script.output().ok()?.stdout).into_owned())
}

#[test]
fn terminal_output_has_progress_and_respects_no_color() {
    let Some(coloured) = on_a_terminal(&["--frames", "x"], false) else {
        return report_skipped("output on terminals", "there is no `script` to make one");
    };
    // Colours and font weights are escape sequences of the form ESC [ numbers m.
    let is_coloured = |said: &str| {
        said.split("\x1b[").skip(1).any(|part| {
            part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';')
                .starts_with('m')
        })
    };
    assert!(
        is_coloured(&coloured),
        "{coloured:?}: the test tests nothing"
    );
    let plain = on_a_terminal(&["--frames", "x"], true).unwrap();
    assert!(
        plain.contains("--frames") && !is_coloured(&plain),
        "{plain:?}"
    );
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("cache.h5");
    let input = data("DvsGesture-mini.tar.gz");
    let said = on_a_terminal(
        &["-T", "256", "-i", text(&input), "-o", text(&output)],
        true,
    )
    .unwrap();
    assert!(
        said.contains("preparing") && said.contains("ETA"),
        "{said:?}"
    );
    assert!(!is_coloured(&said), "{said:?}");
}
