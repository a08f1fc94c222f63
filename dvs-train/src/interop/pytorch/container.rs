//! Finds the pickle and the storages in a `.pth`.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::Cursor;

use anyhow::{Context, Result, bail, ensure};
use dvs_shared::limited_reader::LimitedReader;
use zip::{CompressionMethod, ZipArchive};

use super::pickle::{Node, Pickle};
use super::{Kind, Storage};

/// Maximum bytes read of a zip archive's directory, which is held in memory; a checkpoint's takes a
/// few thousand.
const MAX_DIRECTORY: u64 = 4 << 20;
/// The integer at the start of files of torch before 1.6, as Python's pickle encodes it.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// A file's pickle and storages.
#[derive(Debug)]
pub struct Container<'a> {
    /// The value that was saved.
    pub pickle: Pickle<'a>,
    storages: HashMap<String, &'a [u8]>,
}

impl<'a> Container<'a> {
    /// Opens a file.
    ///
    /// # Errors
    /// Returns an error if the file is not torch's, or is damaged.
    pub fn open(bytes: &'a [u8]) -> Result<Self> {
        if bytes.starts_with(b"PK") {
            return open_zip(bytes);
        }
        if bytes.first() == Some(&0x80) {
            return open_legacy(bytes);
        }
        bail!(
            "it is not a file of torch.save: it begins neither as a zip archive nor as a pickle; a checkpoint of this \
             program needs no import"
        )
    }

    /// The bytes of a storage with numbers of this kind.
    ///
    /// # Errors
    /// Returns an error if there is no such storage, or its length does not fit the kind.
    pub fn storage(&self, key: &str, kind: Kind) -> Result<&'a [u8]> {
        let bytes = self.storages.get(key);
        let bytes = bytes.with_context(|| format!("its storage {key:?} is not in the file"))?;
        ensure!(
            bytes.len() % kind.bytes() == 0,
            "its storage {key:?} has {} bytes, which is not a whole number of {}-byte numbers",
            bytes.len(),
            kind.bytes()
        );
        Ok(bytes)
    }
}

fn open_zip(bytes: &[u8]) -> Result<Container<'_>> {
    let allowed = Cell::new(MAX_DIRECTORY);
    let rationed = LimitedReader {
        inner: Cursor::new(bytes),
        allowed: &allowed,
    };
    let archive = ZipArchive::new(rationed);
    ensure!(
        allowed.get() > 0,
        "its zip directory is not found within {MAX_DIRECTORY} bytes: it is cut off, or no file of torch.save"
    );
    let mut archive = archive.context("it is not a whole zip archive: cut off or damaged")?;
    allowed.set(u64::MAX);
    let mut entries = HashMap::new();
    let mut claimed = 0;
    for i in 0..archive.len() {
        let entry = archive.by_index_raw(i)?;
        let name = entry
            .name()
            .context("an entry of its zip archive has no name")?
            .into_owned();
        ensure!(
            entry.compression() == CompressionMethod::Stored,
            "its entry {name:?} is compressed, which torch.save never does; load and save it again in Python"
        );
        let (start, length) = (
            entry.data_start().unwrap_or(u64::MAX),
            entry.compressed_size(),
        );
        claimed += length.min(bytes.len() as u64);
        let span = usize::try_from(start)
            .ok()
            .zip(usize::try_from(length).ok());
        let content = span.and_then(|(start, length)| bytes.get(start..start.checked_add(length)?));
        // Overlapping entries would be checksummed again and again.
        let content = content.filter(|_| claimed <= bytes.len() as u64);
        let content = content.with_context(|| {
            format!("its entry {name:?} claims {length} bytes, more than there are")
        })?;
        let (found, crc) = (crc32fast::hash(content), entry.crc32());
        ensure!(
            // 0 if torch was configured to skip it: torch.serialization.set_crc32_options.
            found == crc || crc == 0,
            "its entry {name:?} is damaged: it has the CRC-32 {found:08x} where {crc:08x} was written"
        );
        entries.insert(name, content);
    }
    let top = entries.keys().filter_map(|name| {
        let top = name.strip_suffix("data.pkl")?;
        (top.is_empty() || top.ends_with('/')).then(|| top.to_owned())
    });
    let top = top.min_by_key(String::len);
    let top = top.context("it is a zip archive without data.pkl, so not one of torch.save")?;
    let order = entries.get(&format!("{top}byteorder"));
    ensure!(
        order.is_none_or(|order| order.trim_ascii() == b"little"),
        "it was written on a big-endian machine; load and save it again on another one"
    );
    let pickle = Pickle::read(
        entries
            .get(&format!("{top}data.pkl"))
            .copied()
            .unwrap_or_default(),
    )?;
    let folder = format!("{top}data/");
    let storages = entries.into_iter();
    let storages = storages
        .filter_map(|(name, content)| Some((name.strip_prefix(&folder)?.to_owned(), content)));
    Ok(Container {
        storages: storages.collect(),
        pickle,
    })
}

/// Opens the earlier format: a pickle each of a magic integer, a version, facts about the machine,
/// the value and the storages' keys; then each storage, preceded by its count of numbers.
fn open_legacy(bytes: &[u8]) -> Result<Container<'_>> {
    let mut rest = bytes;
    let mut next = |what: &str| -> Result<Pickle<'_>> {
        let pickle = Pickle::read(rest).with_context(|| format!("cannot read {what}"));
        let pickle = pickle?;
        rest = &rest[pickle.length..];
        Ok(pickle)
    };
    let magic = next("what it begins with")?;
    ensure!(
        matches!(magic.node(magic.root), Node::Long(bytes) if *bytes == MAGIC),
        "it is a pickle, but not one of torch.save"
    );
    let version = next("its version")?;
    let version = version.int(version.root);
    ensure!(
        version == Some(1001),
        "it has the version {version:?} of torch's earlier format, where 1001 is read"
    );
    let machine = next("what it says of its machine")?;
    let little = machine.get(machine.root, "little_endian");
    ensure!(
        little.is_none_or(|id| *machine.node(id) != Node::Bool(false)),
        "it was written on a big-endian machine; load and save it again on another one"
    );
    let pickle = next("its content")?;
    let keys = next("the keys of its storages")?;
    let mut kinds = HashMap::new();
    for node in pickle.nodes() {
        if let Node::Persistent(id) = node {
            let storage = Storage::of(&pickle, *id)?;
            kinds.insert(storage.key, storage.kind);
        }
    }
    let mut storages = HashMap::new();
    for id in keys
        .items(keys.root)
        .context("the keys of its storages are no list")?
    {
        let key = keys.text(*id).context("a storage's key is not text")?;
        let kind = kinds.get(key);
        let kind = kind.with_context(|| format!("nothing says what its storage {key:?} holds"))?;
        let head = rest.split_first_chunk();
        let (count, after) = head.with_context(|| format!("it ends before its storage {key:?}"))?;
        let count = u64::from_le_bytes(*count);
        let length = usize::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(kind.bytes()));
        let content = length.and_then(|length| after.split_at_checked(length));
        let (content, after) = content.with_context(|| {
            format!(
                "its storage {key:?} claims {count} numbers, but {} bytes are left",
                after.len()
            )
        })?;
        rest = after;
        storages.insert(key.to_owned(), content);
    }
    Ok(Container { pickle, storages })
}
