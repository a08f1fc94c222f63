//! `dvs-train devices`: lists the devices to compute on.

use anyhow::Result;

use crate::cli::DevicesArgs;
use crate::console::print;
use crate::device;

/// Lists the devices as `args` ask.
///
/// # Errors
/// Returns an error if standard output cannot be written.
pub fn run(args: &DevicesArgs) -> Result<()> {
    let list = device::list();
    print(&match args.json {
        true => format!("{}\n", serde_json::to_string(&list)?),
        false => list.to_string(),
    })
}
