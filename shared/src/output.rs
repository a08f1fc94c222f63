//! Files and folders that appear under their final name only once they are whole, and the lock that keeps two runs from
//! making the same one.

mod atomic_file;
mod atomic_folder;
mod lock;
pub mod temporary;

pub use self::atomic_file::{AtomicFile, folder_of, remove_abandoned, unfinished_of};
pub use self::atomic_folder::AtomicFolder;
pub use self::lock::{LockError, OutputLock};
