//! How the ranks meet: all call rank 0, which tells everyone where the others listen.

mod join;
mod receive;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::error::{Peer, RankError};
use crate::handshake::{Hello, Stranger};
use crate::launch::Launch;
use crate::listener::AuthListener;
use crate::token::Token;

/// The longest single attempt to connect.
const ATTEMPT: Duration = Duration::from_secs(3);

const WELCOME: u64 = 0;
const TURNED_AWAY: u64 = 1;

/// What a rank has once all have met.
pub(crate) struct Roster {
    pub(crate) peers: Vec<Peer>,
    /// To all others on rank 0, else to rank 0.
    pub(crate) controls: Vec<(usize, TcpStream)>,
    /// Addresses at which the ranks listen, by rank.
    pub(crate) addresses: Vec<SocketAddr>,
    /// For the connections between these ranks alone.
    pub(crate) token: Token,
    /// Listener of this rank.
    pub(crate) listener: AuthListener,
}

/// What a rank brings to the rendezvous.
pub(crate) struct Rendezvous<'a> {
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

impl Rendezvous<'_> {
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
    pub(crate) fn meet(&self) -> Result<Roster, RankError> {
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

    /// A listener for other ranks, on the address by which this one reaches rank 0.
    fn listen(&self, ip: IpAddr) -> Result<(TcpListener, SocketAddr), RankError> {
        let address = SocketAddr::new(ip, 0);
        TcpListener::bind(address)
            .and_then(|listener| Ok((listener.local_addr()?, listener)))
            .map(|(address, listener)| (listener, address))
            .map_err(|e| self.cannot_listen(address.to_string(), e.to_string()))
    }

    fn open(&self, listener: TcpListener, token: &Token) -> Result<AuthListener, RankError> {
        AuthListener::open(listener, token.clone()).map_err(|e| self.system("start a thread", &e))
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
