//! The words of every kind of error, as a user reads them. If a change is meant, accept it:
//! `INSTA_UPDATE=always cargo test messages`.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::cameras::{addressed, aedat2, aedat3, aedat4, dataset_of, davis, events_on};
use crate::prophesee_files::{evt3, raw_header, rows_of};
use crate::support::*;

/// Runs commands in one folder and keeps what they print to standard error.
struct Transcript<'a> {
    folder: &'a Path,
    text: String,
}

impl Transcript<'_> {
    /// Runs a command line that has to fail.
    fn failing(&mut self, line: &str) {
        let output = dvs_prep(line.split(' '))
            .current_dir(self.folder)
            .output()
            .unwrap();
        let status = output.status.code().unwrap();
        assert!([1, 2].contains(&status), "{line} ends with {status}");
        writeln!(
            self.text,
            "$ dvs-prep {line}\n{}[{status}]\n",
            stderr(&output)
        )
        .unwrap();
    }

    /// Writes a dataset as a folder and expects that it cannot be prepared.
    fn dataset(&mut self, name: &str, files: &Files) {
        let folder = self.folder.join(name);
        for (file, content) in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        self.failing(&format!("-i {name} -o {name}.h5 -T 2"));
    }

    /// Writes a dataset whose recordings are these bytes and expects that it cannot be prepared.
    fn recordings(&mut self, name: &str, recording: &[u8], ending: &str) {
        dataset_of(&self.folder.join(name), recording, ending);
        self.failing(&format!("-i {name} -o {name}.h5 -T 2"));
    }
}

fn transcript(name: &str, record: impl FnOnce(&mut Transcript<'_>)) {
    let folder = tempfile::tempdir().unwrap();
    let mut transcript = Transcript {
        folder: folder.path(),
        text: String::new(),
    };
    record(&mut transcript);
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!(name, transcript.text);
    });
}

fn labels(rows: &str) -> Files {
    let text = format!("class,startTime_usec,endTime_usec\n{rows}");
    with(dataset(), "user02_lab_labels.csv", text.as_bytes())
}

#[test]
fn messages_about_options() {
    transcript("options", |t| {
        t.failing("-T 2000");
        t.failing("-T 4 --split duration");
        t.failing("--split duration");
        t.failing("--duration 100ms -T 4");
        t.failing("--duration soon");
        t.failing("--sensor 128");
        t.failing("--layout atis");
        t.failing("--memory 1");
        t.failing("--jobs 0");
        t.failing("--frame 4");
        t.failing("synth -o a.tar.gz --users 0");
        t.failing("synth -o a.tar.gz --event-rate 1");
        t.failing("export cache.h5 --to tonic");
    });
}

#[test]
fn messages_about_archives() {
    transcript("archives", |t| {
        t.failing("-i nowhere.tar.gz -o a.h5");
        fs::create_dir(t.folder.join("empty")).unwrap();
        t.failing("-i empty -o a.h5");
        fs::write(t.folder.join("notes.txt"), "hello").unwrap();
        t.failing("-i notes.txt -o a.h5");
        let whole = gzip(&tar(&dataset()));
        fs::write(t.folder.join("half.tar.gz"), &whole[..whole.len() / 2]).unwrap();
        t.failing("-i half.tar.gz -o a.h5");
        let mut flipped = whole.clone();
        let last = flipped.len() - 6;
        flipped[last] ^= 1;
        fs::write(t.folder.join("checksum.tar.gz"), flipped).unwrap();
        t.failing("-i checksum.tar.gz -o a.h5");
        let music = vec![("song.mp3".to_owned(), vec![0; 10])];
        fs::write(t.folder.join("music.tar"), tar(&music)).unwrap();
        t.failing("-i music.tar -o a.h5");
        fs::write(t.folder.join("music.zip"), zip(&music)).unwrap();
        t.failing("-i music.zip -o a.h5");
        fs::create_dir(t.folder.join("two")).unwrap();
        for name in ["a.zip", "b.zip"] {
            fs::write(t.folder.join("two").join(name), zip(&dataset())).unwrap();
        }
        t.failing("-i two -o a.h5");
        fs::write(t.folder.join("ibmGestureTrain.tar.gz"), &whole).unwrap();
        t.failing("-i ibmGestureTrain.tar.gz -o a.h5");
        let mut doubled = dataset();
        doubled.push(doubled[2].clone());
        fs::write(t.folder.join("doubled.tar"), tar(&doubled)).unwrap();
        t.failing("-i doubled.tar -o a.h5");
    });
}

#[test]
fn messages_about_lists_and_labels() {
    transcript("lists", |t| {
        t.dataset("no_list", &without(dataset(), "trials_to_test.txt"));
        t.dataset("no_recording", &without(dataset(), "user01_led.aedat"));
        t.dataset("no_labels", &without(dataset(), "user01_led_labels.csv"));
        let both = b"user02_lab.aedat\nuser01_led.aedat\n";
        t.dataset("in_both_sets", &with(dataset(), "trials_to_test.txt", both));
        t.dataset("empty_set", &with(dataset(), "trials_to_test.txt", b"\n"));
        t.dataset(
            "path_in_list",
            &with(dataset(), "trials_to_test.txt", b"../x.aedat\n"),
        );
        t.dataset(
            "no_header",
            &with(dataset(), "user02_lab_labels.csv", b"3,1000,2000\n"),
        );
        t.dataset("two_columns", &labels("3,1000\n"));
        t.dataset("unknown_class", &labels("99,1000,2000\n"));
        t.dataset("class_in_words", &labels("clap,1000,2000\n"));
        t.dataset("negative_window", &labels("3,2000,1000\n"));
        let mapping = b"hand_clapping,1\nhand_clapping,2\n";
        fs::write(t.folder.join("classes.csv"), mapping).unwrap();
        t.failing("-i no_list -o a.h5 --classes classes.csv");
        t.failing("-i no_list -o a.h5 --classes none.csv");
    });
}

#[test]
fn messages_about_recordings() {
    let davis_events = events_on(400, (346, 260));
    let addresses = addressed(&davis_events, |e| davis(e, (346, 260)));
    transcript("recordings", |t| {
        let aedat = |bytes: &[u8]| with(dataset(), "user01_led.aedat", bytes);
        t.dataset("text", &aedat(b"hello\n"));
        let whole = recording(&events(2500, 900, 1));
        let mut outside = events(2500, 900, 1);
        outside[7].x = 200;
        t.dataset("outside", &aedat(&recording(&outside)));
        let mut bytes = whole.clone();
        bytes[END_HEADER.len() + 4] = 99;
        t.dataset("packet_header", &aedat(&bytes));
        t.recordings("no_camera", &aedat2("", &addresses), ".aedat");
        t.recordings(
            "other_camera",
            &aedat2("# AEChip: ATIS304\r\n", &addresses),
            ".aedat",
        );
        let newer = aedat3("3.2", "#Source 1: DVS128\r\n", 1, &davis_events);
        t.recordings("newer", &newer, ".aedat");
        let streams = [
            (0, (346, 260), davis_events.as_slice()),
            (1, (346, 260), davis_events.as_slice()),
        ];
        t.recordings("streams", &aedat4(&streams), ".aedat4");
        let words = evt3(&rows_of(&davis_events), 1);
        let raw = |header: &[u8], words: &[u8]| [header, words].concat();
        t.recordings("no_size", &raw(b"% evt 3.0\n", &words), ".raw");
        let header = raw_header("HISTO3D", (320, 320));
        t.recordings("histogram", &raw(&header, &words), ".raw");
        let header = raw_header("EVT2", (346, 260));
        t.recordings("not_evt2", &raw(&header, &words), ".raw");
        let header = raw_header("EVT21", (346, 260));
        t.recordings("not_evt21", &raw(&header, &words), ".raw");
        fs::create_dir_all(t.folder.join("stray/train/waving")).unwrap();
        fs::write(t.folder.join("stray/train/waving/a.npz"), "PK").unwrap();
        t.failing("-i stray -o a.h5");
    });
}

#[test]
fn messages_about_class_folders() {
    transcript("class_folders", |t| {
        for name in [
            "digits/0/1.bin",
            "digits/1/1.bin",
            "digits/1/2.bin",
            "sets/train/a/1.bin",
            "sets/test/b/1.bin",
            "loose/train/1.bin",
            "loose/test/2.bin",
            "depths/a/1.bin",
            "depths/train/b/1.bin",
            "depths/c/1.bin",
            "twins/a/1.bin",
            "twins/a/1.npz",
            "twins/b/1.bin",
            "cifar10/cat/cifar10_cat_0.aedat",
            "cifar10/dog/0.aedat",
            "one/cat/cifar10_cat_1.aedat",
            "one/cat/cifar10_cat_2.aedat",
        ] {
            let path = t.folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, [1, 2, 0x80, 0, 9]).unwrap();
        }
        t.failing("-i digits -o a.h5");
        t.failing("-i digits -o a.h5 --test-share 0.4");
        t.failing("-i digits -o a.h5 --test-share 0.5");
        t.failing("-i digits -o a.h5 --test-share 10%");
        t.failing("-i digits -o a.h5 --split-seed 1");
        t.failing("-i sets -o a.h5");
        t.failing("-i sets -o a.h5 --test-share 0.5");
        t.failing("-i sets/train -o a.h5 --sensor 34x34");
        for name in ["loose", "depths", "twins", "cifar10"] {
            t.failing(&format!("-i {name} -o a.h5 --test-share 0.5"));
        }
        t.failing("-i one/cat -o a.h5 --test-share 0.5");
        t.failing("view digits/0/1.bin --test-share 0.5");
        t.failing("synth --form nmnist --users 4");
        t.failing("synth --form cifar10dvs --samples 0 -o a");
        t.failing("synth --form nmnist -o digits");
    });
}

#[test]
fn messages_about_caches() {
    transcript("caches", |t| {
        fs::write(t.folder.join("a.tar.gz"), gzip(&tar(&dataset()))).unwrap();
        let cache = t.folder.join("c.h5");
        prepare(&t.folder.join("a.tar.gz"), &cache, &["-T", "2"]);
        t.failing("-i a.tar.gz -o c.h5 -T 4");
        fs::write(t.folder.join("notes.txt"), "hello").unwrap();
        t.failing("-i a.tar.gz -o notes.txt -T 4");
        t.failing("-i a.tar.gz -o /dev/null -T 4");
        t.failing("-i a.tar.gz -o none/c.h5 -T 4");
        t.failing("info none.h5");
        t.failing("info notes.txt");
        let bytes = fs::read(&cache).unwrap();
        fs::write(t.folder.join("cut.h5"), &bytes[..bytes.len() / 2]).unwrap();
        t.failing("verify cut.h5");
        let file = hdf5::File::open_rw(&cache).unwrap();
        file.attr("format_version")
            .unwrap()
            .write_scalar(&7_u32)
            .unwrap();
        file.close().unwrap();
        t.failing("verify c.h5");
    });
}

#[test]
fn messages_about_samples_to_view() {
    transcript("samples", |t| {
        fs::write(t.folder.join("a.tar.gz"), gzip(&tar(&dataset()))).unwrap();
        prepare(
            &t.folder.join("a.tar.gz"),
            &t.folder.join("c.h5"),
            &["-T", "2"],
        );
        t.failing("view c.h5 --sample user09_led_0");
        t.failing("view c.h5 --sample 7");
        t.failing("view c.h5 --label 12");
        t.failing("view c.h5 --label clapping");
        t.failing("view c.h5 --sample 0 --sensor 346x260");
        t.failing("view a.tar.gz --sample 0 -o picture.jpg");
        t.failing("export c.h5 --to frames -o c.h5");
    });
}
