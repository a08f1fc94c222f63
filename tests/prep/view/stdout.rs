//! Standard output gets frames as characters, the table of frame times, and JSON.

use serde_json::Value;

use super::{dataset_of, json, many_counts};
use crate::support::{archive, dataset, dvs_prep, prepare, run, stderr, text};

#[test]
fn reports_frame_times_as_far_as_known() {
    let folder = tempfile::tempdir().unwrap();
    let events = many_counts(1000);
    let input = archive(folder.path(), &dataset_of(&events));
    let spans = |sample: &Value| -> Vec<(Option<i64>, Option<i64>)> {
        let frames = sample["frames"].as_array().unwrap().iter();
        frames
            .map(|f| (f["start_us"].as_i64(), f["end_us"].as_i64()))
            .collect()
    };
    let first = events[0].t;
    let share = events.len() / 3;
    let said = json(&["view", text(&input), "-T", "3", "--plot"]);
    let by_hand: Vec<_> = [0, share, 2 * share, events.len()]
        .windows(2)
        .map(|edge| {
            (
                Some(events[edge[0]].t - first),
                Some(events[edge[1] - 1].t - first),
            )
        })
        .collect();
    assert_eq!(spans(&said["samples"][0]), by_hand);
    assert_eq!(said["samples"][0]["events"], events.len());
    let last = events[events.len() - 1].t - first;
    let said = json(&["view", text(&input), "-T", "3", "--split", "time", "--plot"]);
    let length = last / 3;
    let expected = [(0, length), (length, 2 * length), (2 * length, last)];
    assert_eq!(
        spans(&said["samples"][0]),
        expected.map(|(a, b)| (Some(a), Some(b)))
    );
    let said = json(&["view", text(&input), "--duration", "400ms", "--plot"]);
    let expected = [0, 1, 2].map(|i| (Some(i * 400_000), Some((i + 1) * 400_000)));
    assert_eq!(spans(&said["samples"][0]), expected);
    for (args, known) in [
        (&["-T", "3"][..], "a cache does not hold them"),
        (
            &["-T", "3", "--split", "time"],
            "all equal, at most 333.3 ms",
        ),
        (&["--duration", "400ms"], "each 400 ms"),
    ] {
        let cache = folder.path().join("cache.h5");
        prepare(&input, &cache, &[args, &["--force"]].concat());
        let said = json(&["view", text(&cache), "--plot"]);
        let sample = &said["samples"][0];
        assert_eq!(said["input_kind"], "cache");
        assert_eq!(sample["sample"], "user01_led_0@7");
        assert_eq!(
            (&sample["set"], &sample["index"]),
            (&"train".into(), &0.into())
        );
        assert_eq!(sample["events"], events.len());
        let counts = sample["frames"].as_array().unwrap().iter();
        let sum: u64 = counts
            .flat_map(|f| ["events_off", "events_on"].map(|key| f[key].as_u64().unwrap()))
            .sum();
        assert_eq!(sum, events.len() as u64);
        let spans = spans(sample);
        assert_eq!(spans.len(), 3);
        let second = if args[0] == "--duration" {
            (Some(400_000), Some(800_000))
        } else {
            (None, None)
        };
        assert_eq!(spans[1], second);
        let plain = run(&["view", text(&cache), "--plot"]);
        let table = String::from_utf8(plain.stdout).unwrap();
        assert!(table.contains(known), "{table}");
        run(&[
            "view",
            text(&cache),
            "--plot",
            "-o",
            text(&folder.path().join("p.png")),
        ]);
    }
}

#[test]
fn terminal_output_fits_its_width_and_colours() {
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &dataset());
    let look = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = dvs_prep([&["view", text(&input), "-T", "4"], args].concat());
        for name in ["NO_COLOR", "COLORTERM", "COLUMNS"] {
            command.env_remove(name);
        }
        let output = command.envs(variables.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let widest = |look: &str| {
        let frames = look.split_once("\n\n").unwrap().1;
        frames
            .lines()
            .map(|line| line.chars().count())
            .max()
            .unwrap()
    };
    // A pipe gets no colours.
    let plain = look(&[], &[]);
    assert!(!plain.contains('\x1b'));
    assert_eq!(widest(&plain), 72);
    assert!(widest(&look(&[], &[("COLUMNS", "200")])) > 130);
    assert!(widest(&look(&[], &[("COLUMNS", "20")])) <= 20);
    // The option overrides the environment variable.
    let coloured = look(&["--color", "always"], &[("NO_COLOR", "1")]);
    assert!(coloured.contains("\x1b[38;5;"));
    let full = look(&["--color", "always"], &[("COLORTERM", "truecolor")]);
    assert!(full.contains("\x1b[38;2;"));
    assert!(
        full.lines()
            .filter(|l| l.contains('\x1b'))
            .all(|l| l.ends_with("\x1b[0m"))
    );
    assert_eq!(look(&["--color", "never"], &[]), plain);
}
