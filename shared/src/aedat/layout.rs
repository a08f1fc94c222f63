//! Constants of the format that several modules use.

/// Bytes of a packet header.
pub const PACKET_HEADER: usize = 28;
/// `eventType` of polarity events.
pub const POLARITY_EVENT: u16 = 1;
/// Bytes of a polarity event: data word, then timestamp.
pub const EVENT_BYTES: usize = 8;
/// The highest `eventType` that the format defines, and the lowest that other programs may define.
/// Source: libcaer, `enum caer_default_event_types`.
pub const LAST_DEFINED_TYPE: u16 = 13;
pub const FIRST_OWN_TYPE: u16 = 100;
