//! Provides the same gestures in every input format, and compares the caches made from them.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "arrays.rs"]
mod arrays;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use dvs_shared::{CacheFile, ChunkCodec, Frames, Set};
use flate2::read::GzDecoder;
use serde_json::Value;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

pub use self::arrays::{events_npz, npy, npz};
use crate::support::{data, prepare, run, text};

/// Arguments for frames of equally many events.
pub const NUMBER: &[&str] = &["--frames=4", "--split=number"];
/// Arguments for frames of equal duration.
pub const TIME: &[&str] = &["--frames=4", "--split=time"];
/// Arguments for frames of a fixed duration.
pub const DURATION: &[&str] = &["--duration=20ms"];

/// Unpacks `inputs.tar.gz` into a folder, and the same recordings as AEDAT 4 into its folder
/// `aedat4`, and as files of Prophesee into `prophesee/evt3`, `prophesee/evt2` and `prophesee/dat`.
/// `scripts/make_inputs.py`, `scripts/make_aedat4.py` and `scripts/make_prophesee.py` made these
/// files.
pub fn unpacked() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let unpack = |name: &str, place: &Path| {
        let file = GzDecoder::new(File::open(data(name)).unwrap());
        tar::Archive::new(file).unpack(place).unwrap();
    };
    unpack("inputs.tar.gz", folder.path());
    let aedat4 = folder.path().join("aedat4");
    unpack("aedat4.tar.gz", &aedat4);
    let prophesee = folder.path().join("prophesee");
    unpack("prophesee.tar.gz", &prophesee);
    let kinds = ["evt3", "evt2", "dat"].map(|kind| prophesee.join(kind));
    let places: Vec<&PathBuf> = [&aedat4].into_iter().chain(&kinds).collect();
    for file in files(&folder.path().join("recordings")) {
        if file.extension().unwrap() != "aedat" {
            for place in &places {
                fs::copy(&file, place.join(file.file_name().unwrap())).unwrap();
            }
        }
    }
    folder
}

/// All files below `folder`, in sorted order.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all.sort();
    all
}

/// A `.tar` of `folder`, whose names begin with the folder's name. The files are in reverse order.
pub fn tar_of(folder: &Path) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let above = folder.parent().unwrap();
    for file in files(folder).iter().rev() {
        builder
            .append_path_with_name(file, file.strip_prefix(above).unwrap())
            .unwrap();
    }
    builder.into_inner().unwrap()
}

/// A `.zip` of `folder`, whose names begin with the folder's name.
pub fn zip_of(folder: &Path) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let above = folder.parent().unwrap();
    for file in files(folder) {
        let name = file.strip_prefix(above).unwrap().to_str().unwrap();
        writer
            .start_file(name, SimpleFileOptions::default())
            .unwrap();
        writer.write_all(&fs::read(&file).unwrap()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A sample of a cache.
#[derive(Debug, PartialEq, Eq)]
pub struct CachedSample {
    pub frames: Vec<u32>,
    pub time_steps: usize,
    pub events: u64,
    /// Start and end in microseconds.
    pub window: (i64, i64),
}

/// The samples of a cache by set, name and label.
pub type Samples = BTreeMap<(Set, String, u8), CachedSample>;

pub fn samples(cache: &Path) -> Samples {
    let cache = CacheFile::open(cache).unwrap();
    let (mut codec, mut frames) = (ChunkCodec::default(), Frames::default());
    let mut all = Samples::new();
    for set in Set::ALL {
        for (row, sample) in cache.set(set).samples.iter().enumerate() {
            cache.check(set, row, &mut codec, &mut frames).unwrap();
            cache.read(set, row, &mut codec, &mut frames).unwrap();
            let held = CachedSample {
                frames: frames.counts(cache.set(set).counts).collect(),
                time_steps: sample.frames,
                events: sample.events,
                window: (sample.start_us, sample.end_us),
            };
            all.insert((set, sample.name.clone(), sample.label), held);
        }
    }
    all
}

/// Prepares `input` and returns the samples of the cache.
pub fn prepared(input: &Path, args: &[&str]) -> Samples {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache.h5");
    prepare(input, &cache, args);
    samples(&cache)
}

/// Sets all windows to zero, because files of single samples do not hold the label windows.
pub fn without_windows(mut samples: Samples) -> Samples {
    samples.values_mut().for_each(|held| held.window = (0, 0));
    samples
}

/// Writes `content` to `path` and creates the folders above it.
pub fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Prepares `input` and returns the first line of the summary that says how the files were read.
pub fn recognised(input: &Path, args: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache.h5");
    let said = prepare(input, &cache, &[args, &["--json"]].concat()).stdout;
    let said: Value = serde_json::from_slice(&said).unwrap();
    said["recognised"][0].as_str().unwrap().to_owned()
}

/// Expects that all inputs have the same key and give caches of the same bytes.
pub fn assert_same_cache_and_key(inputs: &[PathBuf]) {
    let folder = tempfile::tempdir().unwrap();
    let mut caches = BTreeSet::new();
    for (i, input) in inputs.iter().enumerate() {
        for jobs in ["1", "3"] {
            let cache = folder.path().join(format!("{i}.h5"));
            let args = [NUMBER, &["--force", "--jobs", jobs]].concat();
            prepare(input, &cache, &args);
            let key = run(&[&["key", "-i", text(input)], NUMBER].concat()).stdout;
            caches.insert((fs::read(&cache).unwrap(), key));
        }
    }
    assert_eq!(caches.len(), 1, "{inputs:?}");
}
