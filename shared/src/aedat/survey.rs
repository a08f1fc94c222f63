//! Checks every event of a packet that counts, in one pass.

use super::EventCounts;
use super::event_summary::EventSummary;
use super::layout::EVENT_BYTES;
use super::packet::Packet;
use crate::event::SensorSize;

/// Returns a summary and the counts of the events of `packet`. `previous` is the time of the last
/// event that was used, across packets. Events outside the sensor have a count of their own, so
/// that the caller can refuse them or leave them out.
pub(super) fn survey(
    packet: &Packet,
    recording: &[u8],
    sensor: SensorSize,
    keep_invalid: bool,
    previous: &mut i64,
) -> (EventSummary, EventCounts) {
    let mut seen = EventCounts::default();
    if let Some((t_first, t_last)) = time_span_if_valid_and_sorted(packet, recording, sensor) {
        seen.backwards = u64::from(t_first < *previous);
        seen.kept = packet.number.into();
        let events = EventSummary {
            kept: packet.number.into(),
            t_min: t_first,
            t_max: t_last,
            t_first,
            t_last,
            sorted: true,
        };
        *previous = t_last;
        return (events, seen);
    }
    let mut events = EventSummary::EMPTY;
    let mut last = *previous;
    packet.for_each(recording, |e| {
        if !(e.valid || keep_invalid) {
            seen.invalid += 1;
            return;
        }
        if !sensor.contains(e.x, e.y) {
            seen.outside += 1;
            return;
        }
        seen.backwards += u64::from(e.t < last);
        if events.kept == 0 {
            events.t_first = e.t;
        } else {
            events.sorted &= e.t >= last;
        }
        last = e.t;
        events.t_min = events.t_min.min(e.t);
        events.t_max = events.t_max.max(e.t);
        events.kept += 1;
    });
    seen.kept = events.kept;
    events.t_last = last;
    *previous = last;
    (events, seen)
}

/// Returns the times of the first and last event if every event is valid, inside the sensor and not
/// before the previous event. The loop has neither branches nor comparisons, so that it handles
/// several events at a time: values that must not be negative are combined in `signs`, whose
/// highest bit is checked at the end.
fn time_span_if_valid_and_sorted(
    packet: &Packet,
    recording: &[u8],
    sensor: SensorSize,
) -> Option<(i64, i64)> {
    if packet.stride as usize != EVENT_BYTES || packet.ts_offset != 4 {
        return None;
    }
    let (events, _) = packet.events(recording).as_chunks::<EVENT_BYTES>();
    let (x_last, y_last) = (sensor.width - 1, sensor.height - 1);
    let first = u64::from_le_bytes(*events.first()?);
    let (mut all, mut signs, mut last) = (1, 0, (first >> 32) as u32);
    for event in events {
        let event = u64::from_le_bytes(*event);
        let (word, timestamp) = (event as u32, (event >> 32) as u32);
        all &= word;
        signs |= x_last.wrapping_sub(word >> 17) | y_last.wrapping_sub((word >> 2) & 0x7fff);
        signs |= timestamp.wrapping_sub(last) | timestamp;
        last = timestamp;
    }
    let usual = all == 1 && signs >> 31 == 0;
    let time = |timestamp: u32| packet.time_high() | i64::from(timestamp);
    usual.then(|| (time((first >> 32) as u32), time(last)))
}

/// Byte, column and row of the first event of `packet` that counts and lies outside the sensor.
/// Called only if there is such an event.
pub(super) fn first_outside(
    packet: &Packet,
    recording: &[u8],
    sensor: SensorSize,
    keep_invalid: bool,
) -> Option<(usize, u16, u16)> {
    let mut offset = packet.events_at;
    let mut found = None;
    packet.for_each(recording, |e| {
        if found.is_none() && !sensor.contains(e.x, e.y) && (e.valid || keep_invalid) {
            found = Some((offset, e.x, e.y));
        }
        offset += packet.stride as usize;
    });
    found
}
