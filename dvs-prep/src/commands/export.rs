//! `dvs-prep export`: writes data for other programs.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use clap::error::ErrorKind;
use dvs_prep::export::{EventFiles, write_npy, write_npz};
use dvs_prep::input::file_stamp::FileStamp;
use dvs_prep::input::source_manifest;
use dvs_prep::pipeline::{self, Progress, Settings};
use dvs_shared::formats::ReadOptions;
use dvs_shared::output::{AtomicFolder, OutputLock, folder_of};
use dvs_shared::{CacheFile, SplitMode};
use serde::Serialize;

use crate::cli::options::{self, default_folder, misuse};
use crate::cli::progress::{Bar, Waiting};
use crate::cli::report::write_json;
use crate::cli::{ExportArgs, ExportTo};
use crate::commands::stale_files;

/// SpikingJelly's folder of events, which must exist before SpikingJelly looks for frames.
const EVENTS_FOLDER: &str = "events_np";

/// What was exported.
#[derive(Debug, Serialize)]
pub struct Exported {
    input: String,
    folder: String,
    samples: usize,
    #[serde(skip)]
    notes: Vec<String>,
}

/// Exports according to `args`.
///
/// # Errors
/// Returns an error if the input cannot be read or the output cannot be written. No folder is left
/// under the final name in that case.
pub fn export(args: &ExportArgs) -> Result<Exported> {
    match args.to {
        ExportTo::EventsNpz => events(args),
        ExportTo::Npz | ExportTo::Npy => frames(args),
    }
}

/// Locks a folder that is to be created and does not exist yet.
fn locked(folder: &Path) -> Result<OutputLock> {
    let lock = OutputLock::acquire(folder, || Waiting::announce(folder))
        .context("nothing can be exported there")?;
    stale_files::clear_up(&lock, &[]);
    // An empty folder holds nothing to lose.
    let empty = fs::read_dir(folder).is_ok_and(|mut files| files.next().is_none());
    ensure!(
        empty || !folder.exists(),
        "{} exists; it is not replaced. Remove it, or choose another --output",
        folder.display()
    );
    Ok(lock)
}

/// The folder in which to create the exported folder.
fn place(args: &ExportArgs, default: &Path) -> Result<PathBuf> {
    let Some(output) = &args.output else {
        return Ok(default.to_owned());
    };
    fs::create_dir_all(output)
        .with_context(|| format!("cannot make the folder {}", output.display()))?;
    Ok(output.clone())
}

fn frames(args: &ExportArgs) -> Result<Exported> {
    if let Some(option) = args.read.given() {
        misuse(
            ErrorKind::ArgumentConflict,
            format!("{option} is for --to events-npz; the frames of a cache are made already"),
        );
    }
    if args.input.is_dir() {
        bail!(
            "{} is a folder; --to npz and --to npy take a cache, as dvs-prep makes it",
            args.input.display()
        );
    }
    let cache = CacheFile::open(&args.input)?;
    let mut name = cache.header.split.folder_name();
    let npz = args.to == ExportTo::Npz;
    if !npz {
        name.push_str("_npy");
    }
    let place = place(args, folder_of(&args.input))?;
    let folder = place.join(name);
    let lock = locked(&folder)?;
    let unfinished = AtomicFolder::create(&lock)
        .with_context(|| format!("cannot write {}", folder.display()))?;
    let mut notes = Vec::new();
    let samples = if npz {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(options::jobs(args.jobs))
            .build()?;
        let samples = pool.install(|| write_npz(&cache, unfinished))?;
        let events = place.join(EVENTS_FOLDER);
        if !events.exists() {
            fs::create_dir(&events).with_context(|| format!("cannot make {}", events.display()))?;
            notes.push(format!(
                "made the empty folder {}, which SpikingJelly wants to see before it looks for frames",
                events.display()
            ));
        }
        if matches!(
            cache.header.split,
            SplitMode::Number { .. } | SplitMode::Time { .. }
        ) {
            notes.push(format!(
                "load it with DVS128Gesture({:?}, train=True, data_type=\"frame\", frames_number={}, split_by={:?})",
                place.to_string_lossy(),
                cache.header.split.frames(),
                cache.header.split.split_by().name()
            ));
        } else {
            notes.push(format!(
                "load it with DVS128Gesture({:?}, train=True, data_type=\"frame\", duration={})",
                place.to_string_lossy(),
                cache.header.split.duration_us()
            ));
        }
        samples
    } else {
        write_npy(&cache, unfinished)?
    };
    Ok(Exported {
        input: args.input.to_string_lossy().into_owned(),
        folder: folder.to_string_lossy().into_owned(),
        samples,
        notes,
    })
}

fn events(args: &ExportArgs) -> Result<Exported> {
    let archive = options::find_archive(&args.input, &args.read)?;
    let settings = Settings {
        // Events are not divided into frames.
        split: SplitMode::Number { frames: 1 },
        split_given: false,
        read: ReadOptions {
            form: archive.form(),
            ..args.read.options()
        },
        skip_damaged: args.skip_damaged,
        jobs: options::jobs(args.jobs),
        memory: options::memory(args.memory),
    };
    let input = FileStamp::of_input(&archive)?;
    let place = place(args, &default_folder(&args.input, &archive))?;
    let folder = place.join(EVENTS_FOLDER);
    let lock = locked(&folder)?;
    let unfinished = AtomicFolder::create(&lock)
        .with_context(|| format!("cannot write {}", folder.display()))?;
    let files = EventFiles::new(unfinished)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(settings.workers())
        .build()?;
    let progress = Arc::new(Progress::default());
    let total = input.iter().map(FileStamp::size).sum();
    let bar = Bar::follow("exporting", total, Arc::clone(&progress));
    let prepared = pipeline::events(&archive, settings, &pool, &place, &progress, &files);
    drop(bar);
    let none = || format!("nothing was exported from {}", archive.path.display());
    source_manifest::unchanged(&archive, &input).with_context(none)?;
    let prepared = prepared.with_context(none)?;
    for warning in &prepared.warnings {
        eprintln!("dvs-prep: warning: {warning}");
    }
    let samples = files.finish(&prepared.sets)?;
    Ok(Exported {
        input: archive.path.to_string_lossy().into_owned(),
        folder: folder.to_string_lossy().into_owned(),
        samples,
        notes: Vec::new(),
    })
}

impl Exported {
    /// Writes the result as text or as one JSON object.
    pub fn write(&self, out: &mut impl Write, json: bool) -> io::Result<()> {
        for note in &self.notes {
            eprintln!("dvs-prep: {note}");
        }
        if json {
            return write_json(out, self);
        }
        writeln!(out, "{}: {} samples", self.folder, self.samples)
    }
}
