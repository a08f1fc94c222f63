//! A gzip file (RFC 1952): one or more deflate streams, each with its checksum, followed by the
//! zeros that tapes and some downloads add.

use std::io::{self, BufRead, Read};

use crc32fast::Hasher;
use flate2::bufread::DeflateDecoder;
use thiserror::Error;

const MAGIC: [u8; 2] = [0x1f, 0x8b];
const DEFLATE: u8 = 8;
const HAS_HEADER_CRC: u8 = 2;
const HAS_EXTRA: u8 = 4;
const HAS_NAME: u8 = 8;
const HAS_COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

/// How a file violates the format.
#[derive(Debug, Error)]
pub(super) enum GzipError {
    /// The inflated data differ from the original. The damaged part is unknown.
    #[error(
        "the gzip checksum does not hold: {length} bytes with CRC-32 {crc32:08x}, where {said_length} (modulo 2^32) \
         with CRC-32 {said_crc32:08x} were compressed"
    )]
    Checksum {
        length: u64,
        crc32: u32,
        said_length: u32,
        said_crc32: u32,
    },
    /// The header of a stream has an unknown method or flag.
    #[error("corrupt gzip header: method {method}, flags {flags:#04x}")]
    Header { method: u8, flags: u8 },
    /// The last stream is followed by neither another stream nor zeros.
    #[error(
        "the byte {0:#04x} behind the end of the gzip stream is neither padding nor another stream"
    )]
    Trailing(u8),
}

impl From<GzipError> for io::Error {
    fn from(error: GzipError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// Inflates a gzip file.
pub(super) struct Gunzip<R: BufRead> {
    deflate: DeflateDecoder<R>,
    state: State,
    crc32: Hasher,
    length: u64,
}

enum State {
    /// Before a stream's header.
    Header,
    /// In its deflated data.
    Data,
    /// Behind the last stream.
    End,
}

impl<R: BufRead> Gunzip<R> {
    pub(super) fn new(file: R) -> Self {
        Self {
            deflate: DeflateDecoder::new(file),
            state: State::Header,
            crc32: Hasher::new(),
            length: 0,
        }
    }

    fn header(&mut self) -> io::Result<()> {
        let file = self.deflate.get_mut();
        let mut fixed = [0; 10];
        file.read_exact(&mut fixed)?;
        let [first, second, method, flags, ..] = fixed;
        if [first, second] != MAGIC || method != DEFLATE || flags & RESERVED != 0 {
            return Err(GzipError::Header { method, flags }.into());
        }
        if flags & HAS_EXTRA != 0 {
            let mut length = [0; 2];
            file.read_exact(&mut length)?;
            skip(file, u16::from_le_bytes(length).into())?;
        }
        for text in [HAS_NAME, HAS_COMMENT] {
            if flags & text != 0 {
                skip_text(file)?;
            }
        }
        if flags & HAS_HEADER_CRC != 0 {
            skip(file, 2)?;
        }
        self.deflate.reset_data();
        self.crc32 = Hasher::new();
        self.length = 0;
        Ok(())
    }

    /// Compares the inflated data with the stream's trailer.
    fn trailer(&mut self) -> io::Result<()> {
        let mut trailer = [0; 8];
        self.deflate.get_mut().read_exact(&mut trailer)?;
        let [a, b, c, d, e, f, g, h] = trailer;
        let said_crc32 = u32::from_le_bytes([a, b, c, d]);
        let said_length = u32::from_le_bytes([e, f, g, h]);
        let (crc32, length) = (self.crc32.clone().finalize(), self.length);
        if crc32 != said_crc32 || length as u32 != said_length {
            return Err(GzipError::Checksum {
                length,
                crc32,
                said_length,
                said_crc32,
            }
            .into());
        }
        Ok(())
    }

    /// Finds the next stream or, after only zeros, the end.
    fn next(&mut self) -> io::Result<State> {
        let file = self.deflate.get_mut();
        loop {
            let ahead = file.fill_buf()?;
            match ahead.iter().find(|&&b| b != 0) {
                _ if ahead.is_empty() => return Ok(State::End),
                None => {
                    let zeros = ahead.len();
                    file.consume(zeros);
                }
                Some(_) if ahead[0] == MAGIC[0] => return Ok(State::Header),
                Some(&byte) => return Err(GzipError::Trailing(byte).into()),
            }
        }
    }

    fn inflate(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.state {
                State::Header => {
                    self.header()?;
                    self.state = State::Data;
                }
                State::Data => {
                    let n = self.deflate.read(buffer)?;
                    if n > 0 {
                        self.crc32.update(&buffer[..n]);
                        self.length += n as u64;
                        return Ok(n);
                    }
                    self.trailer()?;
                    self.state = self.next()?;
                }
                State::End => return Ok(0),
            }
        }
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.inflate(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                io::Error::new(io::ErrorKind::UnexpectedEof, "unexpected end of file")
            }
            _ => error,
        })
    }
}

fn skip(file: &mut impl BufRead, bytes: u64) -> io::Result<()> {
    match io::copy(&mut file.take(bytes), &mut io::sink())? {
        skipped if skipped == bytes => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Skips a text of any length and its terminating zero.
fn skip_text(file: &mut impl BufRead) -> io::Result<()> {
    loop {
        let ahead = file.fill_buf()?;
        if ahead.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (end, length) = match ahead.iter().position(|&b| b == 0) {
            Some(zero) => (true, zero + 1),
            None => (false, ahead.len()),
        };
        file.consume(length);
        if end {
            return Ok(());
        }
    }
}
