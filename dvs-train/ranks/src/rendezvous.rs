//! How the ranks meet: all call rank 0, which tells everyone where the others listen.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::Duration;

use crate::door::{Arrival, Door};
use crate::error::{Peer, RankError, Seconds};
use crate::handshake::{Hello, Stranger, call, random};
use crate::launch::Launch;
use crate::token::Token;
use crate::wire::{Deadline, Fields, Message, read_message, write_message};

/// The longest single attempt to connect.
const ATTEMPT: Duration = Duration::from_secs(3);
/// How often a wait looks for failures that others report.
const TICK: Duration = Duration::from_millis(50);
/// How much longer than rank 0 the others wait for its answer, which says what it waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long rank 0 tells late ranks why there is no job.
const LINGER: Duration = Duration::from_secs(1);

const WELCOME: u64 = 0;
const TURNED_AWAY: u64 = 1;

/// What a rank has once all have met.
pub(crate) struct Meeting {
    pub(crate) peers: Vec<Peer>,
    /// To all others on rank 0, else to rank 0.
    pub(crate) controls: Vec<(usize, TcpStream)>,
    /// Where each rank listens for the others.
    pub(crate) addresses: Vec<SocketAddr>,
    /// For the connections between the ranks of this meeting alone.
    pub(crate) token: Token,
    /// Where this rank listens.
    pub(crate) door: Door,
}

/// One rank on its way to the others.
pub(crate) struct Traveller<'a> {
    pub(crate) launch: &'a Launch,
    pub(crate) host: &'a str,
    pub(crate) timeout: Duration,
}

fn peer_of(hello: &Hello) -> Peer {
    Peer {
        rank: hello.rank,
        host: hello.host.as_str().into(),
        process: hello.process,
    }
}

impl Traveller<'_> {
    pub(crate) fn hello(&self, port: u16) -> Hello {
        Hello {
            rank: self.launch.rank,
            size: self.launch.size,
            host: self.host.to_owned(),
            process: std::process::id(),
            port,
        }
    }

    pub(crate) fn system(&self, what: &str, error: &io::Error) -> RankError {
        RankError::System {
            rank: self.launch.rank,
            host: self.host.to_owned(),
            what: what.to_owned(),
            reason: error.to_string(),
        }
    }

    fn cannot_listen(&self, address: String, reason: String) -> RankError {
        RankError::Listen {
            rank: self.launch.rank,
            host: self.host.to_owned(),
            address,
            reason,
        }
    }

    /// Meets all other ranks.
    pub(crate) fn meet(&self) -> Result<Meeting, RankError> {
        match self.launch.rank {
            0 => self.receive_all(),
            _ => self.join(),
        }
    }

    fn master(&self) -> String {
        match self.launch.host.contains(':') {
            true => format!("[{}]:{}", self.launch.host, self.launch.port),
            false => format!("{}:{}", self.launch.host, self.launch.port),
        }
    }

    fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let addresses = (self.launch.host.as_str(), self.launch.port).to_socket_addrs()?;
        Ok(addresses.collect())
    }

    /// The door of rank 0, at the first of the host's addresses that is this machine's.
    fn open_master(&self) -> Result<Door, RankError> {
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
            let open = |listener| Door::open(listener, launch.token.clone());
            match TcpListener::bind(address).and_then(open) {
                Ok(door) => return Ok(door),
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

    /// A listener for other ranks, on the address by which this one reaches rank 0.
    fn listen(&self, ip: IpAddr) -> Result<(TcpListener, SocketAddr), RankError> {
        let address = SocketAddr::new(ip, 0);
        TcpListener::bind(address)
            .and_then(|listener| Ok((listener.local_addr()?, listener)))
            .map(|(address, listener)| (listener, address))
            .map_err(|e| self.cannot_listen(address.to_string(), e.to_string()))
    }

    fn open(&self, listener: TcpListener, token: &Token) -> Result<Door, RankError> {
        Door::open(listener, token.clone()).map_err(|e| self.system("start a thread", &e))
    }

    /// Rank 0: waits for all others, and sends each the list of all.
    fn receive_all(&self) -> Result<Meeting, RankError> {
        let deadline = Deadline::after(self.timeout);
        let master = self.open_master()?;
        let session = random::<16>().map_err(|e| self.system("get random bytes", &e))?;
        let session = format!("{:032x}", u128::from_le_bytes(session));
        let token = self.launch.token.of_session(&session);
        let (listener, address) = self.listen(master.address().ip())?;
        let door = self.open(listener, &token)?;
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
            let Some(arrival) = master.next(left.min(TICK)) else {
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
        for Arrival { stream, hello } in &arrived {
            let from = stream.peer_addr();
            let from = from.map_err(|_| self.closed(&peer_of(hello)))?;
            peers.push(peer_of(hello));
            addresses.push(SocketAddr::new(from.ip(), hello.port));
        }
        let mut welcome = Message::default().number(WELCOME).text(&session);
        for (peer, address) in peers.iter().zip(&addresses) {
            welcome = welcome
                .text(&peer.host)
                .number(u64::from(peer.process))
                .text(&address.to_string());
        }
        let deadline = Deadline::after(self.timeout);
        for Arrival { stream, hello } in &arrived {
            write_message(stream, &welcome, deadline).map_err(|_| self.closed(&peer_of(hello)))?;
        }
        let controls = arrived.into_iter().map(|a| (a.hello.rank, a.stream));
        Ok(Meeting {
            peers,
            controls: controls.collect(),
            addresses,
            token,
            door,
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

    fn missing(&self, door: &Door, missing: &[usize]) -> RankError {
        let shown: Vec<String> = missing.iter().take(8).map(usize::to_string).collect();
        let more = match missing.len().saturating_sub(shown.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let ranks = if missing.len() == 1 { "rank" } else { "ranks" };
        let refused = match door.refused() {
            0 => String::new(),
            1 => "; 1 connection was refused".to_owned(),
            n => format!("; {n} connections were refused"),
        };
        RankError::Missing {
            rank: self.launch.rank,
            host: self.host.to_owned(),
            address: door.address(),
            limit: Seconds(self.timeout),
            missing: format!(
                "{ranks} {}{more} of {} ranks{refused}",
                shown.join(", "),
                self.launch.size
            ),
        }
    }

    fn closed(&self, peer: &Peer) -> RankError {
        RankError::Closed {
            peer: peer.clone(),
            during: "while the ranks met".to_owned(),
        }
    }

    fn unreachable(&self, reason: String) -> RankError {
        RankError::Unreachable {
            rank: self.launch.rank,
            host: self.host.to_owned(),
            address: self.master(),
            limit: Seconds(self.timeout),
            reason,
        }
    }

    /// The other ranks: calls rank 0 until it answers, and waits for the list.
    fn join(&self) -> Result<Meeting, RankError> {
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
        Ok(Meeting {
            peers,
            controls: vec![(0, stream)],
            addresses,
            door: self.open(listener, &token)?,
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

/// Prepares a connection, and returns its own address.
pub(crate) fn usable(stream: &TcpStream) -> Result<SocketAddr, Stranger> {
    let own = stream.local_addr()?;
    // While nobody listens on a port that the system also gives to callers, a call can meet itself.
    if own == stream.peer_addr()? {
        return Err(Stranger::Other("nobody listens".to_owned()));
    }
    stream.set_nodelay(true)?;
    Ok(own)
}

/// Tells a rank why it cannot take part.
fn turn_away(stream: &TcpStream, reason: &str) {
    let message = Message::default().number(TURNED_AWAY).text(reason);
    // If it does not arrive, the rank sees that the connection ends.
    let _ = write_message(stream, &message, Deadline::after(ATTEMPT));
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
