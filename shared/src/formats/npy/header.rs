//! The header: a dictionary in Python's notation. NumPy writes three keys.

use std::io::Read;

use super::{MAGIC, NpyError};

/// Most bytes of a header. NumPy's own have 118.
pub(super) const MAX_HEADER: usize = 4096;
/// Most dimensions of an array.
const MAX_DIMENSIONS: usize = 8;

/// The type of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElementType {
    Bool,
    Int,
    Uint,
    Float,
}

/// An array's header.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::formats) struct Header {
    pub(super) kind: ElementType,
    pub(super) width: usize,
    pub(super) little: bool,
    /// Whether the first index varies fastest.
    pub fortran: bool,
    pub shape: Vec<u64>,
}

impl Header {
    /// Reads the header that `file` begins with.
    pub(in crate::formats) fn read(file: &mut dyn Read) -> Result<Self, NpyError> {
        let mut start = [0; 8];
        file.read_exact(&mut start).map_err(|_| NpyError::NotNpy)?;
        if !start.starts_with(MAGIC) {
            return Err(NpyError::NotNpy);
        }
        let length = match start[6] {
            1 => {
                let mut length = [0; 2];
                file.read_exact(&mut length)?;
                usize::from(u16::from_le_bytes(length))
            }
            2 | 3 => {
                let mut length = [0; 4];
                file.read_exact(&mut length)?;
                u32::from_le_bytes(length) as usize
            }
            version => return Err(NpyError::Version(version)),
        };
        if length > MAX_HEADER {
            return Err(NpyError::HeaderLength(length));
        }
        let mut text = vec![0; length];
        file.read_exact(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        Self::parse(&text).ok_or_else(|| NpyError::Header(text.trim_end().to_owned()))?
    }

    /// Returns `None` if the text is not such a dictionary.
    fn parse(text: &str) -> Option<Result<Self, NpyError>> {
        let mut rest = text.trim().strip_prefix('{')?;
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        loop {
            rest = rest.trim_start();
            if let Some(end) = rest.strip_prefix('}') {
                if !end.trim().is_empty() {
                    return None;
                }
                break;
            }
            let (key, after) = quoted(rest)?;
            rest = after.trim_start().strip_prefix(':')?.trim_start();
            match key {
                "descr" => {
                    // A structured type has a list of fields here.
                    let Some((value, after)) = quoted(rest) else {
                        return Some(Err(NpyError::Type(rest.chars().take(60).collect())));
                    };
                    (descr, rest) = (Some(value), after);
                }
                "fortran_order" => {
                    let value = rest.starts_with("True");
                    rest = rest.strip_prefix(if value { "True" } else { "False" })?;
                    fortran = Some(value);
                }
                "shape" => {
                    let (value, after) = rest.strip_prefix('(')?.split_once(')')?;
                    let numbers = value.split(',').map(str::trim).filter(|n| !n.is_empty());
                    let numbers: Option<Vec<u64>> = numbers.map(|n| n.parse().ok()).collect();
                    (shape, rest) = (Some(numbers?), after);
                }
                _ => return None,
            }
            rest = rest.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        let (descr, fortran, shape) = (descr?, fortran?, shape?);
        let elements = shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
        if shape.len() > MAX_DIMENSIONS || elements.is_none_or(|n| n > 1 << 48) {
            let expected = format!("one of at most {MAX_DIMENSIONS} dimensions and 2^48 elements");
            let found = shape.into_iter().take(2 * MAX_DIMENSIONS).collect();
            return Some(Err(NpyError::Shape { found, expected }));
        }
        let unknown = || Some(Err(NpyError::Type(descr.to_owned())));
        let mut letters = descr.chars();
        let (Some(order), Some(kind)) = (letters.next(), letters.next()) else {
            return unknown();
        };
        let kind = match kind {
            'b' => ElementType::Bool,
            'i' => ElementType::Int,
            'u' => ElementType::Uint,
            'f' => ElementType::Float,
            _ => return unknown(),
        };
        let width = match (kind, letters.as_str()) {
            (_, "1") if kind != ElementType::Float => 1,
            (ElementType::Int | ElementType::Uint, "2") => 2,
            (ElementType::Int | ElementType::Uint | ElementType::Float, "4") => 4,
            (ElementType::Int | ElementType::Uint | ElementType::Float, "8") => 8,
            _ => return unknown(),
        };
        if !matches!((order, width), ('<' | '>', _) | ('|', 1)) {
            return unknown();
        }
        Some(Ok(Self {
            kind,
            width,
            little: order != '>',
            fortran,
            shape,
        }))
    }

    /// Number of elements.
    pub(in crate::formats) fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    /// Bits of the mantissa, which limit the precision of times; `None` if the elements are not
    /// floating-point numbers.
    pub(in crate::formats) fn mantissa(&self) -> Option<u32> {
        match (self.kind, self.width) {
            (ElementType::Float, 4) => Some(24),
            (ElementType::Float, _) => Some(53),
            _ => None,
        }
    }
}

/// The text in quotes at the start of `rest`, and the text after it.
fn quoted(rest: &str) -> Option<(&str, &str)> {
    let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    rest[1..].split_once(quote)
}
