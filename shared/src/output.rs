//! Files and folders that get their final name only when they are complete, and the lock that
//! prevents two runs from making the same output.

mod atomic_file;
mod atomic_folder;
mod lock;
pub mod temporary;

pub use self::atomic_file::{
    AtomicFile, folder_of, is_unfinished, remove_abandoned, unfinished_of, write_file,
    write_file_by,
};
pub use self::atomic_folder::AtomicFolder;
pub use self::lock::{LockError, OutputLock};
