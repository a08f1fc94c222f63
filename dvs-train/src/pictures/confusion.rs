//! Which gesture was taken for which, as a map: the darker, the larger the share of a gesture's samples.

use std::path::Path;

use anyhow::Result;
use dvs_shared::labels::{CLASSES, LABEL_NAMES};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{broken, font, picture};
use crate::confusion::Confusion;

/// Pixels of a cell, and the place of the map.
const CELL: i32 = 70;
const LEFT: i32 = 330;
const TOP: i32 = 90;
/// Room for the names below and the recall at the right.
const BELOW: i32 = 300;
const RIGHT: i32 = 120;
const SIDE: i32 = CELL * CLASSES as i32;
/// Colour of a cell that holds every sample of its row.
const FULL: (f64, f64, f64) = (8.0, 48.0, 107.0);

/// Draws the matrix at `path`.
///
/// # Errors
/// Where the file cannot be written.
pub fn draw(path: &Path, confusion: &Confusion) -> Result<()> {
    let size = ((LEFT + SIDE + RIGHT) as u32, (TOP + SIDE + BELOW) as u32);
    picture(path, size, |area| {
        let text = |text: &str, at: (i32, i32), style: TextStyle<'_>| {
            area.draw(&Text::new(text.to_owned(), at, style))
                .map_err(broken)
        };
        let pos = |h, v| Pos::new(h, v);
        let title = font(28).pos(pos(HPos::Center, VPos::Center));
        text(
            "test samples by gesture (row) and what they were taken for (column)",
            (LEFT + SIDE / 2, 30),
            title,
        )?;
        let recall_at = LEFT + SIDE + 60;
        let heading = font(22).pos(pos(HPos::Center, VPos::Center));
        text("recall", (recall_at, TOP - 22), heading.clone())?;
        for (i, (name, row)) in LABEL_NAMES.iter().zip(&confusion.counts).enumerate() {
            let middle = i as i32 * CELL + CELL / 2;
            let label = font(22).pos(pos(HPos::Right, VPos::Center));
            text(name, (LEFT - 12, TOP + middle), label)?;
            let below = font(22)
                .transform(FontTransform::Rotate90)
                .pos(pos(HPos::Left, VPos::Center));
            text(name, (LEFT + middle, TOP + SIDE + 12), below)?;
            let recall = confusion.recall(i);
            let recall = recall.map_or("-".to_owned(), |share| format!("{:.1} %", 100.0 * share));
            text(&recall, (recall_at, TOP + middle), heading.clone())?;
            let samples = row.iter().sum::<u64>().max(1);
            for (j, &count) in row.iter().enumerate() {
                let (x, y) = (LEFT + j as i32 * CELL, TOP + i as i32 * CELL);
                let share = count as f64 / samples as f64;
                let cell = [(x, y), (x + CELL, y + CELL)];
                area.draw(&Rectangle::new(cell, shade(share).filled()))
                    .map_err(broken)?;
                let edge = RGBColor(210, 210, 210).stroke_width(1);
                area.draw(&Rectangle::new(cell, edge)).map_err(broken)?;
                if count > 0 {
                    let colour = if share > 0.5 {
                        WHITE
                    } else {
                        RGBColor(40, 40, 40)
                    };
                    let number = font(24).color(&colour).pos(pos(HPos::Center, VPos::Center));
                    text(&count.to_string(), (x + CELL / 2, y + CELL / 2), number)?;
                }
            }
        }
        Ok(())
    })
}

/// From white to [`FULL`].
fn shade(share: f64) -> RGBColor {
    let mix = |full: f64| (255.0 + (full - 255.0) * share) as u8;
    RGBColor(mix(FULL.0), mix(FULL.1), mix(FULL.2))
}
