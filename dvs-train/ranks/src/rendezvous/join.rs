//! The other ranks: call rank 0, and hear from it where all are.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::{ATTEMPT, Rendezvous, Roster, TURNED_AWAY, usable};
use crate::error::{Peer, RankError, Seconds};
use crate::handshake::{Stranger, call};
use crate::wire::{Deadline, Fields, read_message};

/// How much longer than rank 0 the others wait for its answer, which says what it waited for.
const PATIENCE: Duration = Duration::from_secs(2);

impl Rendezvous<'_> {
    fn unreachable(&self, reason: String) -> RankError {
        RankError::Unreachable {
            rank: self.launch.rank,
            host: self.host.to_owned(),
            address: self.master(),
            limit: Seconds(self.timeout),
            reason,
        }
    }

    /// Calls rank 0 until it answers, and waits for the list.
    pub(super) fn join(&self) -> Result<Roster, RankError> {
        let (stream, listener) = self.call_master(Deadline::after(self.timeout))?;
        let wait = Deadline::after(self.timeout + PATIENCE);
        let message = read_message(&stream, wait).map_err(|e| {
            self.unreachable(match e.kind() {
                io::ErrorKind::TimedOut => "it answered, but did not name the other ranks".into(),
                _ => "it ended while it waited for other ranks".to_owned(),
            })
        })?;
        let mut fields = Fields(&message);
        if fields.number() == Some(TURNED_AWAY) {
            return Err(RankError::World(fields.text().unwrap_or_default()));
        }
        let (session, peers, addresses) = read_welcome(&mut fields, self.launch.size)
            .ok_or_else(|| self.unreachable("its list of ranks makes no sense".to_owned()))?;
        let token = self.launch.token.of_session(&session);
        Ok(Roster {
            peers,
            controls: vec![(0, stream)],
            addresses,
            listener: self.open(listener, &token)?,
            token,
        })
    }

    /// A connection on which rank 0 knows this rank, and this rank's listener.
    fn call_master(&self, deadline: Deadline) -> Result<(TcpStream, TcpListener), RankError> {
        let mut pause = Duration::from_millis(10);
        let mut reason = String::new();
        loop {
            for address in self.resolve().unwrap_or_else(|e| {
                reason = e.to_string();
                Vec::new()
            }) {
                let Some(left) = deadline.left() else {
                    return Err(self.unreachable(reason));
                };
                let attempt = TcpStream::connect_timeout(&address, left.min(ATTEMPT));
                match attempt.map_err(Stranger::Io).and_then(|stream| {
                    let own = usable(&stream)?;
                    Ok((stream, own))
                }) {
                    Ok((stream, own)) => {
                        let (listener, at) = self.listen(own.ip())?;
                        match call(
                            &stream,
                            &self.launch.token,
                            &self.hello(at.port()),
                            deadline,
                        ) {
                            Ok(()) => return Ok((stream, listener)),
                            Err(Stranger::Io(e)) => reason = e.to_string(),
                            Err(Stranger::Other(reason)) => {
                                return Err(RankError::Refused {
                                    rank: self.launch.rank,
                                    host: self.host.to_owned(),
                                    address,
                                    reason,
                                });
                            }
                        }
                    }
                    Err(Stranger::Io(e)) => reason = e.to_string(),
                    Err(Stranger::Other(why)) => reason = why,
                }
            }
            let Some(left) = deadline.left() else {
                return Err(self.unreachable(reason));
            };
            thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }
}

fn read_welcome(fields: &mut Fields, size: usize) -> Option<(String, Vec<Peer>, Vec<SocketAddr>)> {
    let session = fields.text()?;
    let (mut peers, mut addresses) = (Vec::new(), Vec::new());
    for rank in 0..size {
        let (host, process) = (fields.text()?, fields.number()?.try_into().ok()?);
        peers.push(Peer {
            rank,
            host: host.into(),
            process,
        });
        addresses.push(fields.text()?.parse().ok()?);
    }
    Some((session, peers, addresses))
}
