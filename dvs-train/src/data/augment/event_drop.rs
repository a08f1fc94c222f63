//! Random dropping of events.
//!
//! Each event has a 32-bit hash of the sample's key, the event's cell in the unaltered sample and
//! its number within the cell. The event is dropped if the hash is below a threshold. So events are
//! dropped independently, and every device drops the same events. The mixing is the finaliser of
//! A. Appleby's MurmurHash3.

/// If a cell has more events than this, it keeps the expected share of them, and there is no random
/// decision for each event.
pub const MAX_SEPARATE_EVENTS: u32 = 4096;

/// Hashes `x`: every bit of it affects all bits of the result.
pub fn mix(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x85eb_ca6b);
    let x = (x ^ (x >> 13)).wrapping_mul(0xc2b2_ae35);
    x ^ (x >> 16)
}

/// Returns how many of `count` events of `cell` are kept.
pub fn kept(count: f32, cell: u32, key: u32, threshold: u32) -> f32 {
    if count > MAX_SEPARATE_EVENTS as f32 {
        let share = 1.0 - threshold as f32 / 4_294_967_296.0;
        return (count * share).round();
    }
    let cell = mix(key ^ mix(cell));
    let kept = (0..count as u32).filter(|&event| mix(cell.wrapping_add(event)) >= threshold);
    kept.count() as f32
}
