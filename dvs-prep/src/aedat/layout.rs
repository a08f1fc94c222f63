//! Numbers of the format that more than one part goes by.

/// Bytes of a packet header.
pub const PACKET_HEADER: usize = 28;
/// `eventType` of polarity events.
pub const POLARITY_EVENT: u16 = 1;
/// Bytes of a polarity event: data word, then timestamp.
pub const EVENT_BYTES: usize = 8;
