//! An archive of the real dataset's 122 recordings, shuffled, with all labels at its end, is prepared within the
//! memory bound, and into the same bytes as an orderly one.

#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use crate::support::*;

const RECORDINGS: usize = 122;
/// MiB the program may use at its peak.
const BOUND: u64 = 400;

/// The peak of resident memory in MiB of a run over `input`.
fn peak(input: &Path, output: &Path) -> u64 {
    let run = measured(&["-i", text(input), "-o", text(output)]);
    assert!(run.output.status.success());
    assert!(run.peak > 0, "the peak was never seen");
    run.peak
}

#[test]
fn labels_at_the_end_of_the_archive_stay_within_the_memory_bound() {
    let folder = tempfile::tempdir().unwrap();
    // 5 MB each, 600 MB in all: more than may be held.
    let aedat = recording(&events(600_000, 1000, 10));
    let labels = (0..12).map(|i| {
        format!(
            "{},{},{}\n",
            i % 11 + 1,
            1000 + i * 500_000,
            400_000 + i * 500_000
        )
    });
    let labels = format!(
        "class,startTime_usec,endTime_usec\n{}",
        labels.collect::<String>()
    );
    let names: Vec<String> = (0..RECORDINGS)
        .map(|i| format!("user{:02}_{}", i / 5 + 1, i % 5))
        .collect();
    let list = |names: &[String]| {
        names
            .iter()
            .map(|n| format!("{n}.aedat\n"))
            .collect::<String>()
    };
    let write = |path: &Path, labels_last: bool| {
        let mut tar = tar::Builder::new(BufWriter::new(File::create(path).unwrap()));
        let mut add = |name: String, content: &[u8]| {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, format!("DvsGesture/{name}"), content)
                .unwrap();
        };
        // 37 and 122 have no common divisor: every recording once, in scattered order.
        let order: Vec<&String> = (0..RECORDINGS)
            .map(|i| &names[if labels_last { i * 37 % RECORDINGS } else { i }])
            .collect();
        for name in &order {
            add(format!("{name}.aedat"), &aedat);
            if !labels_last {
                add(format!("{name}_labels.csv"), labels.as_bytes());
            }
        }
        if labels_last {
            for name in order.iter().rev() {
                add(format!("{name}_labels.csv"), labels.as_bytes());
            }
        }
        add(
            "trials_to_train.txt".to_owned(),
            list(&names[..98]).as_bytes(),
        );
        add(
            "trials_to_test.txt".to_owned(),
            list(&names[98..]).as_bytes(),
        );
        tar.into_inner().unwrap();
    };
    let (input, output) = (
        folder.path().join("DvsGesture.tar"),
        folder.path().join("cache.h5"),
    );
    write(&input, true);
    let late = peak(&input, &output);
    let bytes = fs::read(&output).unwrap();
    fs::remove_file(&output).unwrap();
    write(&input, false);
    let orderly = peak(&input, &output);
    assert!(
        bytes == fs::read(&output).unwrap(),
        "the order of the archive shows in the cache"
    );
    println!("peak: {late} MiB with the labels last, {orderly} MiB with each beside its recording");
    assert!(
        late <= BOUND && orderly <= BOUND,
        "{late} and {orderly} MiB, beyond {BOUND}"
    );
}
