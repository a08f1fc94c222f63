//! How a run went: loss, accuracy, learning rate and firing rates, epoch by epoch.

use std::path::Path;

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::{broken, font, picture};

/// Colours that the colour-blind tell apart (Okabe and Ito's), and enough of them for every layer.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];

/// Pixels for the names of the curves.
const NAMES: i32 = 130;
/// Epochs up to which each is marked by a point.
const MARKED: usize = 40;

/// Columns of `metrics.csv` by name.
pub type Columns = Vec<(String, Vec<Option<f64>>)>;

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// One line of a panel.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// Draws the curves at `path`.
///
/// # Errors
/// Where the file cannot be written.
pub fn draw(path: &Path, columns: &Columns) -> Result<()> {
    let lines = |picked: &dyn Fn(&str) -> Option<String>| -> Vec<Line> {
        let epochs = columns.iter().find(|(name, _)| name == "epoch");
        let picked = columns.iter().filter_map(|(column, numbers)| {
            let name = picked(column)?;
            let epochs = epochs?.1.iter();
            let points = epochs.zip(numbers).filter_map(|(&x, &y)| Some((x?, y?)));
            Some(Line {
                name,
                points: points.collect(),
            })
        });
        picked.filter(|line| !line.points.is_empty()).collect()
    };
    let ending = |end: &'static str| {
        move |column: &str| {
            let name = column.strip_suffix(end)?;
            (!name.starts_with("max_")).then(|| name.to_owned())
        }
    };
    let loss = lines(&ending("_loss"));
    let accuracy = lines(&ending("_acc"));
    let rate = lines(&|column| (column == "lr").then(|| "lr".to_owned()));
    let firing = lines(&|column| column.strip_prefix("firing_rate_").map(str::to_owned));
    picture(path, (1500, 1000), |area| {
        let panels = area.margin(10, 10, 10, 10).split_evenly((2, 2));
        for (panel, (title, lines, top)) in panels.iter().zip([
            ("loss (mean squared error)", loss, None),
            ("accuracy", accuracy, Some(1.04)),
            ("learning rate", rate, None),
            ("spikes a neuron and step", firing, None),
        ]) {
            draw_panel(panel, title, &lines, top)?;
        }
        Ok(())
    })
}

fn draw_panel(area: &Area<'_>, title: &str, lines: &[Line], top: Option<f64>) -> Result<()> {
    let all = || lines.iter().flat_map(|line| &line.points);
    let highest = all().map(|&(_, y)| y).fold(0.0, f64::max);
    let top = top.unwrap_or(if highest > 0.0 { 1.08 * highest } else { 1.0 });
    let first = all().map(|&(x, _)| x).fold(f64::INFINITY, f64::min);
    let last = all().map(|&(x, _)| x).fold(0.0, f64::max);
    let first = if first.is_finite() { first } else { 0.0 };
    // A single epoch is a point in the middle.
    let (first, last) = if last > first {
        (first, last)
    } else {
        (first - 0.5, first + 0.5)
    };
    // Names stand beside the curves, where they hide none.
    let (width, _) = area.dim_in_pixel();
    let (area, names) = area.split_horizontally(width as i32 - NAMES);
    let mut chart = ChartBuilder::on(&area)
        .caption(title, font(26))
        .margin(12)
        .x_label_area_size(46)
        .y_label_area_size(78)
        .build_cartesian_2d(first..last, 0.0..top)
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
        .y_label_formatter(&|y| tick(*y))
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .draw()
        .map_err(broken)?;
    for (place, (line, colour)) in (0..).zip(lines.iter().zip(COLOURS.iter().cycle())) {
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

/// A number at an axis: as few digits as tell it.
fn tick(y: f64) -> String {
    if y != 0.0 && y.abs() < 0.001 {
        return format!("{y:.1e}");
    }
    let text = format!("{y:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
