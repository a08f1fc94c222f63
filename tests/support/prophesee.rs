//! Builds recordings of Prophesee's cameras from the specifications of their formats.

#![allow(dead_code, clippy::unwrap_used)]

use dvs_shared::Event;

/// Events of one time, row and polarity. Bit i of `mask` is the pixel at `x` + i.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub t: i64,
    pub x: u16,
    pub y: u16,
    pub on: bool,
    pub mask: u32,
}

/// The events of these rows, in order.
pub fn events_of(rows: &[Row]) -> Vec<Event> {
    let pixels = |row: &Row| {
        let Row { t, x, y, on, mask } = *row;
        let set = (0..32).filter(move |i| mask >> i & 1 == 1);
        set.map(move |i| Event {
            t,
            x: x + i,
            y,
            polarity: on,
            valid: true,
        })
    };
    rows.iter().flat_map(pixels).collect()
}

/// One row for every event.
pub fn rows_of(events: &[Event]) -> Vec<Row> {
    let row = |e: &Event| Row {
        t: e.t,
        x: e.x,
        y: e.y,
        on: e.polarity,
        mask: 1,
    };
    events.iter().map(row).collect()
}

/// The header of a RAW file in `format`, such as `EVT3`, for a sensor of this size.
pub fn raw_header(format: &str, (width, height): (u32, u32)) -> Vec<u8> {
    format!("% format {format};height={height};width={width}\n% end\n").into_bytes()
}

/// The words of time in EVT 2 between the previous and the next upper part.
fn evt2_high(before: &mut Option<i64>, t: i64) -> Option<u32> {
    let high = t >> 6;
    let is_new = before.replace(high) != Some(high);
    is_new.then_some(0x8 << 28 | (high as u32 & 0x0fff_ffff))
}

fn evt2_event(row: &Row, x: u16) -> u32 {
    u32::from(row.on) << 28 | (row.t as u32 & 0x3f) << 22 | u32::from(x) << 11 | u32::from(row.y)
}

/// The rows in EVT 2.0, without a header.
pub fn evt2(rows: &[Row]) -> Vec<u8> {
    let (mut words, mut high) = (Vec::new(), None);
    for row in rows {
        words.extend(evt2_high(&mut high, row.t));
        words.extend(events_of(&[*row]).iter().map(|e| evt2_event(row, e.x)));
    }
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The rows in EVT 2.1, without a header. If `legacy` is set, the upper half of each word comes
/// first.
pub fn evt21(rows: &[Row], legacy: bool) -> Vec<u8> {
    let (mut words, mut high) = (Vec::new(), None);
    for row in rows {
        words.extend(evt2_high(&mut high, row.t).map(|word| (word, 0)));
        // The column of a word is a multiple of 32.
        let (shift, x) = (row.x % 32, row.x / 32 * 32);
        let mask = u64::from(row.mask) << shift;
        for (x, mask) in [(x, mask as u32), (x + 32, (mask >> 32) as u32)] {
            if mask != 0 {
                words.push((evt2_event(row, x), mask));
            }
        }
    }
    let halves = words.iter().flat_map(|&(upper, lower)| match legacy {
        true => [upper, lower],
        false => [lower, upper],
    });
    halves.flat_map(u32::to_le_bytes).collect()
}

/// The rows in EVT 3.0, without a header. Rows with more than `single` events become vectors.
pub fn evt3(rows: &[Row], single: u32) -> Vec<u8> {
    let mut words: Vec<u16> = Vec::new();
    let (mut high, mut low, mut y) = (None::<i64>, None, None);
    for row in rows {
        // As cameras do, write a word of time at least every 4096 us, so that wraps can be counted.
        let next = row.t >> 12;
        let first = high
            .filter(|&high| high <= next)
            .map_or(next, |high| high + 1);
        words.extend((first..=next).map(|high| 0x8000 | (high as u16 & 0xfff)));
        if high != Some(next) || low != Some(row.t & 0xfff) {
            words.push(0x6000 | (row.t as u16 & 0xfff));
        }
        (high, low) = (Some(next), Some(row.t & 0xfff));
        if y.replace(row.y) != Some(row.y) {
            words.push(row.y);
        }
        let on = u16::from(row.on) << 11;
        if row.mask.count_ones() <= single {
            let events = events_of(&[*row]);
            words.extend(events.iter().map(|e| 0x2000 | on | e.x));
        } else {
            let part = |shift: u32, bits: u32| (row.mask >> shift & bits) as u16;
            words.push(0x3000 | on | row.x);
            words.push(0x4000 | part(0, 0xfff));
            words.push(0x4000 | part(12, 0xfff));
            words.push(0x5000 | part(24, 0xff));
        }
    }
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The rows as a DAT file with these lines in its header.
pub fn dat(lines: &str, rows: &[Row]) -> Vec<u8> {
    let mut bytes = format!("% Data file containing CD events\n% Version 2\n{lines}").into_bytes();
    bytes.extend([0x0c, 8]);
    for e in events_of(rows) {
        bytes.extend((e.t as u32).to_le_bytes());
        let word = u32::from(e.x) | u32::from(e.y) << 14 | u32::from(e.polarity) << 28;
        bytes.extend(word.to_le_bytes());
    }
    bytes
}
