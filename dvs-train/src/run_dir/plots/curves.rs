//! A plot of loss, accuracy, learning rate and firing rates over the epochs.

use std::path::Path;

use anyhow::Result;
use dvs_shared::view::short_number;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::panels::{Panel, panels};
use super::{broken, font, picture};
use crate::run_dir::epoch_log::Columns;

/// Colours for the colour-blind (Okabe and Ito's), enough for every layer.
const COLOURS: [RGBColor; 7] = [
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
/// A curve marks each of its epochs with a point if it has at most this many.
const MARKED: usize = 40;

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// Draws the curves to `path`.
///
/// # Errors
/// Returns an error if the file cannot be written.
pub fn draw(path: &Path, columns: &Columns) -> Result<()> {
    picture(path, (1500, 1000), |area| {
        let areas = area.margin(10, 10, 10, 10).split_evenly((2, 2));
        for (area, panel) in areas.iter().zip(&panels(columns)) {
            draw_panel(area, panel)?;
        }
        Ok(())
    })
}

fn draw_panel(area: &Area<'_>, panel: &Panel) -> Result<()> {
    let (first, last) = panel.epochs();
    // The names are beside the curves, so that they hide no curve.
    let (width, _) = area.dim_in_pixel();
    let (area, names) = area.split_horizontally(width as i32 - NAMES);
    let mut chart = ChartBuilder::on(&area)
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
    for (place, (line, colour)) in (0..).zip(panel.lines.iter().zip(COLOURS.iter().cycle())) {
        let points = || line.points.iter().copied();
        let curve = LineSeries::new(points(), colour.stroke_width(3));
        chart.draw_series(curve).map_err(broken)?;
        if line.points.len() <= MARKED {
            let marks = points().map(|at| Circle::new(at, 5, colour.filled()));
            chart.draw_series(marks).map_err(broken)?;
        }
        let y = 60 + 28 * place;
        let key = Rectangle::new([(0, y + 6), (26, y + 12)], colour.filled());
        names.draw(&key).map_err(broken)?;
        names
            .draw(&Text::new(line.name.as_str(), (34, y), font(20)))
            .map_err(broken)?;
    }
    Ok(())
}
