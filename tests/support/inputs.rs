//! The same gestures in every form they come in, and what a cache holds of them.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "arrays.rs"]
mod arrays;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use dvs_shared::{CacheFile, ChunkCodec, Frames, Set};
use flate2::read::GzDecoder;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

pub use self::arrays::{events_npz, npy, npz};
use crate::support::{data, prepare};

/// The folder of `inputs.tar.gz`, with the recordings as AEDAT 4 in `aedat4`.
pub fn unpacked() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let unpack = |name: &str, place: &Path| {
        let file = GzDecoder::new(File::open(data(name)).unwrap());
        tar::Archive::new(file).unpack(place).unwrap();
    };
    unpack("inputs.tar.gz", folder.path());
    let aedat4 = folder.path().join("aedat4");
    unpack("aedat4.tar.gz", &aedat4);
    for file in files(&folder.path().join("recordings")) {
        if file.extension().unwrap() != "aedat" {
            fs::copy(&file, aedat4.join(file.file_name().unwrap())).unwrap();
        }
    }
    folder
}

/// All files below `folder`, in order.
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

/// A `.tar` of `folder`, whose names begin with the folder's own; the files in reverse order.
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

/// A sample of a cache: its frames, and its events with the start and the end of its window.
#[derive(Debug, PartialEq, Eq)]
pub struct Held {
    pub frames: Vec<u32>,
    pub t: usize,
    pub events: u64,
    pub window: (i64, i64),
}

/// The samples of a cache by set, name and label.
pub type Samples = BTreeMap<(Set, String, u8), Held>;

pub fn samples(cache: &Path) -> Samples {
    let cache = CacheFile::open(cache).unwrap();
    let (mut codec, mut frames) = (ChunkCodec::default(), Frames::default());
    let mut all = Samples::new();
    for set in Set::ALL {
        for (row, sample) in cache.set(set).samples.iter().enumerate() {
            cache.check(set, row, &mut codec, &mut frames).unwrap();
            cache.read(set, row, &mut codec, &mut frames).unwrap();
            let held = Held {
                frames: frames.counts(cache.set(set).counts).collect(),
                t: sample.frames,
                events: sample.events,
                window: (sample.start_us, sample.end_us),
            };
            all.insert((set, sample.name.clone(), sample.label), held);
        }
    }
    all
}

/// What a cache of `input` holds.
pub fn prepared(input: &Path, args: &[&str]) -> Samples {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache.h5");
    prepare(input, &cache, args);
    samples(&cache)
}

/// The same without the windows, which files of events alone do not tell.
pub fn without_windows(mut samples: Samples) -> Samples {
    samples.values_mut().for_each(|held| held.window = (0, 0));
    samples
}

/// Writes `content` to `path`, with the folders it lies in.
pub fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}
