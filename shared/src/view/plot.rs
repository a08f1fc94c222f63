//! Plots the events and the duration of each frame as bars.

use std::sync::Once;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

use super::picture::RgbPicture;
use super::timing::Timing;
use super::{Colours, ViewError};
use crate::event::POLARITIES;

const FONT: &str = "sans-serif";
/// Width and height in pixels.
const SIZE: (u32, u32) = (1000, 640);
/// Factor of supersampling in each direction. The drawing library places letters at whole pixels,
/// which looks ragged at this size.
const SUPERSAMPLING: u32 = 2;
/// Maximum number of frames for which there are gaps between bars.
const MAX_FRAMES_WITH_GAPS: usize = 120;

/// The built-in font for plots, so that they look the same on every machine.
pub fn plot_font() -> &'static str {
    static READY: Once = Once::new();
    READY.call_once(|| {
        // If the font were invalid, drawing text would report it.
        let _ = register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT);
    });
    FONT
}

/// Formats a number for an axis or a table, in a few digits and without trailing zeros.
pub fn short_number(y: f64) -> String {
    if y != 0.0 && y.abs() < 0.001 {
        let text = format!("{y:.2e}");
        return match text.split_once('e') {
            Some((digits, power)) => format!("{}e{power}", without_zeros(digits)),
            None => text,
        };
    }
    let text = format!("{:.4}", y.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut out = String::new();
    if y < 0.0 {
        out.push('-');
    }
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    without_zeros(&format!("{out}.{fraction}")).to_owned()
}

fn without_zeros(digits: &str) -> &str {
    digits.trim_end_matches('0').trim_end_matches('.')
}

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// A panel of bars `[frame][part]`, whose parts are stacked.
struct Panel {
    title: String,
    unit: &'static str,
    bars: Vec<Option<Vec<f64>>>,
    colours: Vec<RGBColor>,
    /// Text shown if there are no bars.
    without: &'static str,
}

/// Plots the OFF and ON events and the duration of each frame; `title` identifies the sample.
///
/// # Errors
/// Returns an error if the drawing library reports one.
pub fn plot(
    title: &[String],
    events: &[[u64; POLARITIES as usize]],
    timing: &Timing,
    colours: &Colours,
) -> Result<RgbPicture, ViewError> {
    let longest = (0..events.len()).filter_map(|at| timing.duration_us(at));
    let (unit, us) = match longest.fold(0.0, f64::max) {
        ..2e3 => ("us", 1.0),
        ..2e6 => ("ms", 1e3),
        _ => ("s", 1e6),
    };
    let note = timing
        .note()
        .map_or(String::new(), |note| format!(" ({note})"));
    let parts = |frame: &[u64; 2]| Some(frame.iter().map(|&events| events as f64).collect());
    let panels = [
        Panel {
            title: "events of each frame: OFF below, ON above".to_owned(),
            unit: "events",
            bars: events.iter().map(parts).collect(),
            colours: vec![rgb(colours.off), rgb(colours.on)],
            without: "none",
        },
        Panel {
            title: format!("duration of each frame{note}"),
            unit,
            bars: (0..events.len())
                .map(|at| Some(vec![timing.duration_us(at)? / us]))
                .collect(),
            colours: vec![rgb(colours.ink)],
            without: match timing {
                Timing::Unknown => "not known",
                _ => "none",
            },
        },
    ];
    let (width, height) = (SIZE.0 * SUPERSAMPLING, SIZE.1 * SUPERSAMPLING);
    let mut pixels = vec![0; (width * height * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        draw(&area, title, &panels, colours).map_err(|e| ViewError::Plot(e.to_string()))?;
    }
    Ok(RgbPicture {
        width: SIZE.0,
        height: SIZE.1,
        rgb: downsample(&pixels),
    })
}

/// Averages squares of [`SUPERSAMPLING`] pixels.
fn downsample(fine: &[u8]) -> Vec<u8> {
    let mut sums = vec![0_u32; (SIZE.0 * SIZE.1 * 3) as usize];
    let wide = (SIZE.0 * SUPERSAMPLING * 3) as usize;
    for (y, row) in fine.chunks_exact(wide).enumerate() {
        for (x, pixel) in row.chunks_exact(3).enumerate() {
            let (x, y) = (x / SUPERSAMPLING as usize, y / SUPERSAMPLING as usize);
            let sums = &mut sums[(y * SIZE.0 as usize + x) * 3..];
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum += u32::from(value);
            }
        }
    }
    sums.into_iter()
        .map(|sum| (sum / SUPERSAMPLING.pow(2)) as u8)
        .collect()
}

fn draw(
    area: &Area<'_>,
    title: &[String],
    panels: &[Panel],
    colours: &Colours,
) -> Result<(), Box<dyn std::error::Error>> {
    let ink = rgb(colours.ink);
    let font = |size: u32| (plot_font(), size * SUPERSAMPLING).into_font().color(&ink);
    // Converts pixels of the picture to supersampled pixels.
    let pixels = |n: u32| (n * SUPERSAMPLING) as i32;
    area.fill(&rgb(colours.background))?;
    let (heading, area) = area.split_vertically(pixels(44));
    let room = heading.dim_in_pixel().0.saturating_sub(32 * SUPERSAMPLING);
    let line = super::text::Text::new(22 * SUPERSAMPLING).lines(&[title.join("   ")], room);
    let place = (pixels(16), pixels(16));
    heading.draw(&Text::new(line.concat(), place, font(22)))?;
    for (area, panel) in area.split_evenly((2, 1)).iter().zip(panels) {
        let frames = panel.bars.len();
        let highest = panel.bars.iter().flatten().map(|bar| bar.iter().sum());
        let highest = highest.fold(0.0, f64::max);
        if highest <= 0.0 {
            // There is nothing to scale axes to.
            let centre = font(19).pos(Pos::new(HPos::Center, VPos::Center));
            let (width, height) = area.dim_in_pixel();
            let middle = ((width / 2) as i32, (height / 2) as i32);
            let title = Text::new(panel.title.as_str(), (middle.0, pixels(20)), centre.clone());
            area.draw(&title)?;
            area.draw(&Text::new(panel.without, middle, centre))?;
            continue;
        }
        let mut chart = ChartBuilder::on(area)
            .caption(&panel.title, font(19))
            .margin(pixels(8))
            .margin_right(pixels(24))
            .x_label_area_size(pixels(40))
            .y_label_area_size(pixels(92))
            .build_cartesian_2d(0.5..frames as f64 + 0.5, 0.0..highest * 1.08)?;
        // A tick between two frames gets no label.
        let whole = |x: &f64| match x.fract() {
            0.0 => format!("{x}"),
            _ => String::new(),
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_desc("frame")
            .y_desc(panel.unit)
            .axis_desc_style(font(16))
            .label_style(font(15))
            .axis_style(ink.stroke_width(SUPERSAMPLING))
            .set_all_tick_mark_size(pixels(5))
            .x_labels(frames.min(16))
            .y_labels(5)
            .x_label_formatter(&whole)
            .y_label_formatter(&|y| short_number(*y))
            .light_line_style(TRANSPARENT)
            .bold_line_style(rgb(colours.page).stroke_width(SUPERSAMPLING))
            .draw()?;
        let half = if frames <= MAX_FRAMES_WITH_GAPS {
            0.4
        } else {
            0.5
        };
        for (at, bar) in panel.bars.iter().enumerate() {
            let x = (at + 1) as f64;
            let mut from = 0.0;
            for (part, colour) in bar.iter().flatten().zip(&panel.colours) {
                let to = from + part;
                if *part > 0.0 {
                    let corners = [(x - half, from), (x + half, to)];
                    chart.draw_series([Rectangle::new(corners, colour.filled())])?;
                }
                from = to;
            }
        }
    }
    area.present()?;
    Ok(())
}

fn rgb([red, green, blue]: [u8; 3]) -> RGBColor {
    RGBColor(red, green, blue)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{Background, Scheme};
    use super::*;

    #[test]
    fn short_number_limits_and_groups_digits() {
        for (number, text) in [
            (0.0, "0"),
            (27_000.0, "27,000"),
            (-1_234_567.0, "-1,234,567"),
            (0.25, "0.25"),
            (999.99999, "1,000"),
            (1e-4, "1e-4"),
            (-0.000125, "-1.25e-4"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(short_number(number), text);
        }
    }

    /// Counts the pixels of `colour` in the plot.
    fn area_of(colour: [u8; 3], events: &[[u64; 2]], timing: &Timing) -> usize {
        let colours = Colours::new(Background::White, Scheme::Accessible);
        let plot = plot(&["a".to_owned()], events, timing, &colours).unwrap();
        plot.rgb.chunks(3).filter(|pixel| **pixel == colour).count()
    }

    #[test]
    fn bar_areas_are_proportional_to_event_counts() {
        let Colours { on, off, .. } = Colours::new(Background::White, Scheme::Accessible);
        let events = [[100, 300], [200, 200], [0, 0]];
        let (off, on) = (
            area_of(off, &events, &Timing::Unknown) as f64,
            area_of(on, &events, &Timing::Unknown) as f64,
        );
        assert!((on / off - 500.0 / 300.0).abs() < 0.05, "{on} {off}");
    }

    #[test]
    fn plots_without_events_have_no_bars() {
        let Colours { on, off, .. } = Colours::new(Background::White, Scheme::Accessible);
        for timing in [
            Timing::Unknown,
            Timing::Spans(vec![None; 3]),
            Timing::AtMost(0.0),
        ] {
            for events in [&[][..], &[[0, 0]], &[[0, 0]; 3]] {
                assert_eq!(
                    area_of(on, events, &timing) + area_of(off, events, &timing),
                    0
                );
            }
        }
    }
}
