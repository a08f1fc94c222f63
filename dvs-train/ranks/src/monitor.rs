//! Watches over the ranks from a thread of its own, and spreads the first failure.
//!
//! Every rank has one control connection to rank 0. A thread in each process sends a heartbeat on
//! it, whatever the process computes. So a slow rank differs from a stopped one, a dead host or a
//! cut network: those send nothing. A rank that ends is noticed at once, because its connection
//! closes. Rank 0 tells all others of every failure it sees or hears of.
//!
//! The first failure counts. It shuts down the connections that carry data, which wakes every
//! operation that waits on them.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::error::{Peer, RankError};
use crate::failure::{Cause, Failure};
use crate::wire::{Fields, Message};

/// How long a rank whose connection broke waits to hear why.
const GRACE: Duration = Duration::from_secs(1);
/// How long a rank that finished waits for the others to have heard of it.
const FAREWELL: Duration = Duration::from_secs(5);

const BEAT: u64 = 0;
const FAREWELL_SAID: u64 = 1;
const FAILURE: u64 = 2;

/// A control connection, and what could not be sent on it yet.
struct Control {
    rank: usize,
    stream: TcpStream,
    unsent: Mutex<VecDeque<u8>>,
}

impl Control {
    /// Sends as much as the connection takes, and keeps the rest.
    fn send(&self, message: &Message) {
        let mut unsent = lock(&self.unsent);
        unsent.extend(message.framed());
        // Whoever reads the connection notices that it broke.
        let _ = self.flush(&mut unsent);
    }

    /// Skips the heartbeat if the last one has not gone out: the other side reads nothing.
    fn beat(&self) {
        let mut unsent = lock(&self.unsent);
        if unsent.is_empty() {
            unsent.extend(Message::default().number(BEAT).framed());
        }
        let _ = self.flush(&mut unsent);
    }

    fn flush(&self, unsent: &mut VecDeque<u8>) -> io::Result<()> {
        while !unsent.is_empty() {
            let n = (&self.stream).write(unsent.as_slices().0)?;
            unsent.drain(..n);
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Shared {
    own: usize,
    peers: Vec<Peer>,
    timeout: Duration,
    /// To all others on rank 0, else to rank 0.
    controls: Vec<Control>,
    failure: Mutex<Option<Failure>>,
    failed: Condvar,
    /// The connections to shut down at a failure.
    data: Mutex<Vec<TcpStream>>,
    finishing: AtomicBool,
}

/// The watch of one process. Dropping it ends the thread and closes the control connections.
pub(crate) struct Monitor {
    shared: Arc<Shared>,
    wake: UnixStream,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Monitor {
    /// Watches over `controls`, each with the rank at its other end.
    pub(crate) fn start(
        own: usize,
        peers: Vec<Peer>,
        timeout: Duration,
        controls: Vec<(usize, TcpStream)>,
    ) -> io::Result<Self> {
        let controls: Vec<Control> = controls
            .into_iter()
            .map(|(rank, stream)| {
                stream.set_nonblocking(true)?;
                Ok(Control {
                    rank,
                    stream,
                    unsent: Mutex::default(),
                })
            })
            .collect::<io::Result<_>>()?;
        let (wake, woken) = UnixStream::pair()?;
        let shared = Arc::new(Shared {
            own,
            peers,
            timeout,
            controls,
            failure: Mutex::default(),
            failed: Condvar::new(),
            data: Mutex::default(),
            finishing: AtomicBool::new(false),
        });
        let thread = thread::Builder::new()
            .name("ranks-monitor".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || watch(&shared, &woken)
            })?;
        Ok(Self {
            shared,
            wake,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(crate) fn peers(&self) -> &[Peer] {
        &self.shared.peers
    }

    /// A connection to shut down when the job fails.
    pub(crate) fn guard(&self, stream: &TcpStream) -> io::Result<()> {
        let stream = stream.try_clone()?;
        // Taken before the failure is looked at, which `fail` sets before it takes them.
        let mut data = lock(&self.shared.data);
        if self.failure().is_some() {
            stream.shutdown(Shutdown::Both)?;
        }
        data.push(stream);
        Ok(())
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        lock(&self.shared.failure).clone()
    }

    /// Ends the job for all ranks, and returns the failure that counts: this or an earlier one.
    pub(crate) fn fail(&self, failure: Failure) -> Failure {
        self.shared.fail(failure, true)
    }

    /// [`fail`](Self::fail) for a connection that broke. If the other side ended because of a
    /// third one, the news of that comes within a moment and counts.
    pub(crate) fn broken(&self, rank: usize, cause: Cause) -> Failure {
        let failure = lock(&self.shared.failure);
        let (failure, _) = self
            .shared
            .failed
            .wait_timeout_while(failure, GRACE, |failure| failure.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        drop(failure);
        self.fail(Failure {
            rank,
            seen_by: self.shared.own,
            cause,
            limit: self.shared.timeout,
        })
    }

    /// Tells the others that this rank ends and needs them no more, and waits until all did.
    pub(crate) fn finish(&self) {
        self.shared.finishing.store(true, Ordering::SeqCst);
        for control in &self.shared.controls {
            control.send(&Message::default().number(FAREWELL_SAID));
        }
        self.join();
    }

    pub(crate) fn finished(&self) -> bool {
        self.shared.finishing.load(Ordering::SeqCst)
    }

    /// The error of a failure, with what this rank was doing.
    pub(crate) fn error(&self, failure: &Failure, during: &str) -> RankError {
        failure.error(&self.shared.peers, during)
    }

    fn join(&self) {
        // The thread looks at the flags whenever something can be read.
        let _ = (&self.wake).write(&[0]);
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.wake.shutdown(Shutdown::Both);
        self.join();
    }
}

impl Shared {
    /// Records the failure if it is the first, and passes it on if nobody else does.
    fn fail(&self, failure: Failure, first_hand: bool) -> Failure {
        let mut first = lock(&self.failure);
        if let Some(first) = &*first {
            return first.clone();
        }
        *first = Some(failure.clone());
        if first_hand || self.own == 0 {
            let message = failure.write(Message::default().number(FAILURE));
            for control in &self.controls {
                control.send(&message);
            }
        }
        drop(first);
        for stream in lock(&self.data).iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.failed.notify_all();
        failure
    }

    fn fail_about(&self, rank: usize, cause: Cause) {
        let failure = Failure {
            rank,
            seen_by: self.own,
            cause,
            limit: self.timeout,
        };
        self.fail(failure, true);
    }
}

/// What the thread knows about one control connection.
struct Inbox {
    received: Vec<u8>,
    last_sign: Instant,
    /// The rank needs nothing more.
    said_farewell: bool,
    /// Nothing more comes.
    ended: bool,
}

fn watch(shared: &Shared, woken: &UnixStream) {
    let interval = (shared.timeout / 6).clamp(Duration::from_millis(10), Duration::from_secs(1));
    let now = Instant::now();
    let mut lines: Vec<Inbox> = shared
        .controls
        .iter()
        .map(|_| Inbox {
            received: Vec::new(),
            last_sign: now,
            said_farewell: false,
            ended: false,
        })
        .collect();
    let (mut next_beat, mut last_turn, mut leave_at) = (now, now, None);
    loop {
        let now = Instant::now();
        // After a pause of this whole process the silence of others is its own.
        if now.duration_since(last_turn) > shared.timeout / 2 {
            lines.iter_mut().for_each(|line| line.last_sign = now);
        }
        last_turn = now;
        if now >= next_beat {
            shared.controls.iter().for_each(Control::beat);
            next_beat = now + interval;
        }
        for (control, line) in shared.controls.iter().zip(&mut lines) {
            listen(shared, control, line);
        }
        let finishing = shared.finishing.load(Ordering::SeqCst);
        if finishing {
            let leave_at = *leave_at.get_or_insert(now + FAREWELL.min(shared.timeout));
            let done = lines.iter().all(|line| line.said_farewell || line.ended);
            if done || now >= leave_at {
                return;
            }
        }
        let mut until = next_beat;
        for (control, line) in shared.controls.iter().zip(&lines) {
            if line.said_farewell || line.ended || finishing {
                continue;
            }
            let silent_at = line.last_sign + shared.timeout;
            if now >= silent_at {
                shared.fail_about(control.rank, Cause::Silent);
            } else {
                until = until.min(silent_at);
            }
        }
        if !wait(shared, woken, &lines, until.saturating_duration_since(now)) {
            return;
        }
    }
}

/// Reads what came from a rank, and acts on it.
fn listen(shared: &Shared, control: &Control, line: &mut Inbox) {
    let mut buffer = [0; 4096];
    while !line.ended {
        match (&control.stream).read(&mut buffer) {
            Ok(0) => line.ended = true,
            Ok(n) => {
                line.received.extend(&buffer[..n]);
                line.last_sign = Instant::now();
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => line.ended = true,
        }
    }
    while let Some(message) = next_message(&mut line.received) {
        let mut fields = Fields(&message);
        match fields.number() {
            Some(FAREWELL_SAID) => line.said_farewell = true,
            Some(FAILURE) => {
                if let Some(failure) = Failure::read(&mut fields, shared.peers.len()) {
                    shared.fail(failure, false);
                }
            }
            _ => {}
        }
    }
    let finishing = shared.finishing.load(Ordering::SeqCst);
    if line.ended && !line.said_farewell && !finishing {
        shared.fail_about(control.rank, Cause::Closed);
    }
}

/// Takes the first whole message out of the bytes.
fn next_message(received: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = u32::from_le_bytes(*received.first_chunk::<4>()?) as usize;
    let message = received.get(4..4 + length)?.to_vec();
    received.drain(..4 + length);
    Some(message)
}

/// Waits for news or the end of the time; false if the watch is to end.
fn wait(shared: &Shared, woken: &UnixStream, lines: &[Inbox], time: Duration) -> bool {
    let mut polled: Vec<PollFd> = vec![PollFd::new(woken, PollFlags::IN)];
    for (control, line) in shared.controls.iter().zip(lines) {
        if !line.ended {
            polled.push(PollFd::new(&control.stream, PollFlags::IN));
        }
    }
    // An interrupted wait is a short one.
    let _ = poll(&mut polled, Timespec::try_from(time).ok().as_ref());
    if polled[0].revents().is_empty() {
        return true;
    }
    let mut byte = [0];
    matches!((&*woken).read(&mut byte), Ok(1..))
}
