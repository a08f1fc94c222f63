//! Writes the header as NumPy does.

use std::io::{self, Write};

use super::MAGIC;

/// The header's length is a multiple of this, so that elements are aligned.
pub(super) const ALIGNMENT: usize = 64;

/// Writes the header of an array of type `descr`, such as `<u2`, in C's order.
///
/// # Errors
/// Returns an error if writing to `out` fails.
pub fn write_header(out: &mut dyn Write, descr: &str, shape: &[usize]) -> io::Result<()> {
    let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
    // NumPy writes a trailing comma only if the tuple has one element.
    let shape = match shape.matches(',').count() {
        1 => shape.trim_end(),
        _ => shape.trim_end_matches(", "),
    };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    let before = MAGIC.len() + 4;
    let length = (before + text.len() + 1).next_multiple_of(ALIGNMENT) - before;
    text.extend(std::iter::repeat_n(' ', length - 1 - text.len()));
    text.push('\n');
    out.write_all(MAGIC)?;
    out.write_all(&[1, 0])?;
    out.write_all(&(length as u16).to_le_bytes())?;
    out.write_all(text.as_bytes())
}
