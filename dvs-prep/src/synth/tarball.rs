//! Assembles a `.tar` or `.tar.gz` from members that are compressed separately.
//!
//! Each compressed member ends in a sync flush, so that it ends at a byte boundary and the next one
//! can follow. Thus many threads can compress, and the result is still a single gzip member, as
//! `gzip` writes it.

use std::io::{self, Write};

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use tar::{EntryType, Header};

/// Modification time of every member, as in the fixture archives. A clock would make the bytes
/// differ.
const MTIME: u64 = 1_476_400_000;
const MODE: u32 = 0o644;
/// A member fills whole blocks of this many bytes.
const BLOCK: u64 = 512;
/// ID, deflate, no flags, no time, no hint, unknown system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// An empty final block with fixed codes.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// A part of the archive, ready to be written.
pub(super) struct Part {
    bytes: Vec<u8>,
    /// Checksum of the part before compression.
    crc: Crc,
    raw_bytes: u64,
}

/// Compresses one part.
pub(super) struct PartWriter {
    encoder: Encoder,
    crc: Crc,
    raw_bytes: u64,
}

enum Encoder {
    Plain(Vec<u8>),
    Deflate(DeflateEncoder<Vec<u8>>),
}

/// Writes parts to `out` one after another.
pub(super) struct TarWriter<W> {
    out: W,
    compression: Option<Compression>,
    crc: Crc,
    raw_bytes: u64,
}

/// The header and the contents of the member `path`. `write` writes the contents, for which
/// `capacity` bytes are reserved.
pub(super) fn member<T>(
    path: &str,
    compression: Option<Compression>,
    capacity: usize,
    write: impl FnOnce(&mut PartWriter) -> io::Result<T>,
) -> io::Result<([Part; 2], T)> {
    let mut body = PartWriter::new(compression, capacity);
    let value = write(&mut body)?;
    let size = body.raw_bytes;
    let padding = size.next_multiple_of(BLOCK) - size;
    body.write_all(&[0; BLOCK as usize][..padding as usize])?;

    let mut header = Header::new_ustar();
    header.set_path(path)?;
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    header.set_mode(MODE);
    header.set_mtime(MTIME);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    let mut head = PartWriter::new(compression, BLOCK as usize);
    head.write_all(header.as_bytes())?;
    Ok(([head.finish()?, body.finish()?], value))
}

impl PartWriter {
    fn new(compression: Option<Compression>, capacity: usize) -> Self {
        let bytes = Vec::with_capacity(capacity);
        Self {
            encoder: match compression {
                Some(level) => Encoder::Deflate(DeflateEncoder::new(bytes, level)),
                None => Encoder::Plain(bytes),
            },
            crc: Crc::new(),
            raw_bytes: 0,
        }
    }

    fn finish(self) -> io::Result<Part> {
        let bytes = match self.encoder {
            Encoder::Plain(bytes) => bytes,
            Encoder::Deflate(mut encoder) => {
                encoder.flush()?;
                // Taken before the encoder appends its final block.
                std::mem::take(encoder.get_mut())
            }
        };
        Ok(Part {
            bytes,
            crc: self.crc,
            raw_bytes: self.raw_bytes,
        })
    }
}

impl Write for PartWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.encoder {
            Encoder::Plain(out) => out.write(bytes),
            Encoder::Deflate(encoder) => encoder.write(bytes),
        }?;
        self.crc.update(&bytes[..written]);
        self.raw_bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> TarWriter<W> {
    /// Starts an archive in `out`, a gzip file unless `compression` is `None`.
    pub(super) fn new(mut out: W, compression: Option<Compression>) -> io::Result<Self> {
        if compression.is_some() {
            out.write_all(&GZIP_HEADER)?;
        }
        Ok(Self {
            out,
            compression,
            crc: Crc::new(),
            raw_bytes: 0,
        })
    }

    /// Appends the parts of a member.
    pub(super) fn append(&mut self, parts: &[Part]) -> io::Result<()> {
        for part in parts {
            self.out.write_all(&part.bytes)?;
            self.crc.combine(&part.crc);
            self.raw_bytes += part.raw_bytes;
        }
        Ok(())
    }

    /// Appends a member with the given contents.
    pub(super) fn append_text(&mut self, path: &str, text: &str) -> io::Result<()> {
        let write = |out: &mut PartWriter| out.write_all(text.as_bytes());
        let (parts, ()) = member(path, self.compression, text.len(), write)?;
        self.append(&parts)
    }

    /// Ends the archive and returns `out` and the number of bytes before compression.
    pub(super) fn finish(mut self) -> io::Result<(W, u64)> {
        let mut end = PartWriter::new(self.compression, 0);
        end.write_all(&[0; 2 * BLOCK as usize])?;
        self.append(&[end.finish()?])?;
        if self.compression.is_some() {
            self.out.write_all(&LAST_BLOCK)?;
            self.out.write_all(&self.crc.sum().to_le_bytes())?;
            // The format stores the length modulo 2^32.
            self.out.write_all(&(self.raw_bytes as u32).to_le_bytes())?;
        }
        Ok((self.out, self.raw_bytes))
    }
}
