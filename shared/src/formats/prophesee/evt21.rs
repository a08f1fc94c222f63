//! EVT 2.1: one 64-bit word for the events of 32 adjacent pixels with the same time and polarity.
//!
//! Source: <https://docs.prophesee.ai/stable/data/encoding_formats/evt21.html>. The upper half of a
//! word is that of EVT 2.0, with the column of the first pixel. Each bit of the lower half stands
//! for a pixel.
//!
//! Cameras send the halves in different orders. If the header does not say which, the words decide:
//! an order is ruled out if it does not explain them.

use super::PropheseeError;
use super::evt2::{CONTINUED, OFF, ON, OTHERS, TIME_HIGH, TRIGGER, Time, kind, place};
use super::header::WordOrder;
use super::reading::{Reading, Unplaced};
use crate::aedat::too_many_unexplained;

pub(super) const WORD: usize = 8;

/// The upper and the lower half of a word.
#[inline]
fn halves(&[a, b, c, d, e, f, g, h]: &[u8; WORD], order: WordOrder) -> (u32, u32) {
    let (first, second) = (
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, g, h]),
    );
    match order {
        WordOrder::Little => (second, first),
        WordOrder::Legacy => (first, second),
    }
}

/// The only order of halves that explains the words.
///
/// # Errors
/// Returns an error if both orders explain the words, or neither does.
pub(super) fn order(bytes: &[u8]) -> Result<WordOrder, PropheseeError> {
    let (words, _) = bytes.as_chunks::<WORD>();
    let explains = |order: &WordOrder| {
        let mut timed = false;
        let mut strange = 0;
        for word in words {
            let (upper, lower) = halves(word, *order);
            let explained = match kind(upper) {
                OFF | ON => timed,
                // The lower half of a time is not used.
                TIME_HIGH => {
                    timed |= lower == 0;
                    lower == 0
                }
                kind => matches!(kind, TRIGGER | OTHERS | CONTINUED),
            };
            strange += u64::from(!explained);
        }
        !too_many_unexplained(strange, words.len() as u64)
    };
    let both = [WordOrder::Little, WordOrder::Legacy];
    let explaining: Vec<WordOrder> = both.into_iter().filter(explains).collect();
    match explaining.as_slice() {
        [order] => Ok(*order),
        // Without words, there is nothing to read in either order.
        [order, ..] if words.is_empty() => Ok(*order),
        _ => Err(PropheseeError::WordOrder),
    }
}

/// The number of events.
pub(super) fn count(bytes: &[u8], order: WordOrder) -> usize {
    let (words, _) = bytes.as_chunks::<WORD>();
    let words = words.iter().map(|word| halves(word, order));
    let events = words.filter(|&(upper, _)| kind(upper) <= ON);
    events.map(|(_, lower)| lower.count_ones() as usize).sum()
}

/// Reads the words of a recording, the first of which is at byte `start`.
pub(super) fn decode(
    bytes: &[u8],
    order: WordOrder,
    start: usize,
    reading: &mut Reading,
) -> Result<(), PropheseeError> {
    let mut time = Time::new();
    let (words, _) = bytes.as_chunks::<WORD>();
    for (i, word) in words.iter().enumerate() {
        let (offset, (upper, lower)) = (start + i * WORD, halves(word, order));
        match kind(upper) {
            kind @ (OFF | ON) => match time.of(upper) {
                Some(t) => reading.vector(offset, t, place(upper), kind == ON, lower)?,
                None => reading.unplaced(offset, lower.count_ones(), Unplaced::Time),
            },
            TIME_HIGH => time.set_high(upper),
            TRIGGER | OTHERS | CONTINUED => reading.other(),
            kind => reading.unplaced(offset, 1, Unplaced::Type(kind)),
        }
    }
    Ok(())
}
