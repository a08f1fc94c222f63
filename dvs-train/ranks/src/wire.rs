//! Reads and writes with a deadline, and small messages of numbers and texts.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The longest message: the addresses of some ten thousand ranks.
const LONGEST_MESSAGE: usize = 1 << 20;

/// A moment by which something must have happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    /// The time left; `None` if there is none.
    pub(crate) fn left(self) -> Option<Duration> {
        self.0
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
    }

    fn left_or_error(self) -> io::Result<Duration> {
        self.left().ok_or_else(|| ErrorKind::TimedOut.into())
    }
}

/// Timeouts of a socket are reported as `WouldBlock`, which says nothing to a reader.
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
        _ => error,
    }
}

/// Fills the buffer from a blocking socket.
pub(crate) fn read_exact(
    mut stream: &TcpStream,
    mut buffer: &mut [u8],
    deadline: Deadline,
) -> io::Result<()> {
    while !buffer.is_empty() {
        stream.set_read_timeout(Some(deadline.left_or_error()?))?;
        match stream.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => buffer = &mut buffer[n..],
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(timed_out(e)),
        }
    }
    Ok(())
}

/// Writes all bytes to a blocking socket.
pub(crate) fn write_all(
    mut stream: &TcpStream,
    mut bytes: &[u8],
    deadline: Deadline,
) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(deadline.left_or_error()?))?;
        match stream.write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(timed_out(e)),
        }
    }
    Ok(())
}

/// Writes a message with its length before it.
pub(crate) fn write_message(
    stream: &TcpStream,
    message: &Message,
    deadline: Deadline,
) -> io::Result<()> {
    write_all(stream, &message.framed(), deadline)
}

/// Reads a message that [`write_message`] wrote.
pub(crate) fn read_message(stream: &TcpStream, deadline: Deadline) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    read_exact(stream, &mut length, deadline)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST_MESSAGE {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length];
    read_exact(stream, &mut bytes, deadline)?;
    Ok(bytes)
}

/// A message being written: numbers are little-endian, texts have their length before them.
#[derive(Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    pub(crate) fn number(mut self, number: u64) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    pub(crate) fn text(self, text: &str) -> Self {
        let mut message = self.number(text.len() as u64);
        message.0.extend(text.as_bytes());
        message
    }

    pub(crate) fn framed(&self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        [&length.to_le_bytes(), self.0.as_slice()].concat()
    }
}

/// A message being read; `None` where it is too short or not as expected.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes(8)?.try_into().ok()?))
    }

    pub(crate) fn index(&mut self) -> Option<usize> {
        self.number()?.try_into().ok()
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        let length = self.index()?;
        let text = std::str::from_utf8(self.bytes(length)?).ok()?;
        // From another host: its control characters would be obeyed by a terminal.
        let shown = text.chars().map(|c| match c.is_control() {
            true => char::REPLACEMENT_CHARACTER,
            false => c,
        });
        Some(shown.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_and_short_ones_do_not() {
        let message = Message::default().number(7).text("node\u{1b}01").number(9);
        let bytes = message.framed();
        assert_eq!(bytes[..4], (bytes.len() as u32 - 4).to_le_bytes());
        let mut fields = Fields(&bytes[4..]);
        assert_eq!(fields.number(), Some(7));
        assert_eq!(fields.text().as_deref(), Some("node\u{fffd}01"));
        assert_eq!(fields.index(), Some(9));
        assert_eq!(fields.number(), None);
        let mut short = Fields(&bytes[4..bytes.len() - 1]);
        assert_eq!(short.number(), Some(7));
        assert_eq!(short.text().as_deref(), Some("node\u{fffd}01"));
        assert_eq!(short.number(), None);
        assert_eq!(Fields(&u64::MAX.to_le_bytes()).text(), None);
    }
}
