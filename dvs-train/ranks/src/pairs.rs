//! The connections that carry data: one between each two ranks, made by the higher one.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use rustix::net::sockopt;

use crate::error::RankError;
use crate::failure::{Cause, Failure};
use crate::handshake::{Stranger, call};
use crate::monitor::Monitor;
use crate::rendezvous::{Rendezvous, Roster, usable};
use crate::wire::Deadline;

/// How often the wait for a rank looks for failures that others report.
const TICK: Duration = Duration::from_millis(20);
const DURING: &str = "while the ranks connected to each other";

/// What connecting needs.
pub(crate) struct Pairs<'a> {
    pub(crate) rendezvous: &'a Rendezvous<'a>,
    pub(crate) roster: &'a Roster,
    pub(crate) monitor: &'a Monitor,
}

impl Pairs<'_> {
    /// Connects to all other ranks, and returns the connections by rank, without its own.
    pub(crate) fn connect(&self) -> Result<Vec<(usize, TcpStream)>, RankError> {
        let deadline = Deadline::after(self.rendezvous.timeout);
        let (own, size) = (self.rendezvous.launch.rank, self.rendezvous.launch.size);
        let mut pairs = Vec::new();
        for rank in 0..own {
            let stream = self
                .call(rank, deadline)
                .and_then(|stream| Ok(self.prepare(&stream).map(|()| stream)?))
                .map_err(|stranger| self.broken(rank, stranger))?;
            pairs.push((rank, stream));
        }
        let mut others: Vec<Option<TcpStream>> = (own + 1..size).map(|_| None).collect();
        while let Some(missing) = others.iter().position(Option::is_none) {
            if let Some(failure) = self.monitor.failure() {
                return Err(self.monitor.error(&failure, DURING));
            }
            if deadline.left().is_none() {
                let limit = format!("it did not call within {:?}", self.rendezvous.timeout);
                return Err(self.broken(own + 1 + missing, Stranger::Other(limit)));
            }
            let Some(arrival) = self.roster.listener.next(TICK) else {
                continue;
            };
            let rank = arrival.hello.rank;
            self.prepare(&arrival.stream)
                .map_err(|e| self.broken(rank, Stranger::Io(e)))?;
            // The token of this session admits only its ranks, which call once.
            if let Some(place) = rank.checked_sub(own + 1).and_then(|i| others.get_mut(i)) {
                *place = Some(arrival.stream);
            }
        }
        pairs.extend((own + 1..size).zip(others.into_iter().flatten()));
        Ok(pairs)
    }

    fn call(&self, rank: usize, deadline: Deadline) -> Result<TcpStream, Stranger> {
        let left = deadline.left().ok_or(io::ErrorKind::TimedOut);
        let left = left.map_err(io::Error::from)?;
        let stream = TcpStream::connect_timeout(&self.roster.addresses[rank], left)?;
        usable(&stream)?;
        let hello = self.rendezvous.hello(0);
        call(&stream, &self.roster.token, &hello, deadline)?;
        Ok(stream)
    }

    /// Lets the system find out that a host does not answer, even while nothing is sent. If
    /// the whole host is gone, the monitor notices it first.
    fn prepare(&self, stream: &TcpStream) -> io::Result<()> {
        sockopt::set_socket_keepalive(stream, true)?;
        // Elsewhere only the monitor notices it, and only for connections with rank 0.
        #[cfg(target_os = "linux")]
        {
            let timeout = self.rendezvous.timeout;
            let third = (timeout / 3).max(Duration::from_secs(1));
            sockopt::set_tcp_keepidle(stream, third)?;
            sockopt::set_tcp_keepintvl(stream, third)?;
            sockopt::set_tcp_keepcnt(stream, 2)?;
            let milliseconds = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
            sockopt::set_tcp_user_timeout(stream, milliseconds)?;
        }
        stream.set_nonblocking(true)?;
        self.monitor.guard(stream)
    }

    fn broken(&self, rank: usize, stranger: Stranger) -> RankError {
        let reason = match stranger {
            Stranger::Io(e) => e.to_string(),
            Stranger::Other(reason) => reason,
        };
        let address = self.roster.addresses[rank];
        let cause = Cause::Network(format!("{reason}, at {address}"));
        let failure: Failure = self.monitor.broken(rank, cause);
        self.monitor.error(&failure, DURING)
    }
}
