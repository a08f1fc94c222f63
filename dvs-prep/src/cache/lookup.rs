//! Finds out whether the requested cache already exists.
//!
//! A cache records the options that made it and the SHA-256 of its input. The SHA-256 of the
//! current input comes from the [`source_manifest`] or from reading the input.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use dvs_shared::archive::Archive;
use dvs_shared::cache_format::HDF5_SIGNATURE;
use dvs_shared::file_kind::irregular;
use dvs_shared::formats::{AddressLayout, ReadOptions};
use dvs_shared::output::OutputLock;
use dvs_shared::test_split::TestSplit;
use dvs_shared::{CacheError, CacheFile, CacheHeader};
use thiserror::Error;

use crate::input::file_stamp::FileStamp;
use crate::input::source_manifest::{self, SourceError};
use crate::pipeline::Settings;

/// Why an existing file is neither used nor overwritten.
#[derive(Debug, Error)]
pub enum ExistingError {
    /// It is not an HDF5 file, so this program must not replace it.
    #[error(
        "{path} exists and is not an HDF5 file; it is not replaced, even with --force. Choose another --output, or remove it"
    )]
    Foreign {
        /// Path of the file.
        path: PathBuf,
    },
    /// A pipe, a device or a socket: renaming the cache to this path would replace it.
    #[error(
        "{path} exists and is {kind}; it is not replaced, even with --force. Choose another --output"
    )]
    Irregular {
        path: PathBuf,
        /// Kind of file, such as a pipe.
        kind: &'static str,
    },
    /// The file system refused.
    #[error("cannot read {path}")]
    Io {
        path: PathBuf,
        /// Error of the file system.
        source: io::Error,
    },
    /// It is not a complete cache.
    #[error("{path} exists and cannot be used; --force replaces it")]
    Unusable {
        path: PathBuf,
        /// Why the cache is unusable.
        source: CacheError,
    },
    /// It was made with other options or from another input.
    #[error("{path} already exists with different contents: {}. Choose another --output, or replace it with --force", .differences.join("; "))]
    Other {
        path: PathBuf,
        /// Each difference between the file and the request.
        differences: Vec<String>,
    },
    /// The input cannot be read for comparison.
    #[error("cannot tell whether {path} was made from this input")]
    Input {
        /// The existing cache.
        path: PathBuf,
        source: SourceError,
    },
}

/// Checks that `path` may be replaced: there is no file, an empty file, or an HDF5 file.
///
/// # Errors
/// Returns an error if it is anything else.
pub fn may_be_replaced(path: &Path) -> Result<(), ExistingError> {
    let io_error = |source| ExistingError::Io {
        path: path.to_owned(),
        source,
    };
    if let Some(kind) = irregular(path).map_err(io_error)? {
        return Err(ExistingError::Irregular {
            path: path.to_owned(),
            kind,
        });
    }
    let mut start = Vec::new();
    match File::open(path).and_then(|f| f.take(HDF5_SIGNATURE.len() as u64).read_to_end(&mut start))
    {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(io_error(source)),
        Ok(_) if start.is_empty() || start == HDF5_SIGNATURE => Ok(()),
        Ok(_) => Err(ExistingError::Foreign {
            path: path.to_owned(),
        }),
    }
}

/// Returns the existing cache at `path` if its note shows that it is the requested one, without
/// reading the input. `input` holds the stamps of the input. For every other case see [`find`].
pub fn find_noted(path: &Path, input: &[FileStamp], settings: &Settings) -> Option<CacheFile> {
    let cache = CacheFile::open(path).ok()?;
    let CacheHeader {
        skipped,
        source_sha256,
        input_sha256,
        ..
    } = &cache.header;
    let noted = |skipped: &[String]| source_manifest::noted(path, input, skipped);
    let same = noted(skipped).as_ref() == Some(source_sha256)
        || input_sha256.is_some() && noted(&[]) == *input_sha256;
    (same && other_options(&cache, settings).is_empty()).then_some(cache)
}

/// Returns the existing cache at `path` if it is the requested one, or `None` if there is no file.
/// `input` holds the stamps of the input from before any of it was read. If the input has to be
/// read, its bytes are counted in `read`, and the result is noted if a `lock` is given.
///
/// # Errors
/// Returns an error if the file is anything else.
pub fn find(
    path: &Path,
    archive: &Archive,
    input: &[FileStamp],
    settings: &Settings,
    lock: Option<&OutputLock>,
    read: &AtomicU64,
) -> Result<Option<CacheFile>, ExistingError> {
    if !path.exists() {
        return Ok(None);
    }
    let cache = CacheFile::open(path).map_err(|source| ExistingError::Unusable {
        path: path.to_owned(),
        source,
    })?;
    let mut differences = other_options(&cache, settings);
    let CacheHeader {
        skipped,
        source_sha256,
        input_sha256,
        ..
    } = &cache.header;
    // Damaged recordings may have been repaired since; the SHA-256 of the others does not show it.
    let noted = source_manifest::noted(path, input, skipped);
    let (noted, said) = match (noted, input_sha256) {
        (None, Some(all)) => (source_manifest::noted(path, input, &[]), all),
        (noted, _) => (noted, source_sha256),
    };
    let nothing_tells = noted.is_none() && !skipped.is_empty() && input_sha256.is_none();
    if nothing_tells && differences.is_empty() {
        differences.push(format!(
            "it lacks {}, which were damaged; whether they still are cannot be told, since {} is missing or the input has \
             been touched",
            skipped.join(", "),
            source_manifest::path(path).display()
        ));
    }
    if differences.is_empty() {
        let source = match noted {
            Some(source) => source,
            None => {
                let source = source_manifest::read(archive, input, read).map_err(|source| {
                    ExistingError::Input {
                        path: path.to_owned(),
                        source,
                    }
                })?;
                if let Some(lock) = lock {
                    // Without the note, only the next lookup is slower.
                    let _ = source_manifest::write(lock, input, &[], &source);
                }
                source
            }
        };
        if source != *said {
            let lacking = match skipped.as_slice() {
                [] => String::new(),
                names => format!(" in which {} were damaged", names.join(", ")),
            };
            differences.push(format!(
                "it was made from an input with SHA-256 {said}{lacking}, and {} has {source}",
                archive.path.display()
            ));
        }
    }
    if differences.is_empty() {
        Ok(Some(cache))
    } else {
        Err(ExistingError::Other {
            path: path.to_owned(),
            differences,
        })
    }
}

/// The differences between the options that made `cache` and `settings`.
fn other_options(cache: &CacheFile, settings: &Settings) -> Vec<String> {
    let Settings {
        split,
        skip_damaged,
        read:
            ReadOptions {
                sensor,
                layout,
                stream,
                keep_invalid,
                ignore_outside,
                test_split,
                form: _,
            },
        ..
    } = *settings;
    let mut differences = Vec::new();
    if let Some(sensor) = sensor.filter(|s| *s != cache.header.sensor) {
        let held = cache.header.sensor;
        differences.push(format!("its frames have {held} pixels, not {sensor}"));
    }
    if cache.header.split != split {
        differences.push(format!("it holds {}, not {split}", cache.header.split));
    }
    if sensor.is_none() && cache.header.sensor_given {
        let held = cache.header.sensor;
        differences.push(format!(
            "it was made with --sensor {held}, not without --sensor"
        ));
    }
    let flag = |name: &str, given: bool| match given {
        true => format!("with --{name}"),
        false => format!("without --{name}"),
    };
    let value = |name: &str, given: Option<String>| match given {
        Some(value) => format!("with --{name} {value}"),
        None => format!("without --{name}"),
    };
    let header = &cache.header;
    let layout_name = |layout: Option<AddressLayout>| layout.map(|l| l.name().to_owned());
    let number = |stream: Option<i32>| stream.map(|n| n.to_string());
    let share = |split: Option<TestSplit>| split.map(|split| split.share().to_string());
    let seed = |split: Option<TestSplit>| Some(split?.seed?.to_string());
    for (held, asked) in [
        (
            flag("keep-invalid", header.keep_invalid),
            flag("keep-invalid", keep_invalid),
        ),
        (
            flag("ignore-outside", header.events_outside.is_some()),
            flag("ignore-outside", ignore_outside),
        ),
        (
            value("layout", layout_name(header.layout)),
            value("layout", layout_name(layout)),
        ),
        (
            value("stream", number(header.stream)),
            value("stream", number(stream)),
        ),
        (
            value("test-share", share(header.test_split)),
            value("test-share", share(test_split)),
        ),
        (
            value("split-seed", seed(header.test_split)),
            value("split-seed", seed(test_split)),
        ),
    ] {
        if held != asked {
            differences.push(format!("it was made {held}, not {asked}"));
        }
    }
    let skipped = &cache.header.skipped;
    if !skipped.is_empty() && !skip_damaged {
        differences.push(format!(
            "it was made with --skip-damaged and lacks {}, not without",
            skipped.join(", ")
        ));
    }
    differences
}
