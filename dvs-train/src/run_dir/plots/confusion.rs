//! A plot of the confusion matrix. A cell is darker if its share of the class's samples is larger.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{broken, font, picture};
use crate::metrics::confusion::Confusion;

/// Largest side of a cell and of the matrix in pixels.
const CELL: i32 = 70;
const MOST: i32 = 1800;
/// Smallest cells with room for names beside them, and for numbers in them.
const NAMED: i32 = 24;
const NUMBERED: i32 = 40;
/// Maximum number of characters of a name.
const MOST_CHARACTERS: usize = 27;
/// Pixels above the matrix.
const TOP: i32 = 90;
/// Pixels to the left and below for names, and to the right for the recall.
const LEFT: i32 = 330;
const BELOW: i32 = 300;
const RIGHT: i32 = 120;
/// Pixels on these sides if there are too many classes for names.
const MARGIN: i32 = 90;
/// Minimum width in pixels, for the title.
const LEAST_WIDTH: i32 = 760;
/// Colour of a cell with every sample of its row.
const FULL: (f64, f64, f64) = (8.0, 48.0, 107.0);

/// Draws the matrix to `path`.
///
/// # Errors
/// Returns an error if the file cannot be written.
pub fn draw(path: &Path, confusion: &Confusion, names: &[String]) -> Result<()> {
    let classes = confusion.counts.len() as i32;
    let cell_side = CELL.min(MOST / classes.max(1));
    let side = cell_side * classes;
    let named = cell_side >= NAMED;
    let (left, below, right) = match named {
        true => (LEFT, BELOW, RIGHT),
        false => (MARGIN, MARGIN, MARGIN),
    };
    let width = (left + side + right).max(LEAST_WIDTH);
    picture(path, (width as u32, (TOP + side + below) as u32), |area| {
        let text = |text: &str, at: (i32, i32), style: TextStyle<'_>| {
            area.draw(&Text::new(text.to_owned(), at, style))
                .map_err(broken)
        };
        let pos = |h, v| Pos::new(h, v);
        let title = font(28).pos(pos(HPos::Center, VPos::Center));
        text(
            "test samples by class (row) and what they were taken for (column)",
            (width / 2, 30),
            title,
        )?;
        let recall_at = left + side + 60;
        let heading = font(22).pos(pos(HPos::Center, VPos::Center));
        if named {
            text("recall", (recall_at, TOP - 22), heading.clone())?;
        }
        for (i, (name, row)) in names.iter().zip(&confusion.counts).enumerate() {
            let middle = i as i32 * cell_side + cell_side / 2;
            let beside = font(22).pos(pos(HPos::Right, VPos::Center));
            let beneath = font(22)
                .transform(FontTransform::Rotate90)
                .pos(pos(HPos::Left, VPos::Center));
            let label = match named {
                true => shortened(name),
                // Names would overlap, but every tenth number does not.
                false if i % 10 == 0 => i.to_string(),
                false => String::new(),
            };
            text(&label, (left - 12, TOP + middle), beside)?;
            text(&label, (left + middle, TOP + side + 12), beneath)?;
            if named {
                let recall = confusion.recall(i);
                let recall =
                    recall.map_or("-".to_owned(), |share| format!("{:.1} %", 100.0 * share));
                text(&recall, (recall_at, TOP + middle), heading.clone())?;
            }
            let samples = row.iter().sum::<u64>().max(1);
            for (j, &count) in row.iter().enumerate() {
                let (x, y) = (left + j as i32 * cell_side, TOP + i as i32 * cell_side);
                let share = count as f64 / samples as f64;
                let cell = [(x, y), (x + cell_side, y + cell_side)];
                area.draw(&Rectangle::new(cell, shade(share).filled()))
                    .map_err(broken)?;
                let edge = RGBColor(210, 210, 210).stroke_width(1);
                area.draw(&Rectangle::new(cell, edge)).map_err(broken)?;
                if count > 0 && cell_side >= NUMBERED {
                    let colour = if share > 0.5 {
                        WHITE
                    } else {
                        RGBColor(40, 40, 40)
                    };
                    let number = font(24).color(&colour).pos(pos(HPos::Center, VPos::Center));
                    text(
                        &count.to_string(),
                        (x + cell_side / 2, y + cell_side / 2),
                        number,
                    )?;
                }
            }
        }
        Ok(())
    })
}

/// Shortens a name to [`MOST_CHARACTERS`].
fn shortened(name: &str) -> String {
    if name.chars().count() <= MOST_CHARACTERS {
        return name.to_owned();
    }
    let start: String = name.chars().take(MOST_CHARACTERS - 3).collect();
    format!("{}...", start.trim_end())
}

/// Returns a colour between white and [`FULL`].
fn shade(share: f64) -> RGBColor {
    let mix = |full: f64| (255.0 + (full - 255.0) * share) as u8;
    RGBColor(mix(FULL.0), mix(FULL.1), mix(FULL.2))
}
