//! Plots of a run, with an embedded font so that they look the same on every machine.

pub mod confusion;
pub mod curves;
pub mod panels;

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use dvs_shared::view::plot_font;
use plotters::prelude::*;

/// Returns a text style of the built-in font.
pub fn font(size: u32) -> TextStyle<'static> {
    (plot_font(), size).into_font().color(&RGBColor(40, 40, 40))
}

/// Draws an image of `size` pixels to `path` with `draw`.
///
/// # Errors
/// Returns an error if the file cannot be written.
pub fn picture(
    path: &Path,
    size: (u32, u32),
    draw: impl FnOnce(&DrawingArea<BitMapBackend<'_>, plotters::coord::Shift>) -> Result<()>,
) -> Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        bail!(
            "cannot draw {}: there is no folder {}",
            path.display(),
            folder.display()
        );
    }
    let cannot = |error: anyhow::Error| error.context(format!("cannot draw {}", path.display()));
    let area = BitMapBackend::new(path, size).into_drawing_area();
    area.fill(&WHITE).map_err(|e| cannot(broken(e)))?;
    draw(&area).map_err(cannot)?;
    area.present().map_err(|e| cannot(broken(e)))
}

/// Converts an error of plotters, because its errors are not `'static`.
pub fn broken(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("{error}")
}
