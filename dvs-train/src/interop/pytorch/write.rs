//! Writes state dicts as `torch.save` does: a zip archive of a pickle and the storages.

use std::io::{Cursor, Write};

use anyhow::Result;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::interop::named::{Named, Values};

/// Folder of all entries. torch names it after the file; torch.load accepts any name.
const TOP: &str = "archive";
/// Alignment of storages, as in torch, so that they can be mapped into memory.
const ALIGNMENT: u16 = 64;

/// Encodes a file that torch.load reads as an `OrderedDict` of tensors. The same tensors give the
/// same bytes.
///
/// # Errors
/// Never returns an error in practice, because everything stays in memory.
pub fn state_dict(tensors: &[Named]) -> Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut entry = |name: &str, bytes: &[u8]| -> Result<()> {
        let options = SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored)
            .large_file(u32::try_from(bytes.len()).is_err())
            .with_alignment(ALIGNMENT);
        zip.start_file(format!("{TOP}/{name}"), options)?;
        zip.write_all(bytes)?;
        Ok(())
    };
    entry("data.pkl", &pickle(tensors))?;
    entry("byteorder", b"little")?;
    for (key, tensor) in tensors.iter().enumerate() {
        entry(&format!("data/{key}"), &tensor.values.bytes())?;
    }
    entry("version", b"3\n")?;
    Ok(zip.finish()?.into_inner())
}

/// `OrderedDict` of `torch._utils._rebuild_tensor_v2(storage, 0, size, stride, False,
/// OrderedDict())`, in protocol 2.
fn pickle(tensors: &[Named]) -> Vec<u8> {
    let mut out = Pickler(b"\x80\x02".to_vec());
    out.ordered_dict();
    out.raw(b"(");
    for (key, tensor) in tensors.iter().enumerate() {
        let count = tensor.shape.iter().product();
        let mut stride = 1;
        let mut strides: Vec<usize> = Vec::new();
        for size in tensor.shape.iter().rev() {
            strides.insert(0, stride);
            stride *= size;
        }
        out.text(&tensor.name);
        out.global("torch._utils", "_rebuild_tensor_v2");
        out.raw(b"(");
        out.raw(b"(");
        out.text("storage");
        out.global(
            "torch",
            match tensor.values {
                Values::Floats(_) => "FloatStorage",
                Values::Count(_) => "LongStorage",
            },
        );
        out.text(&key.to_string());
        out.text("cpu");
        out.whole(count);
        out.raw(b"tQ");
        out.whole(0);
        out.tuple(&tensor.shape);
        out.tuple(&strides);
        out.raw(b"\x89");
        out.ordered_dict();
        out.raw(b"tR");
    }
    out.raw(b"u.");
    out.0
}

/// A pickle under construction.
struct Pickler(Vec<u8>);

impl Pickler {
    fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn global(&mut self, module: &str, name: &str) {
        self.raw(format!("c{module}\n{name}\n").as_bytes());
    }

    fn ordered_dict(&mut self) {
        self.global("collections", "OrderedDict");
        self.raw(b")R");
    }

    fn text(&mut self, text: &str) {
        self.raw(b"X");
        self.raw(&(text.len() as u32).to_le_bytes());
        self.raw(text.as_bytes());
    }

    /// Writes a whole number, as LONG1 of 9 bytes if it exceeds BININT.
    fn whole(&mut self, number: usize) {
        match i32::try_from(number) {
            Ok(number) => {
                self.raw(b"J");
                self.raw(&number.to_le_bytes());
            }
            Err(_) => {
                self.raw(b"\x8a\x09");
                self.raw(&(number as u64).to_le_bytes());
                self.raw(b"\0");
            }
        }
    }

    fn tuple(&mut self, numbers: &[usize]) {
        self.raw(b"(");
        for number in numbers {
            self.whole(*number);
        }
        self.raw(b"t");
    }
}
