//! The archive has 122 recordings, as many as the real dataset. They are shuffled, and all labels
//! come last. The program stays within its memory limit and makes the same cache as from an ordered
//! archive.

#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use crate::support::*;

const RECORDINGS: usize = 122;
/// The limit in MiB of the program's peak memory.
const BOUND: u64 = 400;

/// Runs the program on `input` and returns its peak of resident memory in MiB.
fn peak(input: &Path, output: &Path) -> u64 {
    let run = measured(&["-i", text(input), "-o", text(output)]);
    assert!(run.output.status.success());
    assert!(run.peak > 0, "the peak was never seen");
    run.peak
}

#[test]
fn archive_with_labels_at_its_end_takes_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    // Each recording has 5 MB. All of them have 600 MB, more than the program may hold at once.
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
        // 37 and 122 have no common divisor, so each recording comes once, in scattered order.
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
