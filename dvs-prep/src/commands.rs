//! The commands, one file each.

pub mod export;
pub mod key;
pub mod prepare;
mod stale_files;
pub mod verify;
pub mod view;

pub use self::stale_files::clear_up_unlocked;
