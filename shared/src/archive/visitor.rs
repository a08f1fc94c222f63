//! Who reads the members, and what they are given.

use std::io::{self, Read};
use std::path::PathBuf;

use super::Member;

/// A member as it comes.
pub struct Entry<'a> {
    /// What it is.
    pub member: Member,
    /// Bytes it claims to have.
    pub size: u64,
    /// How to get them.
    pub content: Content<'a>,
}

/// The bytes of a member: in the stream now, or in a file that any thread may read.
pub enum Content<'a> {
    /// To be read before the next member.
    Stream(&'a mut dyn Read),
    /// A file of the extracted folder.
    File(PathBuf),
}

/// Who reads the members.
pub trait Visitor {
    /// Reads the next member, as far as it is wanted.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn member(&mut self, entry: Entry<'_>) -> io::Result<()>;

    /// Is told why a member cannot be read where the others still can, as in a `.zip` or a folder.
    ///
    /// # Errors
    /// Where the others are not wanted then.
    fn damaged(&mut self, member: Member, error: io::Error) -> io::Result<()>;
}

/// A visitor that stops at the first member that cannot be read.
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

/// A visitor that notes which member is being read, for messages.
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

/// Passes on all members but the names of the classes, where others were given.
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

/// Passes on all members, and notes whether the names of the classes were among them.
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
