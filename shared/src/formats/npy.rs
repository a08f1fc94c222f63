//! NumPy's array files, `.npy`: a header with the type and shape, then the elements.
//!
//! Format: NumPy Enhancement Proposal 1,
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.
//! The header is a dictionary in Python's notation. Only the three keys that NumPy writes are
//! accepted. The shape in the header allocates no memory: elements are passed on in pieces as they
//! are read.

mod header;
mod writing;

use std::io::{self, Read};

use thiserror::Error;

pub(super) use self::header::Header;
use self::header::{ElementType, MAX_HEADER};
pub use self::writing::write_header;

const MAGIC: &[u8] = b"\x93NUMPY";
/// Elements that are passed on at once.
const PIECE: usize = 4096;

/// What is wrong with an array.
#[derive(Debug, Error)]
pub enum NpyError {
    /// Reading failed.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// The file is not a `.npy`.
    #[error("it does not begin as a NumPy array does, with \\x93NUMPY")]
    NotNpy,
    /// The version is unknown.
    #[error("it has version {0} of NumPy's format; versions 1 to 3 are known")]
    Version(u8),
    /// The header is longer than the limit.
    #[error("its header claims {0} bytes, beyond the limit of {MAX_HEADER}")]
    HeaderLength(usize),
    /// The header is not one that NumPy writes.
    #[error("its header is not one that NumPy writes: {0:?}")]
    Header(String),
    /// The type of the elements is not supported.
    #[error(
        "its elements are of type {0:?}, not bool, or integers or floating-point numbers of at most 8 bytes"
    )]
    Type(String),
    /// The shape is not the expected one.
    #[error("its shape {found:?} is not {expected}")]
    Shape {
        /// The shape in the file.
        found: Vec<u64>,
        expected: String,
    },
    /// Bytes follow the last element.
    #[error("it goes on after its last element")]
    TooLong,
    /// An element is not the expected number.
    #[error("element {index} is {value}, not {expected}")]
    Element {
        /// Position of the element, from 0.
        index: u64,
        value: String,
        expected: &'static str,
    },
}

/// Consecutive elements.
pub(super) enum Piece<'a> {
    Ints(&'a [i64]),
    Floats(&'a [f64]),
}

impl Header {
    /// Passes all elements that `file` has after the header to `take`, with the position of the
    /// first of each piece.
    pub(super) fn elements_of<E: From<NpyError>>(
        &self,
        file: &mut dyn Read,
        mut take: impl FnMut(u64, Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let all = self.elements();
        let mut bytes = vec![0; PIECE * self.width];
        let (mut ints, mut floats) = (Vec::with_capacity(PIECE), Vec::with_capacity(PIECE));
        let mut done = 0;
        while done < all {
            let part = (all - done).min(PIECE as u64) as usize;
            let bytes = &mut bytes[..part * self.width];
            file.read_exact(bytes)
                .map_err(|e| truncation_error(e, done, all))?;
            if self.kind == ElementType::Float {
                floats.clear();
                floats.extend(bytes.chunks_exact(self.width).map(|b| self.float(b)));
                take(done, Piece::Floats(&floats))?;
            } else {
                ints.clear();
                for (i, element) in bytes.chunks_exact(self.width).enumerate() {
                    let int = self.int(element).ok_or_else(|| NpyError::Element {
                        index: done + i as u64,
                        value: format!("{element:02x?}"),
                        expected: "a whole number below 2^63",
                    })?;
                    ints.push(int);
                }
                take(done, Piece::Ints(&ints))?;
            }
            done += part as u64;
        }
        let mut more = [0];
        match file.read(&mut more).map_err(NpyError::from)? {
            0 => Ok(()),
            _ => Err(NpyError::TooLong.into()),
        }
    }

    fn word(&self, element: &[u8]) -> u64 {
        let mut word = [0; 8];
        if self.little {
            word[..self.width].copy_from_slice(element);
            u64::from_le_bytes(word)
        } else {
            word[8 - self.width..].copy_from_slice(element);
            u64::from_be_bytes(word)
        }
    }

    fn int(&self, element: &[u8]) -> Option<i64> {
        let word = self.word(element);
        match self.kind {
            ElementType::Int => {
                let above = 64 - 8 * self.width as u32;
                Some((word << above) as i64 >> above)
            }
            _ => i64::try_from(word).ok(),
        }
    }

    fn float(&self, element: &[u8]) -> f64 {
        match self.width {
            4 => f64::from(f32::from_bits(self.word(element) as u32)),
            _ => f64::from_bits(self.word(element)),
        }
    }
}

fn truncation_error(error: io::Error, done: u64, all: u64) -> NpyError {
    if error.kind() != io::ErrorKind::UnexpectedEof {
        return error.into();
    }
    let message = format!("it ends after {done} or a few more of its {all} elements");
    io::Error::new(io::ErrorKind::UnexpectedEof, message).into()
}

impl Piece<'_> {
    /// Calls `take` with every element and its position; the first element has the position
    /// `first`.
    ///
    /// # Errors
    /// Returns an error if `take` does, or if an element is not a whole number.
    pub(super) fn for_each_whole<E: From<NpyError>>(
        &self,
        first: u64,
        mut take: impl FnMut(u64, i64) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Ints(ints) => (first..)
                .zip(ints.iter())
                .try_for_each(|(index, &int)| take(index, int)),
            Self::Floats(floats) => (first..)
                .zip(floats.iter())
                .try_for_each(|(index, &float)| {
                    let whole = float as i64;
                    // Beyond 2^53, all floats are whole but no longer exact.
                    if whole as f64 == float && float.abs() <= 9e15 {
                        take(index, whole)
                    } else {
                        Err(NpyError::Element {
                            index,
                            value: float.to_string(),
                            expected: "a whole number",
                        }
                        .into())
                    }
                }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::writing::ALIGNMENT;
    use super::*;

    fn ints(bytes: &[u8]) -> Result<(Header, Vec<i64>), NpyError> {
        let mut file = bytes;
        let header = Header::read(&mut file)?;
        let mut all = Vec::new();
        header.elements_of(&mut file, |first, piece| {
            piece.for_each_whole(first, |index, int| {
                assert_eq!(index as usize, all.len());
                all.push(int);
                Ok::<_, NpyError>(())
            })
        })?;
        Ok((header, all))
    }

    fn array(descr: &str, shape: &[usize], elements: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_header(&mut bytes, descr, shape).unwrap();
        assert_eq!(bytes.len() % ALIGNMENT, 0);
        bytes.extend(elements);
        bytes
    }

    #[test]
    fn reads_numbers_of_every_type() {
        for (descr, bytes) in [
            ("<i8", [(-2i64).to_le_bytes(), 5i64.to_le_bytes()].concat()),
            (">i4", [(-2i32).to_be_bytes(), 5i32.to_be_bytes()].concat()),
            ("<i2", [(-2i16).to_le_bytes(), 5i16.to_le_bytes()].concat()),
            ("|i1", vec![0xfe, 5]),
            ("<f4", [(-2f32).to_le_bytes(), 5f32.to_le_bytes()].concat()),
            (">f8", [(-2f64).to_be_bytes(), 5f64.to_be_bytes()].concat()),
        ] {
            let (header, all) = ints(&array(descr, &[2], &bytes)).unwrap();
            assert_eq!((header.shape, all), (vec![2], vec![-2, 5]), "{descr}");
        }
        assert_eq!(ints(&array("|b1", &[2, 1], &[0, 1])).unwrap().1, [0, 1]);
        assert_eq!(
            ints(&array("<u8", &[], &7u64.to_le_bytes())).unwrap().1,
            [7]
        );
    }

    #[test]
    fn refuses_unsupported_and_malformed_arrays() {
        let error = |bytes: &[u8]| ints(bytes).unwrap_err().to_string();
        assert!(error(b"PK").contains("NUMPY"));
        assert!(error(&array("<f2", &[1], &[0; 2])).contains("<f2"));
        assert!(error(&array("<c8", &[1], &[0; 8])).contains("<c8"));
        assert!(error(&array("|O", &[1], &[0; 8])).contains("|O"));
        assert!(error(&array("<i8", &[1 << 50], &[])).contains("2^48"));
        assert!(error(&array("<i8", &[usize::MAX, usize::MAX], &[])).contains("2^48"));
        assert!(error(&array("<i8", &[1 << 40], &[0; 8])).contains("ends after 0"));
        assert!(error(&array("<u8", &[1], &[0xff; 8])).contains("2^63"));
        assert!(error(&array("<f8", &[1], &0.5f64.to_le_bytes())).contains("0.5"));
        assert!(error(&array("<f8", &[1], &f64::NAN.to_le_bytes())).contains("NaN"));
        assert!(error(&array("|u1", &[1], &[0; 2])).contains("goes on"));
        let mut long = b"\x93NUMPY\x02\0".to_vec();
        long.extend(u32::MAX.to_le_bytes());
        assert!(error(&long).contains("4294967295"));
        for text in [
            "{",
            "{}",
            "{'descr': '<i8'}",
            "{'a': 1}",
            "[[[[",
            "{'shape': (a), }",
        ] {
            let mut bytes = b"\x93NUMPY\x01\0".to_vec();
            bytes.extend((text.len() as u16).to_le_bytes());
            bytes.extend(text.as_bytes());
            assert!(error(&bytes).contains("header"), "{text}");
        }
    }
}
