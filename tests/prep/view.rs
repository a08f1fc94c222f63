//! `dvs-prep view`: pictures decoded again and held against the counts they show, and what is said where there is
//! nothing to show.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

use dvs_shared::view::{Animation, Background, Clip, Colours, Scheme, Style, contact_sheet};
use dvs_shared::{Event, SensorSize};
use serde_json::Value;

use crate::support::*;

const SIDE: usize = 128;
/// Where the frames of a picture begin in x.
const LEFT: usize = 8;

type Rgb = [u8; 3];

struct Pixels {
    width: usize,
    height: usize,
    rgb: Vec<Rgb>,
}

impl Pixels {
    fn at(&self, x: usize, y: usize) -> Rgb {
        self.rgb[y * self.width + x]
    }
}

fn png(path: &Path) -> Pixels {
    let mut decoder = png::Decoder::new(BufReader::new(File::open(path).unwrap()));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgb);
    Pixels {
        width: info.width as usize,
        height: info.height as usize,
        rgb: bytes.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect(),
    }
}

/// The frames of a GIF and for how many hundredths of a second each is shown.
fn gif(path: &Path) -> Vec<(Pixels, u16)> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(File::open(path).unwrap()).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        let colours = frame.buffer.chunks_exact(4);
        let pixels = Pixels {
            width: frame.width.into(),
            height: frame.height.into(),
            rgb: colours.map(|c| [c[0], c[1], c[2]]).collect(),
        };
        frames.push((pixels, frame.delay));
    }
    assert_eq!(decoder.repeat(), gif::Repeat::Infinite);
    frames
}

/// Counts of a frame, `[polarity][y][x]`.
type Counts = Vec<[Vec<u32>; 2]>;

/// The frames of `events` split by number: SpikingJelly's definition, written out once more.
fn by_number(events: &[Event], frames: usize, size: SensorSize) -> Counts {
    let (width, height) = (size.width as usize, size.height as usize);
    let share = events.len() / frames;
    let mut counts = vec![[vec![0; width * height], vec![0; width * height]]; frames];
    for (i, e) in events.iter().enumerate() {
        let frame = i.checked_div(share).unwrap_or(frames).min(frames - 1);
        counts[frame][usize::from(e.polarity)][usize::from(e.y) * width + usize::from(e.x)] += 1;
    }
    counts
}

/// Events with up to `most` in a cell, of one polarity and of both.
fn many_counts(start: i64) -> Vec<Event> {
    let mut events = Vec::new();
    for i in 0..4000_i64 {
        // Pixels near the corner have more events than others.
        let (x, y) = ((i * i * 31) % 128, (i * i * i * 17) % 128);
        let repeat = if x + y < 60 { 1 + i % 7 } else { 1 };
        for r in 0..repeat {
            events.push(Event {
                t: start + i * 250,
                x: x as u16,
                y: y as u16,
                polarity: (x + r) % 3 == 0,
                valid: true,
            });
        }
    }
    events
}

/// A dataset whose samples have these events, and labels around them.
fn dataset_of(events: &[Event]) -> Files {
    let (start, end) = (events[0].t, events[events.len() - 1].t + 1);
    let labels = format!(
        "class,startTime_usec,endTime_usec\n8,{start},{end}\n3,{end},{}\n",
        end + 5
    );
    let mut files = with(dataset(), "user01_led.aedat", &recording(events));
    for name in ["user01_led_labels.csv", "user02_lab_labels.csv"] {
        files = with(files, name, labels.as_bytes());
    }
    files
}

/// Holds a picture's frame at this place against counts: what has none is background, equal counts have equal colours,
/// more events are never fainter, and polarities can be told apart.
fn holds(
    picture: &Pixels,
    (left, top): (usize, usize),
    scale: usize,
    counts: &[Vec<u32>; 2],
    background: Rgb,
) {
    let mut colours: HashMap<(u32, u32), Rgb> = HashMap::new();
    for y in 0..SIDE {
        for x in 0..SIDE {
            let cell = (counts[0][y * SIDE + x], counts[1][y * SIDE + x]);
            let colour = picture.at(left + x * scale, top + y * scale);
            for (dx, dy) in [(scale - 1, 0), (0, scale - 1), (scale - 1, scale - 1)] {
                let other = picture.at(left + x * scale + dx, top + y * scale + dy);
                assert_eq!(other, colour, "{x}, {y}");
            }
            assert_eq!(
                *colours.entry(cell).or_insert(colour),
                colour,
                "{x}, {y}: {cell:?}"
            );
        }
    }
    assert_eq!(colours[&(0, 0)], background);
    let away = |c: &Rgb| -> i32 {
        (0..3)
            .map(|i| (i32::from(c[i]) - i32::from(background[i])).abs())
            .sum()
    };
    for ((off, on), colour) in &colours {
        let [red, _, blue] = *colour;
        match (off, on) {
            (0, 0) => {}
            (0, _) => assert!(blue > red, "ON {on}: {colour:?}"),
            (_, 0) => assert!(red > blue, "OFF {off}: {colour:?}"),
            _ => assert_ne!(*colour, background),
        }
        for ((more_off, more_on), more) in &colours {
            if more_off >= off && more_on >= on {
                assert!(
                    away(more) >= away(colour),
                    "{off} {on} {more_off} {more_on}"
                );
            }
        }
    }
    assert!(colours.len() > 10, "{}", colours.len());
}

/// Where the first frames of a picture begin in y: nothing but a frame has the colour of the background.
fn top(picture: &Pixels, background: Rgb) -> usize {
    let has = |y: &usize| (LEFT..LEFT + SIDE).any(|x| picture.at(x, *y) == background);
    (0..picture.height).find(has).unwrap()
}

fn hidden(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.')).collect()
}

const DVS: SensorSize = SensorSize {
    width: 128,
    height: 128,
};

#[test]
fn sheets_and_animations_show_the_counts() {
    let folder = tempfile::tempdir().unwrap();
    let events = many_counts(1000);
    let input = archive(folder.path(), &dataset_of(&events));
    let cache = folder.path().join("cache.h5");
    prepare(&input, &cache, &["-T", "4"]);
    let counts = by_number(&events, 4, DVS);
    for (background, name) in [([0; 3], "black"), ([255; 3], "white")] {
        for from in [&input, &cache] {
            let sheet = folder.path().join("sheet.png");
            let split: &[&str] = if from == &input { &["-T", "4"] } else { &[] };
            let common = ["view", text(from), "--background", name, "-o"];
            run(&[&common, &[text(&sheet)][..], split].concat());
            let picture = png(&sheet);
            let top = top(&picture, background);
            let step = 2 * SIDE + 8;
            assert_eq!(picture.width, 2 * step + 8);
            // A row of tiles, its line of captions, and the gap.
            let row = 2 * SIDE + 16 + 8;
            for (at, counts) in counts.iter().enumerate() {
                let place = (LEFT + at % 2 * step, top + at / 2 * row);
                holds(&picture, place, 2, counts, background);
            }
            let animation = folder.path().join("animation.GIF");
            run(&[&common, &[text(&animation), "--scale", "3"][..], split].concat());
            let frames = gif(&animation);
            assert_eq!(frames.len(), 4);
            for ((picture, delay), counts) in frames.iter().zip(&counts) {
                assert_eq!(*delay, 10);
                holds(picture, (8, 30), 3, counts, background);
            }
        }
    }
    assert_eq!(hidden(folder.path()), [] as [&str; 0]);
}

#[test]
fn captions_change_nothing_but_the_margin() {
    // What is drawn around frames must not depend on the text beside it.
    let folder = tempfile::tempdir().unwrap();
    let events = many_counts(1000);
    let input = archive(folder.path(), &dataset_of(&events));
    let sheet = folder.path().join("sheet.png");
    run(&[
        "view",
        text(&input),
        "-T",
        "4",
        "--max-frames",
        "1",
        "--scale",
        "2",
        "-o",
        text(&sheet),
    ]);
    let counts = by_number(&events, 4, DVS);
    let picture = png(&sheet);
    let top = top(&picture, [0; 3]);
    // The middle of four is the third, and a narrow page has its title on several lines.
    assert!(top > 40, "{top}");
    holds(&picture, (LEFT, top), 2, &counts[2], [0; 3]);
}

#[test]
fn real_delays_are_the_durations_of_the_frames() {
    let folder = tempfile::tempdir().unwrap();
    let mut events = events(100, 1000, 1000);
    // The second half is three times as slow.
    for (i, e) in events.iter_mut().enumerate().skip(50) {
        e.t += (i as i64 - 49) * 2000;
    }
    let input = archive(folder.path(), &dataset_of(&events));
    let path = folder.path().join("a.gif");
    run(&[
        "view",
        text(&input),
        "-T",
        "2",
        "--delay",
        "real",
        "-o",
        text(&path),
    ]);
    let delays: Vec<u16> = gif(&path).iter().map(|(_, delay)| *delay).collect();
    assert_eq!(delays, [5, 15]);
    run(&[
        "view",
        text(&input),
        "-T",
        "2",
        "--delay",
        "250ms",
        "-o",
        text(&path),
    ]);
    assert!(gif(&path).iter().all(|(_, delay)| *delay == 25));
}

fn json(args: &[&str]) -> Value {
    serde_json::from_slice(&run(&[args, &["--json"]].concat()).stdout).unwrap()
}

#[test]
fn spans_are_told_as_far_as_they_are_known() {
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
fn a_sample_without_events_is_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &dataset_of(&many_counts(1000)));
    let cache = folder.path().join("cache.h5");
    prepare(&input, &cache, &["-T", "4"]);
    let at = |name: &str| folder.path().join(name);
    for from in [&input, &cache] {
        let split: &[&str] = if from == &input { &["-T", "4"] } else { &[] };
        let view =
            |more: &[&str]| run(&[&["view", text(from), "--label", "2"], split, more].concat());
        view(&["-o", text(&at("s.png"))]);
        let sheet = png(&at("s.png"));
        let top = top(&sheet, [0; 3]);
        for y in 0..2 * SIDE {
            assert!((0..2 * SIDE).all(|x| sheet.at(LEFT + x, top + y) == [0; 3]));
        }
        view(&["-o", text(&at("a.gif"))]);
        assert_eq!(gif(&at("a.gif")).len(), 4);
        view(&["-o", text(&at("p.png")), "--plot"]);
        png(&at("p.png"));
        view(&["--plot"]);
        let look = String::from_utf8(view(&[]).stdout).unwrap();
        let dots = look
            .chars()
            .filter(|c| ('\u{2801}'..='\u{28ff}').contains(c));
        assert_eq!(dots.count(), 0);
        assert!(look.contains("0 events"), "{look}");
    }
}

#[test]
fn any_count_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (most, counts, split) in [
        (1, "uint8", &["-T", "3"][..]),
        (1000, "uint16", &["-T", "3", "--split", "time"]),
        (140_000, "uint32", &["--duration", "70ms"]),
    ] {
        let mut events = events(100, 1000, 1);
        let last = events[99];
        events.extend((0..most).map(|i| Event {
            t: 1100 + i,
            ..last
        }));
        let input = archive(folder.path(), &dataset_of(&events));
        prepare(&input, &at("cache.h5"), &[split, &["--force"]].concat());
        let info: Value =
            serde_json::from_slice(&run(&["info", text(&at("cache.h5")), "--json"]).stdout)
                .unwrap();
        assert_eq!(info["count_type"]["train"], counts);
        for name in ["s.png", "a.gif"] {
            run(&["view", text(&at("cache.h5")), "-o", text(&at(name))]);
        }
        let said = json(&[
            "view",
            text(&at("cache.h5")),
            "--plot",
            "-o",
            text(&at("p.png")),
        ]);
        assert_eq!(said["samples"][0]["events"], events.len());
        let frames = said["samples"][0]["frames"].as_array().unwrap().len();
        assert_eq!(gif(&at("a.gif")).len(), frames);
        assert_eq!(png(&at("p.png")).width, 1000);
    }
}

#[test]
fn any_sensor_is_shown() {
    let style = Style {
        colours: Colours::new(Background::White, Scheme::Accessible),
        scale: None,
    };
    for (width, height) in [(1, 1), (34, 34), (346, 260), (1280, 720), (1, 2000)] {
        let size = SensorSize { width, height };
        let counts: Vec<u8> = (0..3 * size.frame_cells()).map(|i| (i % 7) as u8).collect();
        let caption = |t: usize| vec![format!("frame {t}")];
        let clip = Clip::new(
            &counts,
            size,
            vec!["a".to_owned()],
            (0..3).map(caption).collect(),
        );
        for clips in [
            vec![clip.as_ref().unwrap().clone()],
            vec![clip.unwrap(); 11],
        ] {
            let sheet = contact_sheet(&clips, &style).unwrap();
            let animation = Animation::new(&clips, &style).unwrap();
            let picture = animation.picture(2).unwrap();
            for (width, height) in [
                (sheet.width(), sheet.height()),
                (picture.width(), picture.height()),
            ] {
                assert!(
                    width.min(height) >= 80 && width.max(height) < 2400,
                    "{size:?}: {width} {height}"
                );
            }
            let mut file = Vec::new();
            animation.write_gif(&mut file, |_| Duration::ZERO).unwrap();
            assert!(file.starts_with(b"GIF89a"));
        }
    }
}

#[test]
fn the_terminal_gets_what_it_can_show() {
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
    // Into a pipe there are no colours.
    let plain = look(&[], &[]);
    assert!(!plain.contains('\x1b'));
    assert_eq!(widest(&plain), 72);
    assert!(widest(&look(&[], &[("COLUMNS", "200")])) > 130);
    assert!(widest(&look(&[], &[("COLUMNS", "20")])) <= 20);
    // What is asked for goes before what the environment prefers.
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

#[test]
fn one_recording_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let files = dataset();
    let path = folder.path().join("user01_led.aedat");
    fs::write(&path, content(&files, "user01_led.aedat")).unwrap();
    let whole = json(&["view", text(&path)]);
    let sample = &whole["samples"][0];
    assert_eq!(
        (&sample["sample"], &sample["events"]),
        (&"user01_led".into(), &2500.into())
    );
    assert_eq!(sample["label"], Value::Null);
    let part = json(&[
        "view",
        text(&path),
        "--start-us",
        "1000",
        "--end-us",
        "1100",
    ]);
    assert_eq!(part["samples"][0]["events"], 100);
    let labels = folder.path().join("user01_led_labels.csv");
    fs::write(labels, content(&files, "user01_led_labels.csv")).unwrap();
    let sample = json(&["view", text(&path), "--label", "other_gestures"]);
    assert_eq!(sample["samples"][0]["sample"], "user01_led_0@10");
    assert_eq!(sample["samples"][0]["set"], Value::Null);
    let said = fail(&["view", text(&path), "--sample", "2"]);
    assert!(said.contains("2, numbers 0 to 1"), "{said}");
}

#[test]
fn samples_of_an_archive_are_found_in_any_order_and_container() {
    let mut expected = None;
    for reversed in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut files = dataset();
        if reversed {
            files.reverse();
        }
        let archive = archive(folder.path(), &files);
        let zipped = folder.path().join("a.zip");
        fs::write(&zipped, zip(&files)).unwrap();
        let extracted = folder.path().join("extracted");
        fs::create_dir(&extracted).unwrap();
        for (name, content) in &files {
            fs::write(extracted.join(name), content).unwrap();
        }
        for input in [&archive, &zipped, &extracted] {
            let said = [
                &["--sample", "user02_lab_0@10"][..],
                &["--set", "test", "--each-class"],
                &["--label", "2"],
                &[],
            ];
            let said =
                said.map(|args| json(&[&["view", text(input)], args].concat())["samples"].clone());
            assert_eq!(said[0][0]["set"], "test");
            assert_eq!(said[1].as_array().unwrap().len(), 2);
            assert_eq!(said[1][1]["sample"], "user02_lab_0@10");
            assert_eq!(said[2][0]["sample"], "user01_led_0@2");
            assert_eq!(&said, expected.get_or_insert_with(|| said.clone()));
            let missing = fail(&["view", text(input), "--sample", "user02_lap_0"]);
            assert!(
                missing.contains("user02_lab_0@2 (left_hand_wave)"),
                "{missing}"
            );
        }
    }
}

#[test]
fn without_input_the_cache_is_found_where_it_lies_by_convention() {
    let folder = tempfile::tempdir().unwrap();
    archive(folder.path(), &dataset());
    let view = |args: &[&str]| -> Value {
        let mut command = dvs_prep([&["view", "--json"], args].concat());
        let output = command.env("DVS_DATA", folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!(view(&["-T", "2"])["input_kind"], "archive");
    dvs_prep(["-T", "2"])
        .env("DVS_DATA", folder.path())
        .output()
        .unwrap();
    assert_eq!(view(&["-T", "2"])["input_kind"], "cache");
    assert_eq!(view(&["-T", "3"])["input_kind"], "archive");
}

#[test]
fn what_is_no_picture_is_not_replaced() {
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
    // What fails leaves the picture that was there, and nothing beside it.
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
fn options_that_do_not_go_together_are_misuse() {
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
fn damage_is_said_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &dataset());
    let cache = folder.path().join("cache.h5");
    prepare(&input, &cache, &["-T", "2"]);
    let bytes = fs::read(&cache).unwrap();
    // The frames are the only bytes that matter and that opening does not check.
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
    // Where one recording's labels are damaged, the others' samples can be seen.
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

#[test]
fn every_shell_gets_completions_and_every_command_a_page() {
    let commands = [
        "prepare",
        "key",
        "synth",
        "export",
        "info",
        "verify",
        "view",
        "completions",
        "man",
    ];
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = String::from_utf8(run(&["completions", shell]).stdout).unwrap();
        for word in commands.iter().chain(&["each-class", "max-frames"]) {
            assert!(script.contains(word), "{shell} lacks {word}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("share/man/man1");
    let said = String::from_utf8(run(&["man", text(&pages)]).stdout).unwrap();
    let mut expected = vec!["dvs-prep.1".to_owned()];
    expected.extend(commands.map(|command| format!("dvs-prep-{command}.1")));
    for name in &expected {
        let page = fs::read_to_string(pages.join(name)).unwrap();
        assert!(
            page.contains(".TH dvs") && page.contains(".SH OPTIONS"),
            "{name}"
        );
        assert!(said.contains(name.as_str()), "{said}");
    }
    assert_eq!(fs::read_dir(&pages).unwrap().count(), expected.len());
}
