//! A recording or an archive may be truncated at any byte. The program keeps what is whole and
//! reports the rest.

use std::fs;
use std::path::Path;

use dvs_shared::event::DVS128;
use dvs_shared::recording::Recording;
use dvs_shared::{CacheFile, Event, Set};

use crate::support::*;

/// `n` pseudo-random numbers less than `below`, the same in every run.
fn pseudo_random(n: usize, below: usize) -> impl Iterator<Item = usize> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    (0..n).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    })
}

/// A recording with packets of many sizes. Also returns the boundaries of the packets, and each
/// event with the offset of the byte after it.
fn uneven_recording() -> (Vec<u8>, Vec<usize>, Vec<(Event, usize)>) {
    let all = events(6000, 1000, 1);
    let (mut bytes, mut boundaries, mut ends) = (END_HEADER.to_vec(), Vec::new(), Vec::new());
    let mut rest = all.as_slice();
    for size in [1, 700, 0, 3, 250, 1, 90].into_iter().cycle() {
        let (these, others) = rest.split_at(rest.len().min(size));
        boundaries.push(bytes.len());
        let at = bytes.len() + 28;
        bytes.extend(packet(these));
        ends.extend((1..).zip(these).map(|(i, &e)| (e, at + i * 8)));
        rest = others;
        if rest.is_empty() {
            break;
        }
    }
    boundaries.push(bytes.len());
    (bytes, boundaries, ends)
}

#[test]
fn recording_truncated_anywhere_keeps_exactly_its_whole_events() {
    let (bytes, boundaries, ends) = uneven_recording();
    let cuts = boundaries
        .iter()
        .copied()
        .chain(pseudo_random(500, bytes.len()));
    let (mut accepted, mut refused) = (0, 0);
    for cut in cuts {
        let Ok(recording) = Recording::new(&bytes[..cut], DVS128, false) else {
            assert!(cut < END_HEADER.len(), "refused at byte {cut}");
            refused += 1;
            continue;
        };
        let whole: Vec<i64> = ends
            .iter()
            .filter(|(_, end)| *end <= cut)
            .map(|(e, _)| e.t)
            .collect();
        let mut found = Vec::new();
        recording
            .window(i64::MIN, i64::MAX)
            .for_each(|t, _| found.push(t));
        assert!(found == whole, "byte {cut}");
        let said = recording.cut_short();
        assert_eq!(
            said.is_none(),
            boundaries.contains(&cut),
            "byte {cut}: {said:?}"
        );
        accepted += 1;
    }
    println!("{accepted} cuts accepted, {refused} in the header refused");
    assert!(accepted > 500);
}

/// Prepares `input`. Returns the number of samples in the cache, or `None` if the run fails without
/// making a cache.
fn number_of_samples(input: &Path, output: &Path, args: &[&str]) -> Option<usize> {
    let _ = fs::remove_file(output);
    let result = dvs_prep([&["-i", text(input), "-o", text(output)], args].concat())
        .output()
        .unwrap();
    let said = stderr(&result);
    match result.status.code() {
        Some(0) => {
            run(&["verify", text(output)]);
            let cache = CacheFile::open(output).unwrap();
            assert_eq!(
                said.contains("left out"),
                !cache.header.skipped.is_empty(),
                "{said}"
            );
            Some(
                Set::ALL
                    .map(|set| cache.set(set).samples.len())
                    .iter()
                    .sum(),
            )
        }
        Some(1) => {
            assert!(!output.exists());
            assert!(!said.contains("panicked") && !said.is_empty(), "{said}");
            None
        }
        code => panic!("{code:?}: {said}"),
    }
}

#[test]
fn archive_truncated_anywhere_gives_whole_samples_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("cache.h5");
    for (ending, whole, cuts) in [
        (".tar.gz", gzip(&tar(&dataset())), 500),
        (".tar", tar(&dataset()), 60),
        (".zip", zip(&dataset()), 60),
    ] {
        let input = folder.path().join(format!("x{ending}"));
        let mut used = 0;
        for (i, cut) in pseudo_random(cuts, whole.len()).enumerate() {
            fs::write(&input, &whole[..cut]).unwrap();
            let skipping = i % 2 == 1;
            let args: &[&str] = if skipping { &["--skip-damaged"] } else { &[] };
            let Some(samples) = number_of_samples(&input, &output, args) else {
                continue;
            };
            used += 1;
            // If only the end marker of a .tar is missing, all samples are there.
            assert!(
                samples == 4 || skipping && samples == 2,
                "{samples} samples of {ending} cut at {cut}"
            );
        }
        println!("{ending}: {cuts} cuts, {used} gave a cache");
        assert!(ending == ".zip" || used > 0);
    }
}
