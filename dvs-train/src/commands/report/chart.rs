//! Curves as inline SVG.

use std::fmt::Write;

use dvs_shared::view::short_number;
use maud::{Markup, html};

use crate::run_dir::plots::panels::{Line, Panel};

/// Size in the drawing's units, which are pixels if the page is wide enough.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 250.0;
/// Margins around the curves.
const LEFT: f64 = 52.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BELOW: f64 = 40.0;
/// Maximum points of a line for which each is marked, and maximum points drawn.
const MARKED: usize = 40;
const MOST: usize = 500;
/// Lines differ in their dashes too, for readers who cannot distinguish the colours.
const DASHES: [&str; 4] = ["none", "7 3", "2 3", "9 3 2 3"];

/// Draws the panel's curves, with their names and last values.
pub fn chart(panel: &Panel) -> Markup {
    let (first, last) = panel.epochs();
    let x = |epoch: f64| LEFT + (WIDTH - LEFT - RIGHT) * (epoch - first) / (last - first);
    let y = |value: f64| HEIGHT - BELOW - (HEIGHT - TOP - BELOW) * value / panel.top;
    html! {
        figure {
            figcaption { (panel.title) }
            @if panel.is_empty() {
                p.note { "No epoch has ended yet." }
            } @else {
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(to_text(panel)) {
                    @for value in ticks(0.0, panel.top, 5) {
                        line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(round(y(value))) y2=(round(y(value))) {}
                        text x=(LEFT - 7.0) y=(round(y(value) + 4.0)) text-anchor="end" { (short_number(value)) }
                    }
                    @for epoch in ticks(first, last, 8).filter(|epoch| epoch.fract() == 0.0) {
                        text x=(round(x(epoch))) y=(HEIGHT - BELOW + 17.0) text-anchor="middle" { (epoch) }
                    }
                    line.axis x1=(LEFT) x2=(WIDTH - RIGHT) y1=(HEIGHT - BELOW) y2=(HEIGHT - BELOW) {}
                    text x=(round((LEFT + WIDTH - RIGHT) / 2.0)) y=(HEIGHT - 5.0) text-anchor="middle" { "epoch" }
                    @for (at, line) in panel.lines.iter().enumerate() {
                        @if !line.band.is_empty() {
                            g class=(colour(at)) { path.band d={ (path(&thinned(line).outline(), x, y)) "Z" } {} }
                        }
                    }
                    @for (at, line) in panel.lines.iter().enumerate() {
                        g class=(colour(at)) {
                            path.curve d=(path(&thinned(line).points, x, y)) stroke-dasharray=(dash(at)) {}
                            @if line.points.len() <= MARKED {
                                @for (place, &(epoch, value)) in line.points.iter().enumerate() {
                                    circle cx=(round(x(epoch))) cy=(round(y(value))) r="3" {
                                        title {
                                            (line.name) ", epoch " (epoch) ": " (short_number(value))
                                            @if let Some(&(lower, upper)) = line.band.get(place) {
                                                " (" (short_number(lower)) " to " (short_number(upper)) ")"
                                            }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
                ul.legend {
                    @for (at, line) in panel.lines.iter().enumerate() {
                        li {
                            svg.key viewBox="0 0 28 8" aria-hidden="true" {
                                g class=(colour(at)) { path.curve d="M0 4H28" stroke-dasharray=(dash(at)) {} }
                            }
                            (line.name) " "
                            @if let Some((_, value)) = line.points.last() { b { (short_number(*value)) } }
                        }
                    }
                }
            }
        }
    }
}

fn colour(at: usize) -> String {
    format!("c{}", at % 7)
}

fn dash(at: usize) -> &'static str {
    DASHES[at % DASHES.len()]
}

/// A text alternative to the curves.
fn to_text(panel: &Panel) -> String {
    let lines = panel.lines.iter().filter_map(|line| {
        let ((first, from), (last, to)) = (line.points.first()?, line.points.last()?);
        let (from, to) = (short_number(*from), short_number(*to));
        Some(format!(
            "{} from {from} in epoch {first} to {to} in epoch {last}",
            line.name
        ))
    });
    let lines: Vec<String> = lines.collect();
    format!("{} by epoch: {}", panel.title, lines.join("; "))
}

/// The line with about MOST of its points.
fn thinned(line: &Line) -> Line {
    fn some(numbers: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let every = numbers.len().div_ceil(MOST).max(1);
        let last = numbers.len().saturating_sub(1);
        let kept = numbers.iter().enumerate();
        let kept = kept.filter(|&(at, _)| at.is_multiple_of(every) || at == last);
        kept.map(|(_, &numbers)| numbers).collect()
    }
    Line {
        name: line.name.clone(),
        points: some(&line.points),
        band: some(&line.band),
    }
}

/// The SVG path through `points`.
fn path(points: &[(f64, f64)], x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) -> String {
    let mut path = String::new();
    for &(epoch, value) in points {
        let command = if path.is_empty() { 'M' } else { 'L' };
        // Writing to a string cannot fail.
        let _ = write!(path, "{command}{} {}", round(x(epoch)), round(y(value)));
    }
    path
}

/// Rounds to a tenth of a pixel.
fn round(place: f64) -> f64 {
    (10.0 * place).round() / 10.0
}

/// Round numbers from `first` to `last`, about `wanted` of them.
fn ticks(first: f64, last: f64, wanted: usize) -> impl Iterator<Item = f64> {
    let least = (last - first).max(f64::MIN_POSITIVE) / wanted.max(1) as f64;
    let power = 10.0_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power);
    // The tolerance allows for rounding errors.
    let step = step.into_iter().find(|&step| step >= least * (1.0 - 1e-9));
    let step = step.unwrap_or(10.0 * power);
    let from = (first / step - 1e-9).ceil() as i64;
    let to = (last / step + 1e-9).floor() as i64;
    (from..=to).map(move |at| {
        // Parsing the printed digits removes rounding errors: 3 x 0.1 is 0.3.
        let digits = (-step.log10().floor()).max(0.0) as usize;
        let text = format!("{:.digits$}", at as f64 * step);
        text.parse().unwrap_or(at as f64 * step)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_within_the_axis() {
        let found = |first, last, wanted| ticks(first, last, wanted).collect::<Vec<_>>();
        assert_eq!(found(0.0, 1.04, 5), [0.0, 0.5, 1.0]);
        assert_eq!(found(0.0, 0.32, 5), [0.0, 0.1, 0.2, 0.3]);
        assert_eq!(
            found(0.0, 63.0, 8),
            (0..7).map(|i| f64::from(i) * 10.0).collect::<Vec<_>>()
        );
        assert_eq!(found(3.0, 5.0, 8), [3.0, 3.5, 4.0, 4.5, 5.0]);
        assert_eq!(
            found(2.5, 3.5, 8)
                .iter()
                .filter(|at| at.fract() == 0.0)
                .count(),
            1
        );
        assert_eq!(found(0.0, 2e-5, 4), [0.0, 5e-6, 1e-5, 1.5e-5, 2e-5]);
    }
}
