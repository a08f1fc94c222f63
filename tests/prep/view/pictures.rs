//! Contact sheets, animations and plots show the counts of the frames.

use std::collections::HashMap;
use std::time::Duration;

use dvs_shared::view::{Animation, Background, Clip, Colours, Scheme, Style, contact_sheet};
use dvs_shared::{Event, SensorSize};
use serde_json::Value;

use super::decoded::{Pixels, Rgb, gif, png};
use super::{dataset_of, json, many_counts};
use crate::running::hidden;
use crate::support::{archive, events, prepare, run, text};

const SIDE: usize = 128;
/// The x at which the frames of a picture begin.
const LEFT: usize = 8;
const DVS: SensorSize = SensorSize {
    width: 128,
    height: 128,
};

/// The counts of each frame, as `[polarity][y][x]`.
type Counts = Vec<[Vec<u32>; 2]>;

/// Splits `events` by number into frames. This is SpikingJelly's definition, written independently
/// of the program.
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

/// Compares the frame at this place of a picture with counts. Pixels without events have the
/// background colour, equal counts have equal colours, more events never give a fainter colour, and
/// the polarities have different colours.
fn assert_shows_counts(
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
    let distance = |c: &Rgb| -> i32 {
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
                    distance(more) >= distance(colour),
                    "{off} {on} {more_off} {more_on}"
                );
            }
        }
    }
    assert!(colours.len() > 10, "{}", colours.len());
}

/// Returns the y at which the first frame of a picture begins. Only frames contain the background
/// colour.
fn top(picture: &Pixels, background: Rgb) -> usize {
    let has = |y: &usize| (LEFT..LEFT + SIDE).any(|x| picture.at(x, *y) == background);
    (0..picture.height).find(has).unwrap()
}

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
            // A row of frames, its line of captions and the gap.
            let row = 2 * SIDE + 16 + 8;
            for (at, counts) in counts.iter().enumerate() {
                let place = (LEFT + at % 2 * step, top + at / 2 * row);
                assert_shows_counts(&picture, place, 2, counts, background);
            }
            let animation = folder.path().join("animation.GIF");
            run(&[&common, &[text(&animation), "--scale", "3"][..], split].concat());
            let frames = gif(&animation);
            assert_eq!(frames.len(), 4);
            for ((picture, delay), counts) in frames.iter().zip(&counts) {
                assert_eq!(*delay, 10);
                assert_shows_counts(picture, (8, 30), 3, counts, background);
            }
        }
    }
    assert_eq!(hidden(folder.path()), [] as [&str; 0]);
}

#[test]
fn draws_the_middle_frame_below_a_wrapped_title() {
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
    // The page is narrow, so the title takes several lines. The middle frame of four is the third.
    assert!(top > 40, "{top}");
    assert_shows_counts(&picture, (LEFT, top), 2, &counts[2], [0; 3]);
}

#[test]
fn real_delays_equal_frame_durations() {
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

#[test]
fn draws_a_sample_without_events() {
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
fn draws_counts_of_every_type() {
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
fn draws_sensors_of_any_size() {
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
