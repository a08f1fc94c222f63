//! Which events of a cell are kept.
//!
//! Each event of a frame has a number of 32 bits that follows from the sample's key, the event's cell in the sample as it
//! was, and its place among the events there. It is dropped where that number is below a threshold: independent of the
//! other events, and the same on every device. The mixing is the finaliser of A. Appleby's MurmurHash3.

/// Events of a cell beyond which they are no longer told apart: the share that is to be kept is kept of them then.
pub const TOLD_APART: u32 = 4096;

/// Spreads every bit of `x` over all others.
pub fn mix(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x85eb_ca6b);
    let x = (x ^ (x >> 13)).wrapping_mul(0xc2b2_ae35);
    x ^ (x >> 16)
}

/// How many of `count` events of `cell` are kept.
pub fn kept(count: f32, cell: u32, key: u32, threshold: u32) -> f32 {
    if count > TOLD_APART as f32 {
        let share = 1.0 - threshold as f32 / 4_294_967_296.0;
        return (count * share).round();
    }
    let cell = mix(key ^ mix(cell));
    let kept = (0..count as u32).filter(|&event| mix(cell.wrapping_add(event)) >= threshold);
    kept.count() as f32
}
