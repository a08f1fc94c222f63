//! One operation: this rank sends to all others and receives from all others at the same time.
//!
//! A single thread does it, without blocking on any connection, so ranks that all send at once
//! never wait for each other in a circle. Each pair first exchanges headers that say which
//! operation this is. A rank sends more than a few bytes only to a rank whose header has come, and
//! which therefore reads. So a connection stands still only if the other process or its host does,
//! and not because that rank still computes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::failure::{Cause, Failure};
use crate::monitor::Monitor;

/// Bytes that are sent without knowing that the other rank reads. Sockets hold more than these.
pub(crate) const EAGER: usize = 16 << 10;
/// Bytes of one read or write, so that every connection has its turn.
const TURN: usize = 1 << 20;
const MAGIC: u32 = 0x736b_6e72;
pub(crate) const HEADER_BYTES: usize = 32;

/// What a rank calls, as the others are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    AllReduce,
    AllReduceF64,
    Gather,
    Barrier,
    Finish,
}

/// A call of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) operation: Operation,
    /// Operations of this rank before this one.
    pub(crate) sequence: u64,
    /// Values of an all-reduce, bytes of a gather.
    pub(crate) length: usize,
}

impl Header {
    pub(crate) fn bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[4] = self.operation as u8;
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..24].copy_from_slice(&(self.length as u64).to_le_bytes());
        bytes
    }

    pub(crate) fn read(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        if bytes[..4] != MAGIC.to_le_bytes() {
            return None;
        }
        let number = |at: usize| {
            let eight = bytes[at..at + 8].try_into().ok()?;
            Some(u64::from_le_bytes(eight))
        };
        use Operation::{AllReduce, AllReduceF64, Barrier, Finish, Gather};
        let operation = [AllReduce, AllReduceF64, Gather, Barrier, Finish]
            .into_iter()
            .find(|operation| *operation as u8 == bytes[4])?;
        Some(Self {
            operation,
            sequence: number(8)?,
            length: number(16)?.try_into().ok()?,
        })
    }

    /// The call as messages show it.
    pub(crate) fn text(self) -> String {
        let Self { length, .. } = self;
        let call = match self.operation {
            Operation::AllReduce => format!("all-reduce of {length} f32"),
            Operation::AllReduceF64 => format!("all-reduce of {length} f64"),
            Operation::Gather => format!("gather of {length} bytes"),
            Operation::Barrier => "barrier".to_owned(),
            Operation::Finish => "finish".to_owned(),
        };
        format!("{call} (operation {})", self.sequence)
    }
}

/// The data of an operation, as byte ranges that grow with what has come.
pub(crate) trait Data {
    /// Whether the other rank's call fits this one, and how many bytes come from it.
    fn accept(&mut self, rank: usize, theirs: Header) -> Option<usize>;
    /// Bytes that the rank gets in all.
    fn total(&self, rank: usize) -> usize;
    /// What the rank can get after the bytes already sent: nothing if it is not known yet.
    fn outgoing(&self, rank: usize, sent: usize) -> &[u8];
    /// Returns the buffer for the bytes that the rank sends after those received.
    fn incoming(&mut self, rank: usize, received: usize) -> &mut [u8];
    /// Notes that the rank has sent so many bytes so far.
    fn received(&mut self, rank: usize, bytes: usize);
    /// Works on what has come; true if there is more to send now.
    fn work(&mut self) -> bool;
}

/// The connection to another rank, and how far the operation is on it.
pub(crate) struct Connection {
    rank: usize,
    stream: TcpStream,
    header: [u8; HEADER_BYTES],
    header_sent: usize,
    header_received: usize,
    /// Bytes to receive, once the other rank's header has come.
    expected: Option<usize>,
    sent: usize,
    received: usize,
}

/// Why an operation cannot go on.
enum Trouble {
    Broken(Cause),
    Failed(Failure),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Broken(match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                Cause::Closed
            }
            _ => Cause::Network(error.to_string()),
        })
    }
}

/// `None` if the connection would block.
fn moved(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(n) => Ok(Some(n)),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(e) => Err(e),
    }
}

impl Connection {
    pub(crate) fn new(rank: usize, stream: TcpStream) -> Self {
        Self {
            rank,
            stream,
            header: [0; HEADER_BYTES],
            header_sent: 0,
            header_received: 0,
            expected: None,
            sent: 0,
            received: 0,
        }
    }

    fn begin(&mut self) {
        (self.header_sent, self.header_received) = (0, 0);
        (self.sent, self.received, self.expected) = (0, 0, None);
    }

    fn all_sent(&self, data: &impl Data) -> bool {
        self.header_sent == HEADER_BYTES && self.sent == data.total(self.rank)
    }

    fn all_received(&self) -> bool {
        self.expected == Some(self.received)
    }

    /// What can be sent now.
    fn sendable<'a, D: Data>(&self, data: &'a D) -> &'a [u8] {
        if self.expected.is_none() && data.total(self.rank) > EAGER {
            return &[];
        }
        data.outgoing(self.rank, self.sent)
    }

    /// Sends what can be sent; true if something was.
    fn send(&mut self, header: &[u8; HEADER_BYTES], data: &impl Data) -> io::Result<bool> {
        let mut any = false;
        while self.header_sent < HEADER_BYTES {
            let Some(n) = moved((&self.stream).write(&header[self.header_sent..]))? else {
                return Ok(any);
            };
            (self.header_sent, any) = (self.header_sent + n, true);
        }
        let bytes = self.sendable(data);
        if !bytes.is_empty()
            && let Some(n) = moved((&self.stream).write(&bytes[..bytes.len().min(TURN)]))?
        {
            (self.sent, any) = (self.sent + n, true);
        }
        Ok(any)
    }

    /// Receives what has come; true if something has. `own` is this rank's call.
    fn receive(
        &mut self,
        own: Header,
        data: &mut impl Data,
        monitor: &Monitor,
        rank: usize,
    ) -> Result<bool, Trouble> {
        let mut any = false;
        // What comes after the last byte belongs to the next operation.
        if self.all_received() {
            return Ok(any);
        }
        while self.header_received < HEADER_BYTES {
            let place = &mut self.header[self.header_received..];
            let Some(n) = moved((&self.stream).read(place))? else {
                return Ok(any);
            };
            (self.header_received, any) = (self.header_received + n, true);
        }
        let expected = match self.expected {
            Some(expected) => expected,
            None => {
                let theirs = Header::read(&self.header).ok_or_else(|| {
                    let reason = "bytes came that no rank sends".to_owned();
                    Trouble::Broken(Cause::Network(reason))
                })?;
                let accepted = data.accept(self.rank, theirs);
                if accepted.is_none() || theirs.sequence != own.sequence {
                    return Err(Trouble::Failed(self.mismatch(own, theirs, monitor, rank)));
                }
                *self.expected.insert(accepted.unwrap_or(0))
            }
        };
        if self.received < expected {
            let place = data.incoming(self.rank, self.received);
            let length = place.len().min(TURN);
            if let Some(n) = moved((&self.stream).read(&mut place[..length]))? {
                (self.received, any) = (self.received + n, true);
                data.received(self.rank, self.received);
            }
        }
        Ok(any)
    }

    fn mismatch(&self, own: Header, theirs: Header, monitor: &Monitor, rank: usize) -> Failure {
        let calls = |rank: usize, header: Header| {
            format!("{} called {}", monitor.peers()[rank], header.text())
        };
        monitor.fail(Failure {
            rank: self.rank,
            seen_by: rank,
            cause: Cause::Mismatch(calls(rank, own), calls(self.rank, theirs)),
            limit: Duration::ZERO,
        })
    }
}

/// Does one operation with all other ranks. A rank that does not move for `longest_wait` ends it.
pub(crate) fn exchange(
    connections: &mut [Connection],
    own: Header,
    data: &mut impl Data,
    monitor: &Monitor,
    rank: usize,
    longest_wait: Duration,
) -> Result<(), Failure> {
    let header = own.bytes();
    connections.iter_mut().for_each(Connection::begin);
    let mut last_move = Instant::now();
    loop {
        let (mut any, mut done) = (false, true);
        for connection in connections.iter_mut() {
            let turn = connection
                .send(&header, data)
                .map_err(Trouble::from)
                .and_then(|sent| Ok(sent | connection.receive(own, data, monitor, rank)?));
            match turn {
                Ok(moved) => any |= moved,
                Err(Trouble::Failed(failure)) => return Err(failure),
                Err(Trouble::Broken(cause)) => return Err(monitor.broken(connection.rank, cause)),
            }
        }
        any |= data.work();
        for connection in connections.iter() {
            done &= connection.all_received() && connection.all_sent(data);
        }
        if done {
            return Ok(());
        }
        if any {
            last_move = Instant::now();
            continue;
        }
        let left = longest_wait.saturating_sub(last_move.elapsed());
        if left.is_zero() {
            let waited_for = connections
                .iter()
                .find(|connection| connection.expected.is_none());
            let waited_for = waited_for.or_else(|| {
                connections
                    .iter()
                    .find(|connection| !connection.all_received())
            });
            return Err(monitor.fail(Failure {
                rank: waited_for.map_or(rank, |connection| connection.rank),
                seen_by: rank,
                cause: Cause::Stuck,
                limit: longest_wait,
            }));
        }
        if let Some(closed) = wait(connections, data, left) {
            return Err(monitor.broken(closed, Cause::Closed));
        }
    }
}

/// Waits until a connection can be used. Returns a rank that closed its connection before it got
/// everything.
fn wait(connections: &[Connection], data: &impl Data, time: Duration) -> Option<usize> {
    // Connections that are done are not looked at: their ranks may have gone on, or finished.
    let open: Vec<&Connection> = connections
        .iter()
        .filter(|connection| !connection.all_received() || !connection.all_sent(data))
        .collect();
    let mut polled: Vec<PollFd> = open
        .iter()
        .map(|connection| {
            let mut events = PollFlags::empty();
            if !connection.all_received() {
                events |= PollFlags::IN;
            }
            if connection.header_sent < HEADER_BYTES || !connection.sendable(data).is_empty() {
                events |= PollFlags::OUT;
            }
            PollFd::new(&connection.stream, events)
        })
        .collect();
    // An interrupted wait is a short one.
    let _ = poll(&mut polled, Timespec::try_from(time).ok().as_ref());
    let gone = PollFlags::HUP | PollFlags::ERR;
    polled
        .iter()
        .zip(&open)
        .find(|(polled, connection)| polled.revents().intersects(gone) && connection.all_received())
        .map(|(_, connection)| connection.rank)
}
