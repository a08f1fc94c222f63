//! Properties that the readers of checkpoints and `.pth` files must have for any bytes. The
//! property tests and the fuzz targets share them.

#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use dvs_train::fuzzing;

/// Reads the bytes as a checkpoint. Returns whether the reader accepts them.
pub fn checkpoint(bytes: &[u8]) -> bool {
    accepts(bytes, fuzzing::checkpoint)
}

/// Reads the bytes as a `.pth`. Returns whether the reader accepts them.
pub fn pth(bytes: &[u8]) -> bool {
    accepts(bytes, fuzzing::pth)
}

/// Returns whether `read` accepts the bytes. If so, it must accept the bytes that it writes, and
/// write them again unchanged.
fn accepts<E: std::fmt::Debug>(bytes: &[u8], read: impl Fn(&[u8]) -> Result<Vec<u8>, E>) -> bool {
    let Ok(once) = read(bytes) else {
        return false;
    };
    let again = read(&once);
    assert!(again.unwrap() == once, "it is not what was read");
    true
}
