//! How two processes show each other that they belong to the same job.
//!
//! The listener sends magic bytes, its protocol version and a challenge. The caller sends the
//! same and a proof over both challenges. The listener answers with a verdict and a proof of its
//! own. Only then does the caller say who it is. The token itself never travels. What follows is
//! neither encrypted nor signed.

use std::io;
use std::net::TcpStream;

use crate::token::{PROOF_BYTES, Token};
use crate::wire::{Deadline, Fields, Message, read_exact, read_message, write_all, write_message};

/// Changes with everything that ranks send each other.
const VERSION: u8 = 1;
const MAGIC: &[u8; 8] = b"dvsranks";
/// Magic, version and challenge.
const GREETING_BYTES: usize = 8 + 1 + PROOF_BYTES;

const CALLER: &[u8] = b"caller";
const LISTENER: &[u8] = b"listener";

const ACCEPTED: u8 = 1;
const WRONG_TOKEN: u8 = 2;

/// Why a connection was not taken up.
#[derive(Debug)]
pub(crate) enum Stranger {
    /// It failed or was cut; another attempt may succeed.
    Io(io::Error),
    /// The other side is something else, and stays so.
    Other(String),
}

impl From<io::Error> for Stranger {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) rank: usize,
    pub(crate) size: usize,
    pub(crate) host: String,
    pub(crate) process: u32,
    /// Port at which it listens for other ranks, on the address from which it connects.
    pub(crate) port: u16,
}

impl Hello {
    fn message(&self) -> Message {
        Message::default()
            .number(self.rank as u64)
            .number(self.size as u64)
            .text(&self.host)
            .number(u64::from(self.process))
            .number(u64::from(self.port))
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        Some(Self {
            rank: fields.index()?,
            size: fields.index()?,
            host: fields.text()?,
            process: fields.number()?.try_into().ok()?,
            port: fields.number()?.try_into().ok()?,
        })
    }
}

/// Random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

fn greeting() -> io::Result<[u8; GREETING_BYTES]> {
    let mut greeting = [0; GREETING_BYTES];
    greeting[..8].copy_from_slice(MAGIC);
    greeting[8] = VERSION;
    greeting[9..].copy_from_slice(&random::<PROOF_BYTES>()?);
    Ok(greeting)
}

/// Reads a greeting, and says what it is if it is not one of this version.
fn read_greeting(stream: &TcpStream, deadline: Deadline) -> Result<[u8; GREETING_BYTES], Stranger> {
    let mut greeting = [0; GREETING_BYTES];
    // Nothing that speaks another protocol is waited for.
    read_exact(stream, &mut greeting[..8], deadline)?;
    if &greeting[..8] != MAGIC {
        return Err(Stranger::Other("it speaks another protocol".to_owned()));
    }
    read_exact(stream, &mut greeting[8..], deadline)?;
    match greeting[8] {
        VERSION => Ok(greeting),
        other => Err(Stranger::Other(format!(
            "it speaks protocol version {other}, this program version {VERSION}; use the same \
             version on all hosts"
        ))),
    }
}

/// Calls a listener and shows it the token.
pub(crate) fn call(
    stream: &TcpStream,
    token: &Token,
    hello: &Hello,
    deadline: Deadline,
) -> Result<(), Stranger> {
    let theirs = read_greeting(stream, deadline)?;
    let ours = greeting()?;
    let challenges: [&[u8]; 2] = [&ours, &theirs];
    let proof = token.proof(CALLER, challenges);
    write_all(stream, &[ours.as_slice(), &proof].concat(), deadline)?;
    let mut verdict = [0; 1 + PROOF_BYTES];
    read_exact(stream, &mut verdict[..1], deadline)?;
    if verdict[0] == WRONG_TOKEN {
        return Err(Stranger::Other(
            "the token is another one. Another job may use this address: set MASTER_PORT to a \
             free port. Or DVS_RANKS_TOKEN differs between ranks"
                .to_owned(),
        ));
    }
    read_exact(stream, &mut verdict[1..], deadline)?;
    if verdict[0] != ACCEPTED || !token.accepts(LISTENER, challenges, &verdict[1..]) {
        return Err(Stranger::Other(
            "it does not have the job's token".to_owned(),
        ));
    }
    Ok(write_message(stream, &hello.message(), deadline)?)
}

/// Answers a caller: who it is, if it has the token.
pub(crate) fn answer(
    stream: &TcpStream,
    token: &Token,
    deadline: Deadline,
) -> Result<Hello, Stranger> {
    let ours = greeting()?;
    write_all(stream, &ours, deadline)?;
    let theirs = read_greeting(stream, deadline)?;
    let mut proof = [0; PROOF_BYTES];
    read_exact(stream, &mut proof, deadline)?;
    let challenges: [&[u8]; 2] = [&theirs, &ours];
    if !token.accepts(CALLER, challenges, &proof) {
        write_all(stream, &[WRONG_TOKEN], deadline)?;
        return Err(Stranger::Other("it has another token".to_owned()));
    }
    let proof = token.proof(LISTENER, challenges);
    write_all(stream, &[&[ACCEPTED], proof.as_slice()].concat(), deadline)?;
    let hello = read_message(stream, deadline)?;
    Hello::read(&hello).ok_or_else(|| Stranger::Other("it does not say who it is".to_owned()))
}
