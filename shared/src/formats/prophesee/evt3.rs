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

/// Pixels of a vector, as bits.
#[inline]
fn mask(kind: u8, word: u16) -> u32 {
    let bits = if kind == VECTOR_12 { PART } else { 0xff };
    u32::from(word & bits)
}

/// The number of events.
pub(super) fn count(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<WORD>();
    let events = words.iter().map(|&word| {
        let word = u16::from_le_bytes(word);
        match kind(word) {
            EVENT => 1,
            kind @ (VECTOR_12 | VECTOR_8) => mask(kind, word).count_ones() as usize,
            _ => 0,
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

/// Reads the words of a recording, the first of which is at byte `start`.
pub(super) fn decode(
    bytes: &[u8],
    start: usize,
    reading: &mut Reading,
) -> Result<(), PropheseeError> {
    let mut state = State::new();
    let (words, _) = bytes.as_chunks::<WORD>();
    for (i, word) in words.iter().enumerate() {
        let (offset, word) = (start + i * WORD, u16::from_le_bytes(*word));
        let flag = word & FLAG != 0;
        match kind(word) {
            EVENT => match state.time_and_row() {
                Ok((t, row)) => {
                    reading.event(offset, t, (i64::from(word & PLACE), row), flag)?;
                }
                Err(reason) => reading.unplaced(offset, 1, reason),
            },
            kind @ (VECTOR_12 | VECTOR_8) => {
                let mask = mask(kind, word);
                let place = state.time_and_row();
                match place.and_then(|(t, row)| Ok((t, row, state.base?))) {
                    Ok((t, row, (x, on))) => reading.vector(offset, t, (x, row), on, mask)?,
                    Err(reason) => reading.unplaced(offset, mask.count_ones(), reason),
                }
                let pixels = if kind == VECTOR_12 { 12 } else { 8 };
                state.base = state.base.map(|(x, on)| (x + pixels, on));
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
