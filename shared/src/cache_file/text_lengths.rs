//! Checks the claimed lengths of the text attributes of the root group, read from the bytes of the
//! file.
//!
//! The file stores a variable-length text as a length and a position. The HDF5 library allocates
//! the whole length before it looks at the position: up to 4 GiB for a file of any size. It has no
//! function to query the length, so this module walks the object header of the root group (HDF5
//! File Format Specification, IV.A.1.a and IV.A.2.m).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::cache_format::HDF5_SIGNATURE;

/// Maximum length of a text attribute of the root group, in bytes.
const MAX_TEXT: u32 = 1 << 16;
/// Maximum size in bytes of the root's object header, and of its number of pieces.
const MAX_HEADER: usize = 1 << 20;
const MAX_PIECES: usize = 64;

const VERSION: usize = 8;
/// Versions and sizes in a superblock of version 0 with 8-byte addresses and lengths, and the
/// offset of its base address.
const VERSIONS: [u8; 5] = [0, 0, 0, 0, 0];
const SIZES: [u8; 2] = [8, 8];
const BASE: usize = 24;
const ROOT_HEADER: usize = 64;
const SUPERBLOCK: usize = 96;
const PREFIX: usize = 16;

const ATTRIBUTE: u16 = 0x000c;
const CONTINUATION: u16 = 0x0010;
const SHARED: u8 = 2;
const VARIABLE_LENGTH: u8 = 9;
/// Bytes of a text's length, its heap address and its index there.
const TEXT_PLACE: u64 = 4 + 8 + 4;

/// Checks that every text attribute of the root group of `file` has an acceptable length.
///
/// # Errors
/// Returns an error that describes the fault if there is one.
pub(super) fn check(file: &File) -> Result<(), String> {
    // The library would also search further on, because other data may precede the superblock.
    let mut start = [0; HDF5_SIGNATURE.len()];
    let begins = file.read_exact_at(&mut start, 0).is_ok() && start == *HDF5_SIGNATURE;
    if !begins {
        return Err("it is not an HDF5 file: it does not begin with HDF5's signature".to_owned());
    }
    let superblock = bytes(file, 0, SUPERBLOCK)?;
    // Newer superblocks allow newer objects: more than eight attributes are stored in heaps and
    // trees.
    let version = superblock[VERSION];
    if version > 0 {
        return Err(format!(
            "its superblock is of version {version}, of HDF5's newer format; it must be of version 0, as dvs-prep, h5py and \
             h5repack write it unless told otherwise. `h5repack --low=0 OLD NEW` makes it so; or make it again with dvs-prep"
        ));
    }
    if superblock[8..13] != VERSIONS
        || superblock[13..15] != SIZES
        || number(&superblock, BASE, 8) != Some(0)
    {
        return Err("its superblock is not one that dvs-prep writes: it is damaged".to_owned());
    }
    let broken = || "the object header of its root group is broken".to_owned();
    let header = number(&superblock, ROOT_HEADER, 8).ok_or_else(broken)?;
    let prefix = bytes(file, header, PREFIX)?;
    if prefix[0] != 1 {
        return Err(
            "the object header of its root group is not of version 1, which dvs-prep writes"
                .to_owned(),
        );
    }
    let mut pieces = vec![(
        header + PREFIX as u64,
        number(&prefix, 8, 4).ok_or_else(broken)?,
    )];
    let mut next = 0;
    while let Some(&(at, length)) = pieces.get(next) {
        next += 1;
        let length = usize::try_from(length).ok().filter(|&l| l <= MAX_HEADER);
        let piece = bytes(file, at, length.ok_or_else(broken)?)?;
        let mut rest = piece.as_slice();
        while let (Some(kind), Some(size), Some(&flags)) =
            (number(rest, 0, 2), number(rest, 2, 2), rest.get(4))
        {
            let Some(message) = rest.get(8..8 + size as usize) else {
                return Err(broken());
            };
            rest = &rest[8 + size as usize..];
            match kind as u16 {
                CONTINUATION if pieces.len() < MAX_PIECES => {
                    let place = number(message, 0, 8).zip(number(message, 8, 8));
                    pieces.push(place.ok_or_else(broken)?);
                }
                CONTINUATION => return Err(broken()),
                ATTRIBUTE if flags & SHARED != 0 => return Err(broken()),
                ATTRIBUTE => {
                    if let Some(heap) = attribute(message).ok_or_else(broken)?? {
                        check_heap(file, heap)?;
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Checks the objects of the heap of texts at byte `at`: the library loops forever on an object of
/// size 0.
fn check_heap(file: &File, at: u64) -> Result<(), String> {
    let broken =
        || format!("the heap at byte {at}, which holds the text of an attribute, is broken");
    let length = number(&bytes(file, at, PREFIX)?, 8, 8).ok_or_else(broken)?;
    let length = usize::try_from(length).ok().filter(|&l| l <= MAX_HEADER);
    let heap = bytes(file, at, length.ok_or_else(broken)?)?;
    let mut rest = heap.get(PREFIX..).ok_or_else(broken)?;
    while let (Some(index), Some(size)) = (number(rest, 0, 2), number(rest, 8, 8)) {
        let size = usize::try_from(size).ok().filter(|&s| s <= rest.len());
        let size = size.ok_or_else(broken)?;
        // Index 0 is free space, whose size includes its header.
        let taken = match index {
            0 if size < PREFIX => return Err(broken()),
            0 => size,
            _ => PREFIX + size.next_multiple_of(8),
        };
        rest = rest.get(taken..).ok_or_else(broken)?;
    }
    Ok(())
}

/// Checks one attribute. Returns the position of its heap if it is a text, or `None` if the
/// attribute is invalid.
fn attribute(message: &[u8]) -> Option<Result<Option<u64>, String>> {
    let version = *message.first()?;
    let sizes = [2, 4, 6].map(|at| number(message, at, 2).unwrap_or(0) as usize);
    // Version 1 pads each part to 8 bytes; version 3 adds a byte for the name's encoding.
    let (start, pad) = match version {
        1 => (8, 8),
        2 => (8, 1),
        3 => (9, 1),
        _ => return None,
    };
    let [name_at, type_at, space_at, data_at] = {
        let [name, kind, space] = sizes.map(|size| size.next_multiple_of(pad));
        [
            start,
            start + name,
            start + name + kind,
            start + name + kind + space,
        ]
    };
    let name = String::from_utf8_lossy(message.get(name_at..name_at + sizes[0])?);
    let shared = version > 1 && *message.get(1)? != 0;
    if shared {
        return Some(Err(format!(
            "attribute {name:?} has a type of its own file object"
        )));
    }
    let kind = message.get(type_at..space_at)?;
    if kind.first()? & 0x0f != VARIABLE_LENGTH {
        return Some(Ok(None));
    }
    // The library allocates as many bytes as the type declares, but reads the size of a text's
    // place.
    if number(kind, 4, 4)? != TEXT_PLACE {
        return None;
    }
    let length = number(message, data_at, 4)?;
    // The library does not look up an empty text.
    if length == 0 {
        return Some(Ok(None));
    }
    Some(if length <= u64::from(MAX_TEXT) {
        Ok(Some(number(message, data_at + 4, 8)?))
    } else {
        let name = name.trim_end_matches('\0');
        Err(format!(
            "attribute `{}` claims a text of {length} bytes, beyond the limit of {MAX_TEXT}",
            name.escape_debug()
        ))
    })
}

fn bytes(file: &File, at: u64, length: usize) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; length];
    match file.read_exact_at(&mut bytes, at) {
        Ok(()) => Ok(bytes),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(format!(
            "it is cut off: it ends before byte {}, which belongs to it",
            at.saturating_add(length as u64)
        )),
        Err(e) => Err(format!("{length} bytes at byte {at}: {e}")),
    }
}

/// The little-endian number of `width` bytes at `at`.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let mut word = [0; 8];
    word[..width].copy_from_slice(bytes.get(at..at + width)?);
    Some(u64::from_le_bytes(word))
}
