//! The interface between an archive and its readers.

use std::io::{self, Read};
use std::path::PathBuf;

use super::Member;

/// A member of the archive.
pub struct Entry<'a> {
    pub member: Member,
    /// Size in bytes according to the container.
    pub size: u64,
    pub content: Content<'a>,
}

/// The bytes of a member: in the stream, or in a file that any thread may read.
pub enum Content<'a> {
    /// A stream to read before the next member.
    Stream(&'a mut dyn Read),
    /// A file of the extracted folder.
    File(PathBuf),
}

/// A reader of the members.
pub trait Visitor {
    /// Reads as much of the next member as it needs.
    ///
    /// # Errors
    /// Returns an error if the member cannot be read.
    fn member(&mut self, entry: Entry<'_>) -> io::Result<()>;

    /// Called if a member cannot be read but the others still can, as in a `.zip` or a folder.
    ///
    /// # Errors
    /// Returns an error if the visit should stop.
    fn damaged(&mut self, member: Member, error: io::Error) -> io::Result<()>;
}

/// A visitor that stops at the first unreadable member.
pub(super) struct Strict<'a>(pub &'a mut dyn FnMut(Entry<'_>) -> io::Result<()>);

impl Visitor for Strict<'_> {
    fn member(&mut self, entry: Entry<'_>) -> io::Result<()> {
        (self.0)(entry)
    }

    fn damaged(&mut self, member: Member, error: io::Error) -> io::Result<()> {
        Err(io::Error::new(
            error.kind(),
            format!("{}: {error}", member.file_name()),
        ))
    }
}

/// A visitor that records the current member for messages.
pub(super) struct Named<'a> {
    pub current: String,
    pub visitor: &'a mut dyn Visitor,
}

impl Visitor for Named<'_> {
    fn member(&mut self, entry: Entry<'_>) -> io::Result<()> {
        self.current = entry.member.file_name();
        self.visitor.member(entry)
    }

    fn damaged(&mut self, member: Member, error: io::Error) -> io::Result<()> {
        self.visitor.damaged(member, error)
    }
}

/// Skips the class names of the input, because the user supplied others.
pub(super) struct WithoutMapping<'a>(pub &'a mut dyn Visitor);

impl Visitor for WithoutMapping<'_> {
    fn member(&mut self, entry: Entry<'_>) -> io::Result<()> {
        match entry.member {
            Member::Mapping => Ok(()),
            _ => self.0.member(entry),
        }
    }

    fn damaged(&mut self, member: Member, error: io::Error) -> io::Result<()> {
        match member {
            Member::Mapping => Ok(()),
            _ => self.0.damaged(member, error),
        }
    }
}

/// Passes on all members and records whether class names were among them.
pub(super) struct NotesMapping<'a> {
    pub visitor: &'a mut dyn Visitor,
    pub mapping: bool,
}

impl Visitor for NotesMapping<'_> {
    fn member(&mut self, entry: Entry<'_>) -> io::Result<()> {
        self.mapping |= entry.member == Member::Mapping;
        self.visitor.member(entry)
    }

    fn damaged(&mut self, member: Member, error: io::Error) -> io::Result<()> {
        self.visitor.damaged(member, error)
    }
}
