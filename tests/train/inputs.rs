//! The inputs of `predict`, which are those of `dvs-prep prepare`, and the samples that
//! `--validation` holds out.

use std::fs;
use std::path::{Path, PathBuf};

use dvs_shared::Event;
use serde_json::Value;

use crate::arrays::events_npz;
use crate::cameras::{aedat3, aedat4, dataset_of, events_on};
use crate::support::{Place, SMALL, fail, only_entry, output, prepare, run, text};

const DVS128: (u32, u32) = (128, 128);
const SOURCE: &str = "#Source 1: DVS128\r\n#!END-HEADER\r\n";

/// A trained network, and a folder for its inputs.
struct Trained {
    place: Place,
    run: PathBuf,
}

impl Trained {
    fn new(args: &[&str]) -> Self {
        let place = Place::new();
        let run = place.train("logs", &[&["--epochs", "1"], args].concat());
        Self { place, run }
    }

    fn write(&self, name: &str, content: &[u8]) -> String {
        let path = self.place.at(name);
        fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn line<'a>(&'a self, input: &'a str, args: &[&'a str]) -> Vec<&'a str> {
        let run = self.run.to_str().unwrap();
        [&["predict", run, input], args].concat()
    }

    fn json(&self, input: &str, args: &[&str]) -> Value {
        let said = run(&self.line(input, &[args, &["--json"]].concat()));
        serde_json::from_str(&said).unwrap()
    }

    fn fail(&self, input: &str, args: &[&str]) -> String {
        fail(&self.line(input, args))
    }
}

/// Returns a recording of a DVS128.
fn recording(events: &[Event]) -> Vec<u8> {
    aedat3("3.1", SOURCE, 1, events)
}

#[test]
fn predict_gives_the_same_rates_for_every_input_format() {
    let network = Trained::new(&[]);
    let events = events_on(900, DVS128);
    let path = network.write("own.aedat", &recording(&events));
    let whole = network.json(&path, &[]);
    assert_eq!(
        (&whole["sample"], &whole["label"]),
        (&"own".into(), &Value::Null)
    );
    assert_eq!(whole["events"], 900);
    assert_eq!(
        (&whole["start_us"], &whole["end_us"]),
        (&1000.into(), &9991.into())
    );
    let rates = &whole["firing_rates_by_step"];
    let alone = network.write("alone.npz", &events_npz(&events));
    assert_eq!(&network.json(&alone, &[])["firing_rates_by_step"], rates);
    let labelled = network.write("events_np/train/4/anna_0.npz", &events_npz(&events));
    network.write("events_np/train/4/anna_1.npz", &events_npz(&events[..500]));
    network.write("events_np/test/3/ben_0.npz", &events_npz(&events[..400]));
    let folder = network.place.at("events_np");
    for (input, args, name, number) in [
        (&labelled, &[][..], "anna_0@4", 900),
        (&folder, &["--sample", "anna_0"], "anna_0@4", 900),
        (&folder, &["--sample", "1"], "anna_1@4", 500),
        (&folder, &["--set", "test"], "ben_0@3", 400),
        (&folder, &["--label", "3"], "ben_0@3", 400),
    ] {
        let found = network.json(input, args);
        assert_eq!(
            (&found["sample"], &found["events"]),
            (&name.into(), &number.into())
        );
        if number == 900 {
            assert_eq!(&found["firing_rates_by_step"], rates);
        }
    }
    let said = network.fail(&folder, &[]);
    assert!(
        said.contains("holds several samples; name one with --sample: anna_0@4"),
        "{said}"
    );
    // The cache that dvs-prep makes from the folder gives the same rates.
    let cache = network.place.at("made.h5");
    prepare(&["-T", "2", "-i", &folder, "-o", &cache]);
    let cached = network.json(&cache, &["--sample", "anna_0"]);
    assert_eq!(&cached["firing_rates_by_step"], rates);
    // Exported frames are accepted only if they are split as the network expects.
    let exported = network.place.at("exported");
    prepare(&["export", &cache, "--to", "npz", "-o", &exported]);
    let frames = format!("{exported}/frames_number_2_split_by_number");
    let ready = network.json(&frames, &["--sample", "anna_0"]);
    assert_eq!(&ready["firing_rates_by_step"], rates);
    let renamed = format!("{exported}/frames_number_2_split_by_time");
    fs::rename(&frames, &renamed).unwrap();
    let said = network.fail(&renamed, &["--sample", "anna_0"]);
    assert!(
        said.contains("2 frames split by time, but the network was trained on"),
        "{said}"
    );
    let words = run(&network.line(&alone, &[]));
    assert!(
        words.contains("recognised SpikingJelly's events, npz: 128 x 128 pixels"),
        "{words}"
    );
}

#[test]
fn predict_refuses_inputs_that_do_not_fit_the_network() {
    let network = Trained::new(&[]);
    for (size, name) in [((346, 260), "346 x 260"), ((100, 90), "100 x 90")] {
        let bytes = aedat4(&[(0, size, &events_on(500, size))]);
        let path = network.write("other.aedat4", &bytes);
        let said = network.fail(&path, &[]);
        assert!(
            said.contains(&format!("{name} pixels, but the network takes 128 x 128")),
            "{said}"
        );
        assert_eq!(said.matches(name).count(), 1, "{said}");
    }
    // --sensor can make the frames larger than the camera, and --ignore-outside drops events
    // outside the frames.
    let small = aedat4(&[(0, (100, 90), &events_on(500, (100, 90)))]);
    let small = network.write("small.aedat4", &small);
    assert_eq!(
        network.json(&small, &["--sensor", "128x128"])["events"],
        500
    );
    let large = aedat4(&[(0, (346, 260), &events_on(500, (346, 260)))]);
    let large = network.write("large.aedat4", &large);
    let said = network.fail(&large, &["--sensor", "128x128"]);
    assert!(said.contains("--ignore-outside"), "{said}");
    let ignored = network.json(&large, &["--sensor", "128x128", "--ignore-outside"]);
    let inside = events_on(500, (346, 260));
    let inside = inside.iter().filter(|e| e.x < 128 && e.y < 128).count();
    assert_eq!(ignored["events"], inside);
    // The network was not trained on these classes.
    let own = network.write("own/a.aedat", &recording(&events_on(50, DVS128)));
    network.write("own/gesture_mapping.csv", b"rock,1\npaper,2\n");
    let said = network.fail(&own, &[]);
    assert!(
        said.contains("holds other classes") && said.contains("rock, paper"),
        "{said}"
    );
    let mut invalid = events_on(12, DVS128);
    invalid.iter_mut().for_each(|e| e.valid = false);
    let invalid = network.write("invalid.aedat", &recording(&invalid));
    let said = network.fail(&invalid, &[]);
    assert!(
        said.contains("12 events, all with a clear valid bit: --keep-invalid"),
        "{said}"
    );
    assert_eq!(network.json(&invalid, &["--keep-invalid"])["events"], 12);
    let page = network.write("page.aedat", b"<html><body>Log in</body></html>");
    assert!(network.fail(&page, &[]).contains("is an HTML page"));
    let cache = network.place.cache();
    let said = network.fail(&cache, &["--sample", "0", "--sensor", "128x128"]);
    assert!(said.contains("--sensor is for recordings"), "{said}");
}

#[test]
fn predict_gives_no_answer_if_no_output_neuron_fires() {
    let network = Trained::new(&["--v-threshold", "1000"]);
    let cache = network.place.cache();
    let sample = ["--sample", "user02_led_0@7"];
    let found = network.json(&cache, &sample);
    for key in ["gesture", "gesture_name", "leading_from_step"] {
        assert_eq!(found[key], Value::Null, "{key}");
    }
    assert_eq!(found["firing_rates"][0], 0.0);
    let words = run(&network.line(&cache, &sample));
    assert!(
        words.contains("no answer, because no output neuron fired; its label is 7 arm_roll"),
        "{words}"
    );
    assert!(
        !words.contains("hand_clapping") && words.contains("  -\n"),
        "{words}"
    );
}

/// Makes a cache of recordings with these names. Each recording has `samples` samples of different
/// classes.
fn cache_of(place: &Place, names: &[&str], samples: i64) -> String {
    let folder = place.at("own");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let at = |name: &str| Path::new(&folder).join(name);
    let bytes = recording(&events_on(400, DVS128));
    let mut labels = "class,startTime_usec,endTime_usec\n".to_owned();
    for sample in 0..samples {
        let start = 1000 + sample * 300;
        labels += &format!("{},{start},{}\n", sample % 11 + 1, start + 300);
    }
    for name in names.iter().chain(&["zoe_test"]) {
        fs::write(at(&format!("{name}.aedat")), &bytes).unwrap();
        fs::write(at(&format!("{name}_labels.csv")), &labels).unwrap();
    }
    fs::write(at("trials_to_train.txt"), names.join("\n")).unwrap();
    fs::write(at("trials_to_test.txt"), "zoe_test").unwrap();
    let cache = place.at("own.h5");
    prepare(&["-T", "2", "-i", &folder, "-o", &cache, "--force"]);
    cache
}

/// Trains a network with `--validation how`. Returns what it prints and its summary, or the error.
fn validate(place: &Place, cache: &str, out: &str, how: &str) -> Result<(String, Value), String> {
    let out = place.at(out);
    let line = [
        "--cache",
        cache,
        "--out-dir",
        &out,
        "--epochs",
        "1",
        "--validation",
        how,
    ];
    let line = [&SMALL[..], &line].concat();
    let result = output(&line);
    match result.status.success() {
        true => {
            let summary = only_entry(Path::new(&out)).join("summary.json");
            let summary = fs::read_to_string(summary).unwrap();
            let summary: Value = serde_json::from_str(&summary).unwrap();
            Ok((text(&result.stdout), summary))
        }
        false => Err(text(&result.stderr)),
    }
}

#[test]
fn validation_holds_out_users_or_recordings() {
    let place = Place::new();
    let names = ["anna_day", "anna_night", "ben_day", "carl", "dora_x_y"];
    let cache = cache_of(&place, &names, 4);
    let (said, summary) = validate(&place, &cache, "named", "users:carl,anna").unwrap();
    assert!(
        said.contains("train: 8 samples, validation: 12 samples of anna, carl"),
        "{said}"
    );
    assert_eq!(
        summary["validation_users"],
        serde_json::json!(["anna", "carl"])
    );
    let (said, summary) = validate(&place, &cache, "drawn", "users:3").unwrap();
    assert_eq!(summary["validation_users"].as_array().unwrap().len(), 3);
    assert!(said.contains("accuracy-B"), "{said}");
    let (_, summary) = validate(&place, &cache, "recordings", "recordings:0.4").unwrap();
    let held_out = summary["validation_users"].as_array().unwrap();
    assert_eq!(held_out.len(), 2);
    assert!(
        held_out
            .iter()
            .all(|name| names.contains(&name.as_str().unwrap()))
    );
    for (how, reason) in [
        (
            "users:eve",
            "no samples of a user eve; it has those of anna, ben, carl, dora",
        ),
        ("users:4", "hold out at most 3"),
        ("users:anna,ben,carl,dora", "leave nothing to train on"),
    ] {
        let said = validate(&place, &cache, "refused", how).unwrap_err();
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn validation_never_splits_a_recording() {
    let place = Place::new();
    // With a single user, only whole recordings can be held out.
    let cache = cache_of(&place, &["anna_1", "anna_2", "anna_3"], 4);
    let said = validate(&place, &cache, "one", "users:1").unwrap_err();
    assert!(
        said.contains("all training samples are of one, \"anna\""),
        "{said}"
    );
    assert!(said.contains("--validation recordings:0.2"), "{said}");
    let (said, _) = validate(&place, &cache, "some", "recordings:0.2").unwrap();
    assert!(
        said.contains("train: 8 samples, validation: 4 samples of anna_"),
        "{said}"
    );
    let cache = cache_of(&place, &["anna_1"], 9);
    let said = validate(&place, &cache, "windows", "recordings:0.2").unwrap_err();
    assert!(
        said.contains("windows of one recording resemble each other"),
        "{said}"
    );
}

#[test]
fn resume_reports_a_cache_of_another_stream() {
    let place = Place::new();
    let folder = place.at("own");
    let size = (346, 260);
    let bytes = aedat4(&[
        (0, size, &events_on(900, size)),
        (3, size, &events_on(600, size)),
    ]);
    dataset_of(Path::new(&folder), &bytes, ".aedat4");
    let cache = |stream: &str| {
        let path = place.at("read.h5");
        prepare(&[
            "-T", "2", "-i", &folder, "-o", &path, "--force", "--stream", stream,
        ]);
        path
    };
    let out = place.at("logs");
    let line = |cache: String, more: &[&str]| {
        let line = [
            "--cache",
            &cache,
            "--out-dir",
            &out,
            "-b",
            "1",
            "--channels",
            "4",
        ];
        let line = [&line[..], more].concat();
        line.iter().map(|&s| s.to_owned()).collect::<Vec<_>>()
    };
    let go = |line: &[String]| output(&line.iter().map(String::as_str).collect::<Vec<_>>());
    let first = go(&line(cache("0"), &["--epochs", "1", "--device", "cpu"]));
    assert!(first.status.success(), "{}", text(&first.stderr));
    let run = only_entry(Path::new(&out));
    let more = ["--resume", run.to_str().unwrap(), "--epochs", "2"];
    let second = go(&line(cache("3"), &more));
    let said = text(&second.stdout) + &text(&second.stderr);
    assert!(
        said.contains("made from other data than the run began with"),
        "{said}"
    );
}
