//! A listener that lets in only what has the job's token.
//!
//! Every connection has a thread and a short time of its own, so that one that says nothing holds
//! up nobody.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::handshake::{Hello, Stranger, answer};
use crate::token::Token;
use crate::wire::Deadline;

/// How long a connection may take to show the token.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Connections that are being answered at once. Ranks that are turned away call again.
const MOST_AT_ONCE: usize = 256;
/// How often the listener looks whether it is still wanted, in nanoseconds.
const TICK: i64 = 50_000_000;

/// A connection of a rank.
pub(crate) struct Arrival {
    pub(crate) stream: TcpStream,
    pub(crate) hello: Hello,
    /// The address from which it called.
    pub(crate) caller: SocketAddr,
}

/// Listens until it is dropped.
pub(crate) struct AuthListener {
    address: SocketAddr,
    arrivals: Receiver<Arrival>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    token: Token,
    closed: AtomicBool,
    answering: AtomicUsize,
    refused: AtomicUsize,
}

impl AuthListener {
    /// Lets in what comes to a listener. What came before waits in the system's queue.
    pub(crate) fn open(listener: TcpListener, token: Token) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            token,
            closed: AtomicBool::new(false),
            answering: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        });
        let (sender, arrivals) = channel();
        let thread = thread::Builder::new()
            .name("ranks-listener".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || listen(&listener, &shared, &sender)
            })?;
        Ok(Self {
            address,
            arrivals,
            shared,
            thread: Some(thread),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next rank; `None` if none comes within the time.
    pub(crate) fn next(&self, within: Duration) -> Option<Arrival> {
        match self.arrivals.recv_timeout(within) {
            Ok(arrival) => Some(arrival),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                // The listener failed: nobody comes, and the caller's deadline ends the wait.
                thread::sleep(within);
                None
            }
        }
    }

    /// Connections without the token.
    pub(crate) fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::Relaxed)
    }
}

impl Drop for AuthListener {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It ends within a tick; a panic there would change nothing here.
            let _ = thread.join();
        }
    }
}

fn listen(listener: &TcpListener, shared: &Arc<Shared>, sender: &Sender<Arrival>) {
    let tick = Timespec {
        tv_sec: 0,
        tv_nsec: TICK,
    };
    while !shared.closed.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, caller)) => {
                if shared.answering.fetch_add(1, Ordering::Relaxed) >= MOST_AT_ONCE {
                    shared.answering.fetch_sub(1, Ordering::Relaxed);
                    continue;
                }
                let work = {
                    let (shared, sender) = (Arc::clone(shared), sender.clone());
                    move || {
                        answer_one(stream, caller, &shared, &sender);
                        shared.answering.fetch_sub(1, Ordering::Relaxed);
                    }
                };
                let name = "ranks-handshake".to_owned();
                if thread::Builder::new().name(name).spawn(work).is_err() {
                    shared.answering.fetch_sub(1, Ordering::Relaxed);
                }
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                let _ = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&tick));
            }
            // A caller that left already, or too many open files: others may still come.
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn answer_one(stream: TcpStream, caller: SocketAddr, shared: &Shared, sender: &Sender<Arrival>) {
    let prepared = stream
        .set_nonblocking(false)
        .and_then(|()| stream.set_nodelay(true))
        .map_err(Stranger::Io);
    let deadline = Deadline::after(HANDSHAKE);
    match prepared.and_then(|()| answer(&stream, &shared.token, deadline)) {
        Ok(hello) => {
            // Without a receiver nobody waits any more, and the caller sees its connection end.
            let _ = sender.send(Arrival {
                stream,
                hello,
                caller,
            });
        }
        Err(stranger) => {
            let why = match stranger {
                Stranger::Io(e) => e.to_string(),
                Stranger::Other(why) => why,
            };
            if shared.refused.fetch_add(1, Ordering::Relaxed) == 0 {
                eprintln!(
                    "refused a connection from {caller}: {why} (further ones are only counted)"
                );
            }
        }
    }
}
