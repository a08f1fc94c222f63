//! Plots over the epochs: loss, accuracy, learning rate and firing rates of a run, and what several
//! runs have in common.

use std::path::Path;

use anyhow::Result;
use dvs_shared::view::short_number;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::panels::{Line, MOST_LINES, Panel, panels};
use super::{broken, font, picture};
use crate::run_dir::epoch_log::Columns;

/// Colours for the colour-blind (Okabe and Ito's), enough for every layer.
const COLOURS: [RGBColor; MOST_LINES] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];

/// Width in pixels of the names of the curves.
const NAMES: i32 = 130;
/// Height in pixels of a name.
const NAME_HEIGHT: i32 = 28;
/// A curve marks each of its epochs with a point if it has at most this many.
const MARKED: usize = 40;
/// How much a band covers what is behind it.
const OPACITY: f64 = 0.17;

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// Draws the curves of a run to `path`.
///
/// # Errors
/// Returns an error if the file cannot be written.
pub fn draw(path: &Path, columns: &Columns) -> Result<()> {
    picture(path, (1500, 1000), |area| {
        let areas = area.margin(10, 10, 10, 10).split_evenly((2, 2));
        for (area, panel) in areas.iter().zip(&panels(columns)) {
            // The names are beside the curves, so that they hide no curve.
            let (width, _) = area.dim_in_pixel();
            let (area, names) = area.split_horizontally(width as i32 - NAMES);
            draw_panel(&area, panel)?;
            draw_names(&names, &panel.lines, 60)?;
        }
        Ok(())
    })
}

/// Draws two panels with the same lines to `path`, and the lines' names below both.
///
/// # Errors
/// Returns an error if the file cannot be written.
pub fn draw_pair(path: &Path, panels: &[Panel; 2]) -> Result<()> {
    const CURVES: i32 = 560;
    let lines = &panels[0].lines;
    let below = NAME_HEIGHT * lines.len() as i32 + 20;
    picture(path, (1500, (CURVES + below) as u32), |area| {
        let (curves, names) = area.split_vertically(CURVES);
        let areas = curves.margin(10, 0, 10, 10).split_evenly((1, 2));
        for (area, panel) in areas.iter().zip(panels) {
            draw_panel(area, panel)?;
        }
        draw_names(&names.margin(0, 0, 100, 10), lines, 4)
    })
}

fn draw_panel(area: &Area<'_>, panel: &Panel) -> Result<()> {
    let (first, last) = panel.epochs();
    let mut chart = ChartBuilder::on(area)
        .caption(panel.title, font(26))
        .margin(12)
        .x_label_area_size(46)
        .y_label_area_size(78)
        .build_cartesian_2d(first..last, 0.0..panel.top)
        .map_err(broken)?;
    chart
        .configure_mesh()
        .x_desc("epoch")
        .axis_desc_style(font(20))
        .label_style(font(18))
        .x_labels(10)
        .y_labels(6)
        .x_label_formatter(&|x| {
            if x.fract() == 0.0 {
                format!("{x}")
            } else {
                String::new()
            }
        })
        .y_label_formatter(&|y| short_number(*y))
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .draw()
        .map_err(broken)?;
    let coloured = || panel.lines.iter().zip(COLOURS.iter().cycle());
    // Bands are behind all curves, so that they hide none.
    for (line, colour) in coloured().filter(|(line, _)| !line.band.is_empty()) {
        let band = Polygon::new(line.outline(), colour.mix(OPACITY).filled());
        chart.draw_series([band]).map_err(broken)?;
    }
    for (line, colour) in coloured() {
        let points = || line.points.iter().copied();
        let curve = LineSeries::new(points(), colour.stroke_width(3));
        chart.draw_series(curve).map_err(broken)?;
        if line.points.len() <= MARKED {
            let marks = points().map(|at| Circle::new(at, 5, colour.filled()));
            chart.draw_series(marks).map_err(broken)?;
        }
    }
    Ok(())
}

/// Draws the lines' names and colours from `top` on.
fn draw_names(area: &Area<'_>, lines: &[Line], top: i32) -> Result<()> {
    for (place, (line, colour)) in (0..).zip(lines.iter().zip(COLOURS.iter().cycle())) {
        let y = top + NAME_HEIGHT * place;
        let key = Rectangle::new([(0, y + 3), (26, y + 9)], colour.filled());
        area.draw(&key).map_err(broken)?;
        area.draw(&Text::new(line.name.as_str(), (34, y), font(20)))
            .map_err(broken)?;
    }
    Ok(())
}
