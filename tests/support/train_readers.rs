//! The readers of networks' files, with what must hold whatever the bytes are. The property tests and the fuzz targets share
//! these.

#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use dvs_train::fuzzing;

/// A checkpoint: what is accepted is written, and read again, as the same.
pub fn checkpoint(bytes: &[u8]) -> bool {
    settles(bytes, fuzzing::checkpoint)
}

/// A `.pth`: likewise.
pub fn pth(bytes: &[u8]) -> bool {
    settles(bytes, fuzzing::pth)
}

/// Whether `read` accepts the bytes; if it does, it must accept what it makes of them, and change it no more.
fn settles<E: std::fmt::Debug>(bytes: &[u8], read: impl Fn(&[u8]) -> Result<Vec<u8>, E>) -> bool {
    let Ok(once) = read(bytes) else {
        return false;
    };
    let again = read(&once);
    assert!(again.unwrap() == once, "it is not what was read");
    true
}
