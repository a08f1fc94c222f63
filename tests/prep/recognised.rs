//! The camera, the layout of addresses, the version and the direction of y decide how a recording is read. If the file
//! leaves one of them open, the program asks for an option. It leaves no event out without saying so.

use std::fs;
use std::path::{Path, PathBuf};

use dvs_shared::{CacheFile, Event};
use serde_json::Value;
use tempfile::TempDir;

use crate::cameras::{
    V2E, addressed, aedat2, aedat3, aedat4, dataset_of, davis, dvs128, dvs640, events_on,
};
use crate::inputs::{Samples, samples};
use crate::support::{dvs_prep, fail, packet, prepare, recording, run, stderr, text};

const SIZE_346: (u32, u32) = (346, 260);
const SIZE_640: (u32, u32) = (640, 480);
const DVS128: (u32, u32) = (128, 128);
const SOURCE: &str = "#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n";

/// A folder with a dataset of one recording, twice.
struct Dataset(TempDir);

impl Dataset {
    fn new(recording: &[u8]) -> Self {
        Self::with_ending(recording, ".aedat")
    }

    fn with_ending(recording: &[u8], ending: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        dataset_of(&folder.path().join("data"), recording, ending);
        Self(folder)
    }

    fn input(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn cache(&self) -> PathBuf {
        self.0.path().join("cache.h5")
    }

    /// The summary of a run that makes a cache anew.
    fn summary(&self, args: &[&str]) -> Value {
        let args = [&["-T", "4", "--force", "--json"], args].concat();
        let output = prepare(&self.input(), &self.cache(), &args);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn samples(&self, args: &[&str]) -> Samples {
        self.summary(args);
        samples(&self.cache())
    }

    fn fail(&self, args: &[&str]) -> String {
        let (input, cache) = (self.input(), self.cache());
        fail(&[&["-T", "4", "-i", text(&input), "-o", text(&cache)], args].concat())
    }

    fn view(&self, args: &[&str]) -> Value {
        let input = self.input().join("a.aedat");
        let line = [&["view", text(&input), "--json"], args].concat();
        serde_json::from_slice(&run(&line).stdout).unwrap()
    }
}

/// What the frames of `events` must be: those of an AEDAT 3.1 recording of them.
fn expected(events: &[Event], (width, height): (u32, u32)) -> Samples {
    let plain = Dataset::new(&recording(events));
    plain.samples(&["--sensor", &format!("{width}x{height}")])
}

fn recognised(summary: &Value) -> &str {
    let lines = summary["recognised"].as_array().unwrap();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0].as_str().unwrap()
}

#[test]
fn v2e_recordings_are_read_by_the_layout_that_their_addresses_have() {
    for (size, layout, name) in [(SIZE_346, 0, "DAVIS"), (SIZE_640, 1, "DVS640")] {
        let events = events_on(4000, size);
        let addresses = match layout {
            0 => addressed(&events, |e| davis(e, size)),
            _ => addressed(&events, dvs640),
        };
        let dataset = Dataset::new(&aedat2(V2E, &addresses));
        let sensor = format!("{}x{}", size.0, size.1);
        for args in [&[][..], &["--sensor", &sensor]] {
            let summary = dataset.summary(args);
            assert_eq!(summary["events_read"], 8000, "{args:?}");
            assert_eq!(
                (&summary["width"], &summary["height"]),
                (&size.0.into(), &size.1.into())
            );
            assert!(recognised(&summary).contains(name), "{summary}");
            assert_eq!(dataset.samples(args), expected(&events, size));
            let shown = dataset.view(args);
            assert_eq!(shown["samples"][0]["events"], 4000);
        }
    }
}

#[test]
fn a_size_that_addresses_do_not_decide_is_asked_for() {
    // v2e writes 346 x 260 and 240 x 180 alike, and here both have room.
    let small = events_on(500, (240, 180));
    let turned = addressed(&small, |e| davis(e, (240, 180)));
    let dataset = Dataset::new(&aedat2(V2E, &turned));
    let view = fail(&["view", text(&dataset.input().join("a.aedat"))]);
    for said in [dataset.fail(&[]), view] {
        assert!(said.contains("reach column 239 and row 179"), "{said}");
        assert!(said.contains("--sensor 240x180"), "{said}");
    }
    let sensor = ["--sensor", "240x180"];
    assert_eq!(dataset.samples(&sensor), expected(&small, (240, 180)));
    // Other programs that name no camera leave the size of a DAVIS open, however large it must be.
    let large = addressed(&events_on(500, SIZE_346), |e| davis(e, SIZE_346));
    let said = Dataset::new(&aedat2("", &large)).fail(&[]);
    assert!(said.contains("reach column 345 and row 259"), "{said}");
    assert!(said.contains("--sensor 346x260"), "{said}");
}

#[test]
fn addresses_of_16_bits_are_those_of_a_dvs128() {
    let events = events_on(1000, DVS128);
    let dataset = Dataset::new(&aedat2("", &addressed(&events, dvs128)));
    assert_eq!(dataset.samples(&[]), expected(&events, DVS128));
    let summary = dataset.summary(&[]);
    assert!(recognised(&summary).contains("as they have 16 bits and no camera is named"));
    // On frames of another size, they stay where they were recorded.
    let wide = dataset.summary(&["--sensor", "200x150"]);
    assert_eq!(
        (&wide["width"], &wide["events_read"]),
        (&200.into(), &2000.into())
    );
    // No camera that is known has these bits.
    let strange: Vec<(u32, u32)> = (0..100).map(|i| (1 << 30 | 1 << 21 | i, i)).collect();
    let strange = Dataset::new(&aedat2("", &strange));
    for args in [&[][..], &["--sensor", "640x480"]] {
        let said = strange.fail(args);
        assert!(said.contains("--layout"), "{said}");
    }
}

#[test]
fn an_unknown_camera_is_read_by_the_layout_that_the_user_names() {
    let events = events_on(800, SIZE_346);
    let header = "# AEChip: org.example.NewDavis\r\n";
    let addresses = addressed(&events, |e| davis(e, SIZE_346));
    let dataset = Dataset::new(&aedat2(header, &addresses));
    let said = dataset.fail(&[]);
    assert!(
        said.contains("org.example.NewDavis") && said.contains("--layout"),
        "{said}"
    );
    let said = dataset.fail(&["--layout", "davis"]);
    assert!(said.contains("--sensor"), "{said}");
    let told = ["--layout", "davis", "--sensor", "346x260"];
    assert_eq!(dataset.samples(&told), expected(&events, SIZE_346));
    // It is another cache than one that was read otherwise, and says so.
    let cache = CacheFile::open(&dataset.cache()).unwrap();
    assert_eq!(cache.header.layout.map(|l| l.name()), Some("davis"));
    let key = |args: &[&str]| {
        let input = dataset.input();
        run(&[&["key", "-i", text(&input)], args].concat()).stdout
    };
    assert_ne!(key(&told), key(&["--sensor", "346x260"]));
    // The header may name a smaller camera than the one that recorded the events.
    let large = events_on(800, SIZE_640);
    let addresses = addressed(&large, |e| davis(e, SIZE_640));
    let lies = Dataset::new(&aedat2("# AEChip: Davis346red\r\n", &addresses));
    let told = ["--sensor", "640x480"];
    for args in [&[][..], &told] {
        let said = lies.fail(args);
        assert!(said.contains("say so with --layout and --sensor"), "{said}");
    }
    let told = ["--layout", "davis", "--sensor", "640x480"];
    assert_eq!(lies.samples(&told), expected(&large, SIZE_640));
    let said = dataset.fail(&["--layout", "dvs640", "--sensor", "346x260"]);
    assert!(
        said.contains("with --layout davis, not with --layout dvs640"),
        "{said}"
    );
    let mut command = dvs_prep(["--layout", "atis"]);
    assert_eq!(command.output().unwrap().status.code(), Some(2));
}

#[test]
fn events_that_the_camera_cannot_make_are_counted_and_refused_beyond_1_percent() {
    let events = events_on(1000, SIZE_346);
    let header = "# AEChip: eu.seebetter.ini.chips.davis.Davis346red\r\n";
    let mut addresses = addressed(&events, |e| davis(e, SIZE_346));
    let strange = |address: u32| (address | 3, 5000);
    addresses.extend((0..10).map(|i| strange(i << 22)));
    let dataset = Dataset::new(&aedat2(header, &addresses));
    let summary = dataset.summary(&[]);
    assert_eq!(summary["events_left_out"]["unexplained"], 20);
    let warned = summary["warnings"].to_string();
    assert!(
        warned.contains("a.aedat: left out 10 events with addresses or types"),
        "{warned}"
    );
    addresses.extend((0..10).map(|i| strange(i << 22)));
    let said = Dataset::new(&aedat2(header, &addresses)).fail(&[]);
    for part in [
        "20 of its 1020 events",
        "DAVIS",
        "0x00000003",
        "--layout",
        "--sensor",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    // Of AEDAT 3, the type of a packet tells.
    let of_type = |kind: u16, n: u64| {
        let mut bytes = recording(&events);
        let mut unknown = packet(&events_on(n, DVS128));
        unknown[..2].copy_from_slice(&kind.to_le_bytes());
        bytes.extend(unknown);
        Dataset::new(&bytes)
    };
    let sensor = ["--sensor", "346x260"];
    let left_out = |dataset: &Dataset| dataset.summary(&sensor)["events_left_out"].clone();
    let few = left_out(&of_type(40, 5));
    assert_eq!(
        (&few["unexplained"], &few["other_types"]),
        (&10.into(), &0.into())
    );
    // Types that the format defines, and those that it leaves to others, are nothing strange.
    for known in [2, 13, 100] {
        let many = left_out(&of_type(known, 500));
        assert_eq!(
            (&many["unexplained"], &many["other_types"]),
            (&0.into(), &1000.into())
        );
    }
    let said = of_type(40, 50).fail(&sensor);
    assert!(
        said.contains("50 of its 1050 events") && said.contains("type 40"),
        "{said}"
    );
}

#[test]
fn times_that_step_back_at_the_wrap_stay_where_they_are() {
    // 2^32 us is 71 minutes; an event from just before the wrap comes just after it.
    let times = [u32::MAX - 20, u32::MAX - 10, 5, u32::MAX - 2, 15, 25];
    let events = events_on(6, DVS128);
    let addresses: Vec<(u32, u32)> = events.iter().map(dvs128).zip(times).collect();
    let dataset = Dataset::new(&aedat2("# AEChip: DVS128\r\n", &addresses));
    let shown = dataset.view(&["--start-us", "0", "--end-us", "9000000000"]);
    assert_eq!(shown["samples"][0]["events"], 6);
    let wrap = 1_i64 << 32;
    let near = |from: i64, to: i64| {
        let (from, to) = (from.to_string(), to.to_string());
        let shown = dataset.view(&["--start-us", &from, "--end-us", &to]);
        shown["samples"][0]["events"].as_u64().unwrap()
    };
    assert_eq!(
        (
            near(0, wrap),
            near(wrap, wrap + 26),
            near(wrap + 26, 3 * wrap)
        ),
        (3, 3, 0)
    );
}

#[test]
fn y_of_aedat_3_0_is_turned_whether_its_header_says_its_end_or_not() {
    let events = events_on(300, DVS128);
    let turned: Vec<Event> = events
        .iter()
        .map(|&e| Event { y: 127 - e.y, ..e })
        .collect();
    for lines in [
        "#Format: RAW\r\n#Source 1: DVS128\r\n",
        "#Source 1: DVS128\r\n#!END-HEADER\r\n",
    ] {
        let dataset = Dataset::new(&aedat3("3.0", lines, 1, &turned));
        assert_eq!(dataset.samples(&[]), expected(&events, DVS128));
        let summary = dataset.summary(&[]);
        assert!(recognised(&summary).contains("AEDAT 3.0"), "{summary}");
        assert!(recognised(&summary).contains("y counts from the bottom and is turned"));
    }
    // On larger frames, the rows are turned on the camera.
    let dataset = Dataset::new(&aedat3("3.0", SOURCE, 1, &turned));
    let large = ["--sensor", "140x150"];
    assert_eq!(dataset.samples(&large), expected(&events, (140, 150)));
    let said = Dataset::new(&aedat3("3.2", SOURCE, 1, &events)).fail(&[]);
    assert!(
        said.contains("it is AEDAT 3.2; 3.0 and 3.1 are known"),
        "{said}"
    );
    let two = Dataset::new(b"#!AER-DAT2.1\r\n").fail(&[]);
    assert!(two.contains("\"2.1\"; 2.0 is known"), "{two}");
}

#[test]
fn packets_that_are_encoded_are_refused_by_name() {
    for format in ["SerializedTS", "PNGFrames", "SerializedTS,PNGFrames"] {
        let lines = format!("#Format: {format}\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n");
        let dataset = Dataset::new(&aedat3("3.1", &lines, 1, &events_on(5, DVS128)));
        let view = fail(&["view", text(&dataset.input().join("a.aedat"))]);
        for said in [dataset.fail(&[]), view] {
            assert!(said.contains(&format!("encoded as {format:?}")), "{said}");
        }
    }
}

#[test]
fn a_camera_of_unknown_size_is_asked_for() {
    let events = events_on(300, (240, 180));
    for (lines, named) in [
        ("#!END-HEADER\r\n", "no camera"),
        ("#Source 1: DVXplorer\r\n#!END-HEADER\r\n", "\"DVXplorer\""),
        ("#Source 1: Processor\r\n#!END-HEADER\r\n", "\"Processor\""),
    ] {
        let dataset = Dataset::new(&aedat3("3.1", lines, 1, &events));
        let view = fail(&["view", text(&dataset.input().join("a.aedat"))]);
        for said in [dataset.fail(&[]), view] {
            assert!(said.contains(named) && said.contains("--sensor"), "{said}");
        }
        let sensor = ["--sensor", "240x180"];
        assert_eq!(dataset.samples(&sensor), expected(&events, (240, 180)));
        assert_eq!(dataset.view(&sensor)["samples"][0]["events"], 300);
    }
    // What was recorded from a file says which camera that file came from.
    let again = "#Source 1: File\r\n#-Source 0: DAVIS240C\r\n#!END-HEADER\r\n";
    let dataset = Dataset::new(&aedat3("3.1", again, 1, &events));
    assert_eq!(dataset.samples(&[]), expected(&events, (240, 180)));
}

#[test]
fn one_of_several_cameras_is_chosen_by_its_number() {
    let (left, right) = (events_on(300, DVS128), events_on(200, (240, 180)));
    let lines = "#Source 1: DVS128\r\n#Source 2: DAVIS240C\r\n#!END-HEADER\r\n";
    let mut bytes = aedat3("3.1", lines, 1, &left);
    let second = aedat3("3.1", lines, 2, &right);
    bytes.extend(&second["#!AER-DAT3.1\r\n".len() + lines.len()..]);
    let dataset = Dataset::new(&bytes);
    let said = dataset.fail(&[]);
    assert!(
        said.contains("1 (DVS128), 2 (DAVIS240C)") && said.contains("--stream 1"),
        "{said}"
    );
    assert_eq!(dataset.samples(&["--stream", "1"]), expected(&left, DVS128));
    let other = ["--stream", "2"];
    assert_eq!(dataset.samples(&other), expected(&right, (240, 180)));
    assert_eq!(
        CacheFile::open(&dataset.cache()).unwrap().header.stream,
        Some(2)
    );
    let said = dataset.fail(&["--force", "--stream", "3"]);
    assert!(said.contains("holds no events of camera 3"), "{said}");
}

#[test]
fn one_of_several_streams_of_aedat_4_is_chosen_by_its_number() {
    let (left, right) = (events_on(300, SIZE_346), events_on(200, (240, 180)));
    let one = Dataset::new(&aedat4(&[(2, SIZE_346, &left)]));
    assert_eq!(one.samples(&[]), expected(&left, SIZE_346));
    let dataset = Dataset::new(&aedat4(&[(0, SIZE_346, &left), (4, (240, 180), &right)]));
    let said = dataset.fail(&[]);
    for part in [
        "0 (346 x 260 pixels, DAVIS346_00000000)",
        "4 (240 x 180 pixels, DAVIS240_00000004)",
        "--stream 0",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    let first = ["--stream", "0"];
    assert_eq!(dataset.samples(&first), expected(&left, SIZE_346));
    let second = ["--stream", "4"];
    assert_eq!(dataset.samples(&second), expected(&right, (240, 180)));
    assert!(recognised(&dataset.summary(&second)).contains("stream 4, as --stream says"));
    let said = dataset.fail(&["--force", "--stream", "1"]);
    assert!(said.contains("holds no stream of events 1"), "{said}");
    // A polarity that is neither, and packets of a stream that the header does not name.
    let many = events_on(10_000, SIZE_346);
    let mut bytes = aedat4(&[(2, SIZE_346, &many)]);
    let at = bytes.len() - 4;
    bytes[at] = 7;
    bytes.extend([9, 0, 0, 0, 0, 0, 0, 0]);
    let summary = Dataset::new(&bytes).summary(&[]);
    assert_eq!(summary["events_left_out"]["unexplained"], 4, "{summary}");
    for _ in 0..5 {
        bytes.extend([9, 0, 0, 0, 0, 0, 0, 0]);
    }
    let said = Dataset::new(&bytes).fail(&[]);
    assert!(
        said.contains("6 of its 106 packets are of streams that its header does not name"),
        "{said}"
    );
}

#[test]
fn events_outside_the_sensor_are_an_error_unless_they_are_ignored() {
    let events = events_on(1000, SIZE_346);
    let header = "# AEChip: Davis346blue\r\n";
    let mut addresses = addressed(&events, |e| davis(e, SIZE_346));
    addresses.insert(500, (300 << 22 | 5 << 12, events[500].t as u32));
    let two = Dataset::new(&aedat2(header, &addresses));
    let mut outside = events.clone();
    outside.insert(
        500,
        Event {
            y: 300,
            ..events[500]
        },
    );
    let source = "#Source 1: DAVIS346B\r\n#!END-HEADER\r\n";
    let three = Dataset::new(&aedat3("3.1", source, 1, &outside));
    for dataset in [two, three] {
        let said = dataset.fail(&[]);
        for part in ["1 of its 1001 events", "346 x 260", "--ignore-outside"] {
            assert!(said.contains(part), "{part:?} is not in {said}");
        }
        assert_eq!(
            said.matches("346 x 260").count(),
            2,
            "once for each recording: {said}"
        );
        let ignore = ["--ignore-outside"];
        let summary = dataset.summary(&ignore);
        assert_eq!(summary["events_left_out"]["outside_sensor"], 2);
        assert_eq!(summary["events_outside"], 2);
        assert_eq!(samples(&dataset.cache()), expected(&events, SIZE_346));
        // It is another cache than one without, though no event of that one may lie outside.
        let cache = CacheFile::open(&dataset.cache()).unwrap();
        assert_eq!(cache.header.events_outside, Some(2));
        run(&["verify", text(&dataset.cache())]);
        let info = run(&["info", text(&dataset.cache())]).stdout;
        assert!(
            String::from_utf8(info)
                .unwrap()
                .contains("outside sensor  2 left out")
        );
        let again = prepare(
            &dataset.input(),
            &dataset.cache(),
            &["-T", "4", "--ignore-outside"],
        );
        assert!(
            String::from_utf8(again.stdout)
                .unwrap()
                .contains("already there")
        );
        let said = dataset.fail(&[]);
        assert!(
            said.contains("with --ignore-outside, not without --ignore-outside"),
            "{said}"
        );
        let view = fail(&["view", text(&dataset.input().join("a.aedat"))]);
        assert_eq!(view.matches("beyond the ").count(), 1, "{view}");
        assert_eq!(dataset.view(&ignore)["samples"][0]["events"], 1000);
    }
}

#[test]
fn recordings_may_have_every_ending_that_they_have() {
    let events = events_on(200, DVS128);
    let bytes = aedat2("# AEChip: DVS128\r\n", &addressed(&events, dvs128));
    for ending in [".aedat", ".aedat2", ".aedat3", ".aedat4"] {
        let dataset = Dataset::with_ending(&bytes, ending);
        assert_eq!(dataset.samples(&[]), expected(&events, DVS128), "{ending}");
        let path = dataset.input().join(format!("a{ending}"));
        let shown = run(&["view", text(&path), "--json"]).stdout;
        let shown: Value = serde_json::from_slice(&shown).unwrap();
        assert_eq!(shown["samples"][0]["sample"], "a_0@0");
        // One recording, twice.
        fs::copy(&path, dataset.input().join("a.aedat5")).unwrap();
        let other = if ending == ".aedat2" {
            ".aedat"
        } else {
            ".aedat2"
        };
        fs::copy(&path, dataset.input().join(format!("a{other}"))).unwrap();
        let said = dataset.fail(&["--force"]);
        assert!(said.contains("the archive contains "), "{said}");
    }
}

#[test]
fn events_that_are_all_invalid_are_said_to_be() {
    let mut events = events_on(12, DVS128);
    events.iter_mut().for_each(|e| e.valid = false);
    let dataset = Dataset::new(&recording(&events));
    let said = dataset.fail(&[]);
    assert!(
        said.contains("none of the 2 samples has an event. The first: a_0 (label 0)")
            && said.contains("12 events, all with a clear valid bit")
            && said.contains("--keep-invalid"),
        "{said}"
    );
    assert_eq!(dataset.summary(&["--keep-invalid"])["events_read"], 24);
    let path = dataset.input().join("a.aedat");
    fs::remove_file(dataset.input().join("a_labels.csv")).unwrap();
    let shown = run(&["view", text(&path), "--json"]);
    assert!(
        stderr(&shown)
            .contains("12 events, all with a clear valid bit: --keep-invalid counts them"),
        "{}",
        stderr(&shown)
    );
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(
        (
            &shown["samples"][0]["start_us"],
            &shown["samples"][0]["end_us"]
        ),
        (&0.into(), &0.into())
    );
    // No event at all is no better.
    let empty = Dataset::new(&recording(&[]));
    let said = empty.fail(&[]);
    assert!(
        said.contains("none of the 2 samples has an event"),
        "{said}"
    );
    assert!(!Path::exists(&empty.cache()));
}

#[test]
fn events_of_a_dvs128_have_no_bits_beyond_its_15() {
    let events = events_on(1000, DVS128);
    let header = "# AEChip: DVS128\r\n";
    // The lowest bits say where an event is; bit 15 marks a pulse and bit 31 one from elsewhere.
    for strange in [1 << 16, 1 << 30 | 1 << 15, 1 << 31 | 1 << 20] {
        let mut addresses = addressed(&events, dvs128);
        addresses.extend((0..500).map(|i| (strange | i, 11_000)));
        let said = Dataset::new(&aedat2(header, &addresses)).fail(&[]);
        assert!(said.contains("500 of its 1500 events"), "{said}");
    }
    // A file of another camera that names none and whose addresses happen to have 16 bits is no DVS128's.
    let mut pulses = addressed(&events, dvs128);
    pulses.extend((0..500).map(|i| (1 << 15 | i, 11_000)));
    let said = Dataset::new(&aedat2("", &pulses)).fail(&[]);
    assert!(said.contains("--layout"), "{said}");
    let named = Dataset::new(&aedat2(header, &pulses)).summary(&[]);
    assert_eq!(named["events_left_out"]["other_types"], 1000);
}

#[test]
fn v2e_events_beyond_the_sensor_and_v2e_noise_are_no_guess() {
    let events = events_on(4000, SIZE_346);
    let mut addresses = addressed(&events, |e| davis(e, SIZE_346));
    addresses.insert(100, (400 << 12 | 7 << 22, events[100].t as u32));
    let dataset = Dataset::new(&aedat2(V2E, &addresses));
    let sensor = ["--sensor", "346x260"];
    let said = dataset.fail(&sensor);
    assert!(said.contains("1 of its 4001 events"), "{said}");
    let ignored = [&sensor[..], &["--ignore-outside"]].concat();
    let summary = dataset.summary(&ignored);
    assert_eq!(summary["events_left_out"]["outside_sensor"], 2);
    assert_eq!(dataset.samples(&ignored), expected(&events, SIZE_346));
    let noise = format!("{V2E}# noise events are labeled as addressed external input events\r\n");
    let large = addressed(&events_on(4000, SIZE_640), dvs640);
    let said = Dataset::new(&aedat2(&noise, &large)).fail(&[]);
    assert!(said.contains("--label_signal_noise"), "{said}");
}

#[test]
fn what_a_header_says_reaches_no_terminal_raw() {
    let events = events_on(50, DVS128);
    let source = "#Source 1: \u{1b}[2J\u{7}camera\r\n#!END-HEADER\r\n";
    let three = aedat3("3.1", source, 1, &events);
    let two = aedat2("# AEChip: \u{1b}[2Jcamera\r\n", &addressed(&events, dvs128));
    for bytes in [three, two] {
        let dataset = Dataset::new(&bytes);
        let view = fail(&["view", text(&dataset.input().join("a.aedat"))]);
        for said in [dataset.fail(&[]), view] {
            assert!(
                !said.contains('\u{1b}') && !said.contains('\u{7}'),
                "{said:?}"
            );
            assert!(said.contains("camera"), "{said}");
        }
    }
}

#[test]
fn options_that_no_recording_has_a_use_for_are_refused() {
    let events = events_on(300, DVS128);
    let dataset = Dataset::new(&aedat3("3.1", SOURCE, 1, &events));
    let path = dataset.input().join("a.aedat");
    for option in [&["--layout", "davis"][..], &["--stream", "7"]] {
        let view = fail(&[&["view", text(&path)], option].concat());
        for said in [dataset.fail(option), view] {
            assert!(said.contains(option[0]), "{said}");
        }
        assert!(!Path::exists(&dataset.cache()));
    }
    let two = Dataset::new(&aedat2("# AEChip: DVS128\r\n", &addressed(&events, dvs128)));
    let said = two.fail(&["--stream", "0"]);
    assert!(said.contains("--stream"), "{said}");
    // A cache of another number of pixels, and one whose size was said, is another cache.
    dataset.summary(&["--sensor", "128x128"]);
    let said = dataset.fail(&[]);
    assert!(
        said.contains("--sensor 128 x 128") && said.contains("--force"),
        "{said}"
    );
}

#[test]
fn view_shows_the_frames_that_prepare_makes() {
    let events = events_on(997, SIZE_346);
    let bytes = aedat2(V2E, &addressed(&events, |e| davis(e, SIZE_346)));
    let dataset = Dataset::new(&bytes);
    let sizes: &[&[&str]] = &[
        &["--sensor", "346x260"],
        &["--sensor", "200x150", "--ignore-outside"],
    ];
    for args in sizes {
        dataset.summary(args);
        let args = [*args, &["-T", "4"]].concat();
        let of_cache = run(&["view", text(&dataset.cache()), "--json"]).stdout;
        let of_cache: Value = serde_json::from_slice(&of_cache).unwrap();
        let frames = |shown: &Value| {
            let frames = shown["samples"][0]["frames"].as_array().unwrap();
            let counts = |f: &Value| (f["events_off"].clone(), f["events_on"].clone());
            frames.iter().map(counts).collect::<Vec<_>>()
        };
        assert_eq!(frames(&dataset.view(&args)), frames(&of_cache));
    }
}

#[test]
#[cfg(unix)]
fn a_pipe_without_an_end_is_no_recording() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe.aedat");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    for line in [&["view"][..], &["-i"], &["key", "-i"]] {
        let said = fail(&[line, &[text(&path)]].concat());
        assert!(said.contains("pipe.aedat"), "{said}");
    }
}
