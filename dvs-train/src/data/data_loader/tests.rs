#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::bail;
use dvs_shared::{CountType, Frames};

use super::*;
use crate::data::batch::Counts;

/// A source whose sample k has the shape `[2, 2, 1, 1]`, k in all cells, and the label k % 11.
struct Fake {
    samples: usize,
    fails_at: Option<usize>,
    panics_at: Option<usize>,
    slow: bool,
    read: AtomicUsize,
}

impl Fake {
    fn new(samples: usize) -> Self {
        Self {
            samples,
            fails_at: None,
            panics_at: None,
            slow: false,
            read: AtomicUsize::new(0),
        }
    }
}

impl SampleSource for Fake {
    fn len(&self) -> usize {
        self.samples
    }

    fn steps(&self) -> usize {
        2
    }

    fn size(&self) -> [usize; 2] {
        [1, 1]
    }

    fn counts(&self) -> CountType {
        CountType::U8
    }

    fn label(&self, index: usize) -> u8 {
        (index % 11) as u8
    }

    fn read<'a>(&'a self, index: usize, scratch: &'a mut Scratch) -> Result<&'a Frames> {
        self.read.fetch_add(1, Ordering::SeqCst);
        if self.slow {
            // Workers overtake each other if the delays are uneven.
            thread::sleep(Duration::from_micros(((index * 7919) % 13) as u64 * 100));
        }
        if self.fails_at == Some(index) {
            bail!("the disk is on fire");
        }
        assert_ne!(self.panics_at, Some(index));
        scratch.frames.frames = 2;
        scratch.frames.raw = vec![index as u8; 4];
        Ok(&scratch.frames)
    }
}

/// Returns the samples of each batch.
fn read_all(source: Fake, batches: Batches, workers: usize) -> Result<Vec<Vec<u8>>> {
    let reader = BatchReader::start(Arc::new(source), batches, workers)?;
    reader
        .map(|batch| {
            let batch = batch?;
            let size = batch.labels.len();
            assert_eq!(batch.shape, [2, size, 2, 1, 1]);
            let Counts::U8(frames) = batch.frames else {
                panic!("bytes stay bytes");
            };
            let (first, second) = frames.split_at(2 * size);
            assert_eq!(first, second);
            let samples: Vec<u8> = first.iter().step_by(2).copied().collect();
            let labels: Vec<u8> = samples.iter().map(|k| k % 11).collect();
            assert_eq!(labels, batch.labels);
            Ok(samples)
        })
        .collect()
}

#[test]
fn batch_order_does_not_depend_on_worker_count() {
    for workers in [1, 2, 7, 100] {
        let batches = train_batches(50, 3, 42);
        let mut source = Fake::new(50);
        source.slow = true;
        let read = read_all(source, batches.clone(), workers).unwrap();
        let expected: Vec<Vec<u8>> = batches
            .iter()
            .map(|batch| batch.iter().map(|&k| k as u8).collect())
            .collect();
        assert_eq!(read, expected, "{workers} workers");
    }
}

#[test]
fn training_shuffles_by_seed_and_drops_the_short_batch() {
    let batches = train_batches(50, 8, 1);
    assert_eq!(batches.len(), 6);
    assert!(batches.iter().all(|batch| batch.len() == 8));
    let mut seen: Vec<usize> = batches.concat();
    assert_ne!(seen, (0..48).collect::<Vec<_>>());
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 48);
    assert_eq!(batches, train_batches(50, 8, 1));
    assert_ne!(batches, train_batches(50, 8, 2));
    assert!(train_batches(7, 8, 0).is_empty());
    assert!(train_batches(0, 8, 0).is_empty());
}

#[test]
fn shuffling_is_uniform() {
    let mut places = [[0; 5]; 5];
    for seed in 0..5000 {
        for (place, sample) in train_batches(5, 1, seed).concat().into_iter().enumerate() {
            places[sample][place] += 1;
        }
    }
    // The expected number is 1000, with a standard deviation of 28.
    assert!(
        places
            .as_flattened()
            .iter()
            .all(|n| (860..1140).contains(n)),
        "{places:?}"
    );
}

#[test]
fn test_batches_keep_order_and_the_short_batch() {
    let batches = test_batches(0..10, 4);
    assert_eq!(batches, [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]]);
    let read = read_all(Fake::new(10), batches, 3).unwrap();
    assert_eq!(read.concat(), (0..10).collect::<Vec<u8>>());
    assert_eq!(
        read_all(Fake::new(0), test_batches(0..0, 4), 3).unwrap(),
        Vec::<Vec<u8>>::new()
    );
}

#[test]
fn read_error_ends_the_epoch_at_its_batch() {
    for workers in [1, 2, 7] {
        let mut source = Fake::new(40);
        source.fails_at = Some(17);
        let mut reader =
            BatchReader::start(Arc::new(source), test_batches(0..40, 4), workers).unwrap();
        for _ in 0..4 {
            reader.next().unwrap().unwrap();
        }
        let error = reader.next().unwrap().unwrap_err();
        assert_eq!(format!("{error:#}"), "the disk is on fire");
        assert!(reader.next().is_none());
    }
}

#[test]
fn worker_panic_becomes_an_error() {
    let mut source = Fake::new(40);
    source.panics_at = Some(17);
    let error = read_all(source, test_batches(0..40, 4), 2).unwrap_err();
    assert!(
        error.to_string().contains("ended before its last batch"),
        "{error}"
    );
}

#[test]
fn dropping_the_reader_stops_its_workers() {
    for taken in [0, 1, 5] {
        let source = Arc::new(Fake::new(10_000));
        let mut reader =
            BatchReader::start(Arc::clone(&source), test_batches(0..10_000, 4), 3).unwrap();
        for _ in 0..taken {
            reader.next().unwrap().unwrap();
        }
        drop(reader);
        // The workers have ended, and none was more than two batches ahead.
        assert_eq!(Arc::strong_count(&source), 1);
        let read = source.read.load(Ordering::SeqCst);
        assert!(
            read <= (taken + 3 * 3) * 4,
            "{read} samples read, {taken} batches taken"
        );
    }
}
