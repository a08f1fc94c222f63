//! Writes `.npy` and `.npz` files.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use dvs_shared::formats::write_npy_header;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Compression level. Frames and events gain little from a higher one.
const LEVEL: i64 = 1;

/// An array: its name, type and shape, and the function that writes its bytes.
pub(super) struct Array<'a> {
    pub name: &'a str,
    pub descr: &'a str,
    pub shape: &'a [usize],
    pub write: WriteTo<'a>,
}

/// Writes the elements of an array.
pub(super) type WriteTo<'a> = &'a dyn Fn(&mut dyn Write) -> io::Result<()>;

/// Writes the arrays of an `.npz` and syncs the file. Its bytes depend only on the arrays, because
/// the entries have no time.
pub(super) fn write_npz(path: &Path, arrays: &[Array<'_>]) -> io::Result<()> {
    let mut zip = ZipWriter::new(BufWriter::new(File::create_new(path)?));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(LEVEL));
    for array in arrays {
        // An element has at most eight bytes.
        let elements: usize = array.shape.iter().product();
        let options = options.large_file(elements >= 1 << 28);
        zip.start_file(format!("{}.npy", array.name), options)?;
        write_npy_header(&mut zip, array.descr, array.shape)?;
        (array.write)(&mut zip)?;
    }
    sync(zip.finish()?)
}

/// A `.npy` that is being written.
pub(super) struct Npy(BufWriter<File>);

impl Npy {
    pub(super) fn create(path: &Path, descr: &str, shape: &[usize]) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create_new(path)?);
        write_npy_header(&mut file, descr, shape)?;
        Ok(Self(file))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    pub(super) fn finish(self) -> io::Result<()> {
        sync(self.0)
    }
}

fn sync(file: BufWriter<File>) -> io::Result<()> {
    file.into_inner().map_err(|e| e.into_error())?.sync_all()
}
