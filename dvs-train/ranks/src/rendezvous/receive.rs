//! Rank 0: waits for the others, and tells each where all are.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::{ATTEMPT, Rendezvous, Roster, TURNED_AWAY, WELCOME, peer_of};
use crate::error::{RankError, Seconds};
use crate::handshake::{Hello, random};
use crate::listener::{Arrival, AuthListener};
use crate::wire::{Deadline, Message, write_message};

/// How long rank 0 tells late ranks why there is no job.
const LINGER: Duration = Duration::from_secs(1);

impl Rendezvous<'_> {
    /// The listener of rank 0, at the first of the host's addresses that is this machine's.
    fn open_master(&self) -> Result<AuthListener, RankError> {
        let launch = self.launch;
        let refuse = |reason: String| Err(self.cannot_listen(self.master(), reason));
        let addresses = match self.resolve() {
            Ok(addresses) => addresses,
            Err(e) => return refuse(format!("the name is not known: {e}. Set MASTER_ADDR")),
        };
        let mut reason = "the name has no address. Set MASTER_ADDR".to_owned();
        for address in addresses {
            if address.ip().is_unspecified() {
                let what = "this means all addresses. Set MASTER_ADDR to one of this host";
                return refuse(what.to_owned());
            }
            let alone = launch.local_size.is_none_or(|here| here == launch.size);
            if address.ip().is_loopback() && !alone {
                reason = format!(
                    "{} reaches only this host, but ranks run on others too. Set MASTER_ADDR to \
                     an address that they reach",
                    address.ip()
                );
                continue;
            }
            let open = |listener| AuthListener::open(listener, launch.token.clone());
            match TcpListener::bind(address).and_then(open) {
                Ok(listener) => return Ok(listener),
                Err(e) => {
                    reason = match e.kind() {
                        io::ErrorKind::AddrInUse => {
                            format!("{e}. Another job may use it. Set MASTER_PORT to a free port")
                        }
                        io::ErrorKind::AddrNotAvailable => format!(
                            "{e}. It is not an address of this host. Set MASTER_ADDR to the host \
                             of rank 0"
                        ),
                        _ => e.to_string(),
                    }
                }
            }
        }
        refuse(reason)
    }

    /// Waits for all others, and sends each the list of all.
    pub(super) fn receive_all(&self) -> Result<Roster, RankError> {
        let deadline = Deadline::after(self.timeout);
        let master = self.open_master()?;
        let session = random::<16>().map_err(|e| self.system("get random bytes", &e))?;
        let session = format!("{:032x}", u128::from_le_bytes(session));
        let token = self.launch.token.of_session(&session);
        let (listener, address) = self.listen(master.address().ip())?;
        let listener = self.open(listener, &token)?;
        let mut arrived: Vec<Option<Arrival>> = (0..self.launch.size).map(|_| None).collect();
        let error = loop {
            let missing: Vec<usize> = (1..arrived.len())
                .filter(|rank| arrived[*rank].is_none())
                .collect();
            if missing.is_empty() {
                break None;
            }
            let Some(left) = deadline.left() else {
                break Some(self.missing(&master, &missing));
            };
            let Some(arrival) = master.next(left) else {
                continue;
            };
            if let Some(objection) = self.objection(&arrival.hello, &arrived) {
                turn_away(&arrival.stream, &objection);
                break Some(RankError::World(objection));
            }
            let rank = arrival.hello.rank;
            arrived[rank] = Some(arrival);
        };
        let arrived: Vec<Arrival> = arrived.into_iter().flatten().collect();
        if let Some(error) = error {
            let reason = error.to_string();
            for arrival in &arrived {
                turn_away(&arrival.stream, &reason);
            }
            // Those that come at this moment hear of it as well.
            let deadline = Deadline::after(LINGER);
            while let Some(left) = deadline.left() {
                if let Some(late) = master.next(left) {
                    turn_away(&late.stream, &reason);
                }
            }
            return Err(error);
        }
        let mut peers = vec![peer_of(&self.hello(0))];
        let mut addresses = vec![address];
        for Arrival { hello, caller, .. } in &arrived {
            peers.push(peer_of(hello));
            addresses.push(SocketAddr::new(caller.ip(), hello.port));
        }
        let mut welcome = Message::default().number(WELCOME).text(&session);
        for (peer, address) in peers.iter().zip(&addresses) {
            welcome = welcome
                .text(&peer.host)
                .number(u64::from(peer.process))
                .text(&address.to_string());
        }
        let deadline = Deadline::after(self.timeout);
        for arrival in &arrived {
            // If the rank is gone, the monitor notices it, and tells those that are not.
            let _ = write_message(&arrival.stream, &welcome, deadline);
        }
        let controls = arrived.into_iter().map(|a| (a.hello.rank, a.stream));
        Ok(Roster {
            peers,
            controls: controls.collect(),
            addresses,
            token,
            listener,
        })
    }

    /// Why a rank cannot be one of this job.
    fn objection(&self, hello: &Hello, arrived: &[Option<Arrival>]) -> Option<String> {
        let (peer, size) = (peer_of(hello), self.launch.size);
        if hello.size != size {
            return Some(format!(
                "{peer} was started with a world size of {}, rank 0 on {} with {size}. Start all \
                 ranks with the same size",
                hello.size, self.host
            ));
        }
        let twice = |host: &str, process: u32| {
            format!(
                "two processes are rank {}: {process} on {host} and {} on {}. Each needs a rank \
                 of its own",
                hello.rank, hello.process, hello.host
            )
        };
        match arrived.get(hello.rank) {
            Some(Some(first)) => Some(twice(&first.hello.host, first.hello.process)),
            Some(None) if hello.rank == 0 => Some(twice(self.host, std::process::id())),
            Some(None) => None,
            None => Some(format!("{peer} is not less than the world size, {size}")),
        }
    }

    fn missing(&self, listener: &AuthListener, missing: &[usize]) -> RankError {
        let shown: Vec<String> = missing.iter().take(8).map(usize::to_string).collect();
        let more = match missing.len().saturating_sub(shown.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let ranks = if missing.len() == 1 { "rank" } else { "ranks" };
        let refused = match listener.refused() {
            0 => String::new(),
            1 => "; 1 connection was refused".to_owned(),
            n => format!("; {n} connections were refused"),
        };
        RankError::Missing {
            rank: self.launch.rank,
            host: self.host.to_owned(),
            address: listener.address(),
            limit: Seconds(self.timeout),
            missing: format!(
                "{ranks} {}{more} of {} ranks{refused}",
                shown.join(", "),
                self.launch.size
            ),
        }
    }
}

/// Tells a rank why it cannot take part.
fn turn_away(stream: &TcpStream, reason: &str) {
    let message = Message::default().number(TURNED_AWAY).text(reason);
    // If it does not arrive, the rank sees that the connection ends.
    let _ = write_message(stream, &message, Deadline::after(ATTEMPT));
}
