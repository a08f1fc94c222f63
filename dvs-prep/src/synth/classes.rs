//! Makes synthetic data in the exact form of CIFAR10-DVS or N-MNIST: a folder with the archives of
//! the dataset.
//!
//! A sample shows the shape of its class, which the camera sees because the shape moves. Shapes
//! differ from sample to sample in place, size, slant and noise. The bytes depend only on the
//! options, not on threads or the clock.

mod shapes;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use dvs_shared::output::{AtomicFolder, OutputLock};
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use self::shapes::{CIFAR10, DIGITS, Drawing, SeenEvent, Shape};
use super::SynthSummary;
use super::error::SynthError;
use super::options::{COMPRESSION, EVENTS_PER_SECOND, within};
use super::random::{between, generator};

/// Bounds of [`ClassOptions::samples`].
pub const SAMPLES: [u32; 2] = [1, 6000];
/// Header of a recording of CIFAR10-DVS.
const HEADER: &[u8] = b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n\
    # Data format is int32 address, int32 timestamp (8 bytes total), repeated for each event\r\n\
    # Timestamps tick is 1 us\r\n";
/// Purposes of random numbers, so that they do not affect each other.
const START: u64 = 6;
const SHAPE: u64 = 7;
const SHUFFLE: u64 = 8;

/// The dataset whose form the data has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassForm {
    /// Ten archives of AEDAT 2.0.
    Cifar10Dvs,
    /// `Train.zip` and `Test.zip` of `.bin` files.
    NMnist,
}

/// What to write.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassOptions {
    /// The folder to make.
    pub output: PathBuf,
    pub form: ClassForm,
    /// Samples of each class, within [`SAMPLES`]; N-MNIST's test set has a fifth more, at least 1.
    pub samples: u32,
    /// Whether each sample shows the shape of any class, so that nothing can be learned.
    pub shuffle_labels: bool,
    /// Random seed.
    pub seed: u64,
    /// Mean events per second, within [`EVENTS_PER_SECOND`].
    pub events_per_second: f64,
    /// Deflate level, within [`COMPRESSION`].
    pub compression: u32,
    /// Threads that generate and compress; 0 for one per processor.
    pub jobs: usize,
}

/// An archive to be written: its name, and its files.
struct Archive {
    name: String,
    files: Vec<Sample>,
}

/// A file to be written.
struct Sample {
    path: String,
    class: usize,
    /// Number among all samples of the class.
    number: u32,
    is_test: bool,
}

/// The numbers of what was written.
#[derive(Clone, Copy, Default)]
struct Written {
    events: u64,
    raw_bytes: u64,
    archive_bytes: u64,
}

/// Writes the folder that `options` describe. It is written whole or not at all.
///
/// # Errors
/// See [`SynthError`].
pub fn write_classes(options: &ClassOptions) -> Result<SynthSummary, SynthError> {
    let path = options.output.as_path();
    within("samples", options.samples, SAMPLES)?;
    within(
        "events per second",
        options.events_per_second,
        EVENTS_PER_SECOND,
    )?;
    within("compression level", options.compression, COMPRESSION)?;
    let io_error = |source| SynthError::Io {
        path: path.into(),
        source,
    };
    let is_empty = fs::read_dir(path).is_ok_and(|mut files| files.next().is_none());
    if path.exists() && !is_empty {
        return Err(SynthError::FolderExists { path: path.into() });
    }
    let lock = OutputLock::try_acquire(path)?.ok_or(SynthError::Busy { path: path.into() })?;
    let folder = AtomicFolder::create(&lock).map_err(io_error)?;
    let pool = ThreadPoolBuilder::new()
        .num_threads(options.jobs)
        .build()
        .map_err(|source| SynthError::Threads {
            jobs: options.jobs,
            source,
        })?;
    let archives = archives(options);
    let write = |archive: &Archive| write_archive(options, archive, folder.path());
    let written: Vec<Written> = pool
        .install(|| archives.par_iter().map(write).collect::<io::Result<_>>())
        .map_err(io_error)?;
    folder.finish().map_err(io_error)?;
    let samples = || archives.iter().flat_map(|archive| &archive.files);
    let test = samples().filter(|sample| sample.is_test).count() as u32;
    let sum = |of: fn(&Written) -> u64| written.iter().map(of).sum();
    Ok(SynthSummary {
        train_recordings: samples().count() as u32 - test,
        test_recordings: test,
        samples: samples().count() as u32,
        events: sum(|written| written.events),
        raw_bytes: sum(|written| written.raw_bytes),
        archive_bytes: sum(|written| written.archive_bytes),
    })
}

/// The archives and their files, in order.
fn archives(options: &ClassOptions) -> Vec<Archive> {
    let samples = options.samples;
    match options.form {
        ClassForm::Cifar10Dvs => (0..)
            .zip(CIFAR10)
            .map(|(class, (name, _))| Archive {
                name: format!("{name}.zip"),
                files: (0..samples)
                    .map(|number| Sample {
                        path: format!("{name}/cifar10_{name}_{number}.aedat"),
                        class,
                        number,
                        is_test: false,
                    })
                    .collect(),
            })
            .collect(),
        ClassForm::NMnist => [
            ("Train", 0, samples),
            ("Test", samples, (samples / 5).max(1)),
        ]
        .into_iter()
        .map(|(set, first, samples)| Archive {
            name: format!("{set}.zip"),
            files: (0..DIGITS.len())
                .flat_map(|class| {
                    (0..samples).map(move |k| Sample {
                        // The digits are mixed, so that each has its own numbers.
                        path: format!("{set}/{class}/{:05}.bin", k * 10 + class as u32 + 1),
                        class,
                        number: first + k,
                        is_test: first > 0,
                    })
                })
                .collect(),
        })
        .collect(),
    }
}

fn write_archive(options: &ClassOptions, archive: &Archive, folder: &Path) -> io::Result<Written> {
    let mut written = Written::default();
    // The entries have no time.
    let deflated = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(options.compression.into()));
    let mut zip = ZipWriter::new(BufWriter::new(File::create_new(
        folder.join(&archive.name),
    )?));
    let mut bytes = Vec::new();
    for sample in &archive.files {
        bytes.clear();
        written.events += draw(options, sample, &mut bytes);
        written.raw_bytes += bytes.len() as u64;
        zip.start_file(&*sample.path, deflated)?;
        zip.write_all(&bytes)?;
    }
    let file = zip.finish()?.into_inner().map_err(|e| e.into_error())?;
    file.sync_all()?;
    written.archive_bytes = file.metadata()?.len();
    Ok(written)
}

/// Appends the file of a sample to `bytes` and returns the number of its events.
fn draw(options: &ClassOptions, sample: &Sample, bytes: &mut Vec<u8>) -> u64 {
    let key = |purpose| [sample.class as u64, sample.number.into(), purpose];
    let random = generator(options.seed, key(SHAPE));
    let rate = options.events_per_second;
    let mut events = 0;
    let shown = match options.shuffle_labels {
        true => {
            let class = between(&mut generator(options.seed, key(SHUFFLE)), 0.0, 10.0) as usize;
            class.min(DIGITS.len() - 1)
        }
        false => sample.class,
    };
    match options.form {
        ClassForm::Cifar10Dvs => {
            bytes.extend_from_slice(HEADER);
            let start = between(&mut generator(options.seed, key(START)), 0.0, 2e9) as u32;
            let (_, shape): (&str, Shape) = CIFAR10[shown];
            Drawing::new(shape, 128, 1_200_000, random).events(rate, |event| {
                let SeenEvent { t, x, y, on } = event;
                // The camera lay on its side and counts from the lower right.
                let address = (127 - x) << 8 | (127 - y) << 1 | u32::from(!on);
                bytes.extend(address.to_be_bytes());
                bytes.extend((start + t).to_be_bytes());
                events += 1;
            });
        }
        ClassForm::NMnist => {
            let shape: Shape = DIGITS[shown];
            Drawing::new(shape, 34, 300_000, random).events(rate, |event| {
                let SeenEvent { t, x, y, on } = event;
                let [_, high, middle, low] = t.to_be_bytes();
                bytes.extend([x as u8, y as u8, u8::from(on) << 7 | high, middle, low]);
                events += 1;
            });
        }
    }
    events
}
