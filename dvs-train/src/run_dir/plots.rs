//! Pictures of a run, drawn with a font of their own so that they look alike on every machine.

pub mod confusion;
pub mod curves;
pub mod panels;

use std::path::Path;
use std::sync::Once;

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

/// Name of the font.
const FONT: &str = "sans-serif";

/// A text style of the pictures' font.
pub fn font(size: u32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&RGBColor(40, 40, 40))
}

/// EpochTransforms a picture of `size` pixels at `path` with `draw`.
///
/// # Errors
/// Where the file cannot be written.
pub fn picture(
    path: &Path,
    size: (u32, u32),
    draw: impl FnOnce(&DrawingArea<BitMapBackend<'_>, plotters::coord::Shift>) -> Result<()>,
) -> Result<()> {
    static FONT_READY: Once = Once::new();
    FONT_READY.call_once(|| {
        // It is a valid font; were it none, the pictures would say so when text is drawn.
        let _ = register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT);
    });
    let cannot = |error: anyhow::Error| error.context(format!("cannot draw {}", path.display()));
    let area = BitMapBackend::new(path, size).into_drawing_area();
    area.fill(&WHITE).map_err(|e| cannot(broken(e)))?;
    draw(&area).map_err(cannot)?;
    area.present().map_err(|e| cannot(broken(e)))
}

/// The drawing library's errors do not live as long as an error must.
pub fn broken(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("{error}")
}
