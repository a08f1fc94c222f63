//! EVT 2.0: one 32-bit word for every event.
//!
//! Source: <https://docs.prophesee.ai/stable/data/encoding_formats/evt2.html>. Bits 28 to 31 are the
//! type. A word of time has 28 bits of the time, without its lower 6 bits, which the events have.

use super::PropheseeError;
use super::reading::{Reading, Unplaced};
use crate::formats::clock::Clock;

pub(super) const WORD: usize = 4;
/// Types of words, in all versions of EVT 2.
pub(super) const OFF: u8 = 0x0;
pub(super) const ON: u8 = 0x1;
pub(super) const TIME_HIGH: u8 = 0x8;
pub(super) const TRIGGER: u8 = 0xa;
pub(super) const OTHERS: u8 = 0xe;
pub(super) const CONTINUED: u8 = 0xf;
/// Bits of a time that stand in the events.
const TIME_LOW_BITS: u32 = 6;
/// Bits of a time, which wraps around after 4.8 hours.
const TIME_BITS: u32 = 34;

/// The time of EVT 2, which comes in two parts.
pub(super) struct Time {
    clock: Clock,
    /// The upper part, continued over wraps.
    high: Option<i64>,
}

impl Time {
    pub(super) fn new() -> Self {
        let clock = Clock::new(TIME_BITS, 1 << (TIME_BITS - 6));
        Self { clock, high: None }
    }

    /// Takes the upper part from a word's lower 28 bits.
    #[inline]
    pub(super) fn set_high(&mut self, word: u32) {
        let high = i64::from(word & 0x0fff_ffff) << TIME_LOW_BITS;
        self.high = Some(self.clock.time(high));
    }

    /// The time of an event, from bits 22 to 27 of its word.
    #[inline]
    pub(super) fn of(&self, word: u32) -> Option<i64> {
        Some(self.high? | i64::from(word >> 22 & 0x3f))
    }
}

/// Type of a word, or of the upper half of one in EVT 2.1.
#[inline]
pub(super) fn kind(word: u32) -> u8 {
    (word >> 28) as u8
}

/// Column and row of an event, from bits 11 to 21 and 0 to 10 of its word.
#[inline]
pub(super) fn place(word: u32) -> (i64, i64) {
    (i64::from(word >> 11 & 0x7ff), i64::from(word & 0x7ff))
}

/// The number of events.
pub(super) fn count(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<WORD>();
    let is_event = |word: &&[u8; WORD]| kind(u32::from_le_bytes(**word)) <= ON;
    words.iter().filter(is_event).count()
}

/// Reads the words of a recording, the first of which is at byte `start`.
pub(super) fn decode(
    bytes: &[u8],
    start: usize,
    reading: &mut Reading,
) -> Result<(), PropheseeError> {
    let mut time = Time::new();
    let (words, _) = bytes.as_chunks::<WORD>();
    for (i, word) in words.iter().enumerate() {
        let (offset, word) = (start + i * WORD, u32::from_le_bytes(*word));
        match kind(word) {
            kind @ (OFF | ON) => match time.of(word) {
                Some(t) => reading.event(offset, t, place(word), kind == ON)?,
                None => reading.unplaced(offset, 1, Unplaced::Time),
            },
            TIME_HIGH => time.set_high(word),
            TRIGGER | OTHERS | CONTINUED => reading.other(),
            kind => reading.unplaced(offset, 1, Unplaced::Type(kind)),
        }
    }
    Ok(())
}
