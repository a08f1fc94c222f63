//! EVT 3.0: 16-bit words, each of which gives what has changed since the word before it.
//!
//! Source: <https://docs.prophesee.ai/stable/data/encoding_formats/evt3.html>. Bits 12 to 15 are the
//! type. The time has 24 bits, 12 in each of two words, and wraps around after 16.8 s. The row
//! holds until the next word of a row. An event has a word of its own, or a bit in a vector of 12 or
//! 8 pixels. A vector begins at the base column, and moves it behind its last pixel.

use super::PropheseeError;
use super::reading::{Reading, Unplaced};
use crate::formats::clock::Clock;

pub(super) const WORD: usize = 2;
/// Types of words.
const ROW: u8 = 0x0;
const EVENT: u8 = 0x2;
const VECTOR_BASE: u8 = 0x3;
const VECTOR_12: u8 = 0x4;
const VECTOR_8: u8 = 0x5;
const TIME_LOW: u8 = 0x6;
const CONTINUED_4: u8 = 0x7;
const TIME_HIGH: u8 = 0x8;
const TRIGGER: u8 = 0xa;
const OTHERS: u8 = 0xe;
const CONTINUED_12: u8 = 0xf;
/// Lower 11 bits: a row or a column.
const PLACE: u16 = 0x7ff;
/// Lower 12 bits: part of the time, or the pixels of a vector.
const PART: u16 = 0xfff;
/// Bit 11: the polarity beside a column, the camera beside a row.
const FLAG: u16 = 0x800;
/// Bits of each part of the time.
const PART_BITS: u32 = 12;
const TIME_BITS: u32 = 2 * PART_BITS;

/// The type of a word.
#[inline]
fn kind(word: u16) -> u8 {
    (word >> 12) as u8
}

/// Pixels of a vector, as bits, and their number; `None` for any other word.
#[inline]
fn vector(word: u16) -> Option<(u32, u32)> {
    match kind(word) {
        VECTOR_12 => Some((u32::from(word & PART), 12)),
        VECTOR_8 => Some((u32::from(word & 0xff), 8)),
        _ => None,
    }
}

/// The number of events.
pub(super) fn count(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<WORD>();
    let events = words.iter().map(|&word| {
        let word = u16::from_le_bytes(word);
        match vector(word) {
            Some((mask, _)) => mask.count_ones() as usize,
            None => usize::from(kind(word) == EVENT),
        }
    });
    events.sum()
}

/// What the words so far have set.
struct State {
    clock: Clock,
    /// The upper part of the time, continued over wraps.
    high: Option<i64>,
    low: Option<i64>,
    /// The time, if both parts are set.
    t: Result<i64, Unplaced>,
    row: Result<i64, Unplaced>,
    /// Column and polarity of the next vector.
    base: Result<(i64, bool), Unplaced>,
    /// Whether rows are of the second of two cameras.
    second_camera: Option<bool>,
}

impl State {
    fn new() -> Self {
        Self {
            clock: Clock::new(TIME_BITS, 1 << (TIME_BITS - 6)),
            high: None,
            low: None,
            t: Err(Unplaced::Time),
            row: Err(Unplaced::Row),
            base: Err(Unplaced::Column),
            second_camera: None,
        }
    }

    #[inline]
    fn set_time(&mut self) {
        let parts = self.high.zip(self.low);
        self.t = parts.map(|(high, low)| high | low).ok_or(Unplaced::Time);
    }

    #[inline]
    fn time_and_row(&self) -> Result<(i64, i64), Unplaced> {
        Ok((self.t?, self.row?))
    }
}

/// Joins a vector with those that follow it, up to 32 pixels: cameras send 12, 12 and 8 at a time.
/// Returns the pixels, their number, and the words that are left.
#[inline]
fn joined_vectors(first: u16, mut rest: &[[u8; WORD]]) -> (u32, u32, &[[u8; WORD]]) {
    let (mut mask, mut pixels) = vector(first).unwrap_or_default();
    while let [word, others @ ..] = rest
        && let Some((more, number)) = vector(u16::from_le_bytes(*word))
        && pixels + number <= u32::BITS
    {
        mask |= more << pixels;
        pixels += number;
        rest = others;
    }
    (mask, pixels, rest)
}

/// Reads the words of a recording, the first of which is at byte `start`.
pub(super) fn decode(
    bytes: &[u8],
    start: usize,
    reading: &mut Reading,
) -> Result<(), PropheseeError> {
    let mut state = State::new();
    let (words, _) = bytes.as_chunks::<WORD>();
    let mut rest = words;
    while let [word, others @ ..] = rest {
        let offset = start + (words.len() - rest.len()) * WORD;
        let word = u16::from_le_bytes(*word);
        rest = others;
        let flag = word & FLAG != 0;
        match kind(word) {
            EVENT => match state.time_and_row() {
                Ok((t, row)) => {
                    reading.event(offset, t, (i64::from(word & PLACE), row), flag)?;
                }
                Err(reason) => reading.unplaced(offset, 1, reason),
            },
            VECTOR_12 | VECTOR_8 => {
                let (mask, pixels);
                (mask, pixels, rest) = joined_vectors(word, rest);
                let place = state.time_and_row();
                match place.and_then(|(t, row)| Ok((t, row, state.base?))) {
                    Ok((t, row, (x, on))) => reading.vector(offset, t, (x, row), on, mask)?,
                    Err(reason) => reading.unplaced(offset, mask.count_ones(), reason),
                }
                let next = |(x, on)| (x + i64::from(pixels), on);
                state.base = state.base.map(next);
            }
            TIME_LOW => {
                state.low = Some(i64::from(word & PART));
                state.set_time();
            }
            TIME_HIGH => {
                let high = i64::from(word & PART) << PART_BITS;
                state.high = Some(state.clock.time(high));
                state.set_time();
            }
            ROW => {
                state.row = Ok(i64::from(word & PLACE));
                if *state.second_camera.get_or_insert(flag) != flag {
                    return Err(PropheseeError::TwoCameras {
                        offset,
                        second: flag,
                    });
                }
            }
            VECTOR_BASE => state.base = Ok((i64::from(word & PLACE), flag)),
            TRIGGER | OTHERS | CONTINUED_4 | CONTINUED_12 => reading.other(),
            kind => {
                reading.unplaced(offset, 1, Unplaced::Type(kind));
                // What the word changes is not known, so the row is not known either.
                state.row = Err(Unplaced::Row);
            }
        }
    }
    Ok(())
}
