//! Exports the events of samples, one file per sample.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use dvs_shared::Set;
use dvs_shared::output::AtomicFolder;
use dvs_shared::recording::WindowEvents;

use super::ExportError;
use super::numpy::{Array, WriteTo, write_npz};
use crate::input::error::InputProblem;
use crate::pipeline::EventSink;
use crate::pipeline::chunk_store::StagedSample;

/// Samples are stored here until their set is known, because the trial lists may come last.
const UNSORTED: &str = "unsorted";

/// Event files that are being written.
pub struct EventFiles<'a> {
    folder: AtomicFolder<'a>,
}

impl<'a> EventFiles<'a> {
    /// Starts without files in `folder`.
    ///
    /// # Errors
    /// Returns an error if the folder cannot be written.
    pub fn new(folder: AtomicFolder<'a>) -> Result<Self, ExportError> {
        let unsorted = folder.path().join(UNSORTED);
        fs::create_dir(&unsorted).map_err(ExportError::write(&unsorted))?;
        Ok(Self { folder })
    }

    /// The path of a sample until all samples are there. Samples of both sets may have the same name
    /// if the set is known.
    fn unsorted(&self, set: Option<Set>, name: &str, label: u8) -> PathBuf {
        let set = set.map_or("", Set::name);
        let file = format!("{name}@{label}{set}.npz");
        self.folder.path().join(UNSORTED).join(file)
    }

    /// Moves the samples of both `sets` to SpikingJelly's folders, and gives the folder its final
    /// name. Returns the number of samples.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub fn finish(self, sets: &[Vec<StagedSample>; 2]) -> Result<usize, ExportError> {
        let mut samples = 0;
        for (set, of_set) in Set::ALL.into_iter().zip(sets) {
            for sample in of_set {
                let (name, label) = (&sample.name, sample.window.label);
                let place = self.folder.path().join(set.name()).join(label.to_string());
                fs::create_dir_all(&place).map_err(ExportError::write(&place))?;
                let path = place.join(format!("{name}.npz"));
                let of_set = self.unsorted(Some(set), name, label);
                let unsorted = match of_set.exists() {
                    true => of_set,
                    false => self.unsorted(None, name, label),
                };
                fs::rename(unsorted, &path).map_err(ExportError::write(&path))?;
                samples += 1;
            }
        }
        // Only samples of recordings that no list names are left.
        let unsorted = self.folder.path().join(UNSORTED);
        fs::remove_dir_all(&unsorted).map_err(ExportError::write(&unsorted))?;
        let path = self.folder.path().to_owned();
        self.folder.finish().map_err(ExportError::write(&path))?;
        Ok(samples)
    }
}

impl EventSink for EventFiles<'_> {
    fn take(
        &self,
        set: Option<Set>,
        name: &str,
        label: u8,
        events: &WindowEvents<'_>,
    ) -> Result<(), InputProblem> {
        let sensor = events.sensor();
        let (width, height) = (sensor.width as usize, sensor.height as usize);
        let number = [events.number as usize];
        // One column at a time: all four together would take four times the memory of the
        // recording.
        let column = |out: &mut dyn Write, value: &dyn Fn(i64, usize) -> i64| {
            let mut out = BufWriter::new(out);
            let mut written = Ok(());
            events.for_each(|t, cell| {
                if written.is_ok() {
                    written = out.write_all(&value(t, cell).to_le_bytes());
                }
            });
            written.and_then(|()| out.flush())
        };
        let t = |out: &mut dyn Write| column(out, &|t, _| t);
        let x = |out: &mut dyn Write| column(out, &|_, cell| (cell % width) as i64);
        let y = |out: &mut dyn Write| column(out, &|_, cell| (cell / width % height) as i64);
        let p = |out: &mut dyn Write| column(out, &|_, cell| (cell / width / height) as i64);
        let columns: [(&str, WriteTo<'_>); 4] = [("t", &t), ("x", &x), ("y", &y), ("p", &p)];
        let arrays = columns.map(|(name, write)| Array {
            name,
            descr: "<i8",
            shape: &number,
            write,
        });
        let path = self.unsorted(set, name, label);
        write_npz(&path, &arrays).map_err(|reason| InputProblem::Io {
            action: "write",
            path,
            reason,
        })
    }
}
