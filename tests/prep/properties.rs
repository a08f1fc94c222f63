//! Checks the parsing of recordings and the integration of events with random input.

use dvs_shared::event::DVS128;
use dvs_shared::frames::{frame_count, integrate};
use dvs_shared::recording::Recording;
use dvs_shared::{Event, SplitMode};
use proptest::prelude::*;

use crate::support::{END_HEADER, packet, packet_of};

/// Events whose times may go backwards. They share one overflow counter, so any of them fit into
/// one packet.
fn any_events() -> impl Strategy<Value = Vec<Event>> {
    let event = (
        0..5000i64,
        0..128u16,
        0..128u16,
        any::<bool>(),
        prop::bool::weighted(0.9),
    )
        .prop_map(|(t, x, y, polarity, valid)| Event {
            t,
            x,
            y,
            polarity,
            valid,
        });
    (prop::collection::vec(event, 0..300), any::<bool>()).prop_map(|(mut events, sorted)| {
        if sorted {
            events.sort_by_key(|e| e.t);
        }
        events
    })
}

fn any_split() -> impl Strategy<Value = SplitMode> {
    prop_oneof![
        (1..400u32).prop_map(|frames| SplitMode::Number { frames }),
        (1..400u32).prop_map(|frames| SplitMode::Time { frames }),
        (1..6000u64).prop_map(|us| SplitMode::Duration { us }),
    ]
}

/// A recording of `events` that begins a new packet at each of `cuts`. A packet of another event
/// type follows each packet.
fn packets(events: &[Event], cuts: &[usize]) -> Vec<u8> {
    let mut bytes = END_HEADER.to_vec();
    let mut cuts: Vec<usize> = cuts.iter().map(|c| c % (events.len() + 1)).collect();
    cuts.extend([0, events.len()]);
    cuts.sort_unstable();
    for pair in cuts.windows(2) {
        bytes.extend(packet(&events[pair[0]..pair[1]]));
        bytes.extend(packet_of(0, 8, 0, 1, 1, &[0xff; 8]));
    }
    bytes
}

fn frames(bytes: &[u8], window: (i64, i64), split: SplitMode, keep_invalid: bool) -> Vec<Vec<u32>> {
    let recording = Recording::new(bytes, DVS128, keep_invalid).unwrap();
    let events = recording.window(window.0, window.1);
    let mut frames = Vec::new();
    integrate(&events, split, frame_count(&events, split).unwrap(), |f| {
        frames.push(f.counts())
    });
    frames
}

/// Computes the same frames by the definition of the split, event by event.
fn frames_by_definition(
    events: &[Event],
    window: (i64, i64),
    split: SplitMode,
    keep_invalid: bool,
) -> Vec<Vec<u32>> {
    let events: Vec<&Event> = events
        .iter()
        .filter(|e| (e.valid || keep_invalid) && (window.0..window.1).contains(&e.t))
        .collect();
    let (first, last) = (
        events.first().map_or(0, |e| e.t),
        events.last().map_or(0, |e| e.t),
    );
    let frames = match split {
        SplitMode::Number { frames } | SplitMode::Time { frames } => frames as i64,
        SplitMode::Duration { us } => (((last - first) as f64 / us as f64).ceil() as i64).max(1),
    };
    let mut out = vec![vec![0; 2 * 128 * 128]; frames as usize];
    for (i, e) in events.iter().enumerate() {
        let length = match split {
            SplitMode::Number { .. } => events.len() as i64 / frames,
            SplitMode::Time { .. } => (last - first).div_euclid(frames),
            SplitMode::Duration { us } => us as i64,
        };
        let position = if matches!(split, SplitMode::Number { .. }) {
            i as i64
        } else {
            e.t - first
        };
        let frame = if length <= 0 {
            frames - 1
        } else {
            position.div_euclid(length).clamp(0, frames - 1)
        };
        out[frame as usize]
            [usize::from(e.polarity) * 16384 + usize::from(e.y) * 128 + usize::from(e.x)] += 1;
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn frames_match_the_definition_for_any_packets(
        events in any_events(),
        cuts in prop::collection::vec(any::<usize>(), 0..20),
        split in any_split(),
        start in 0..3000i64,
        length in 0..5000i64,
        keep_invalid: bool,
    ) {
        let window = (start, start + length);
        let made = frames(&packets(&events, &cuts), window, split, keep_invalid);
        prop_assert!(made == frames_by_definition(&events, window, split, keep_invalid));
        let counted: u64 = made.iter().flatten().map(|&c| u64::from(c)).sum();
        let expected = events
            .iter()
            .filter(|e| (e.valid || keep_invalid) && (start..start + length).contains(&e.t));
        prop_assert_eq!(counted, expected.count() as u64);
    }

    #[test]
    fn reader_does_not_panic_on_any_bytes(
        mut bytes in prop::collection::vec(any::<u8>(), 0..400),
        header: bool,
    ) {
        if header {
            bytes = [END_HEADER, &bytes].concat();
        }
        if let Ok(recording) = Recording::new(&bytes, DVS128, true) {
            recording.window(i64::MIN, i64::MAX).for_each(|_, cell| assert!(cell < 2 * 128 * 128));
        }
    }
}
