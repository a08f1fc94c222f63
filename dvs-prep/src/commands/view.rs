//! `dvs-prep view`: selects, reads and shows samples.

mod input;
mod output;
mod sample;
mod summary;

use std::env;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::error::ErrorKind;
use dvs_shared::view::terminal::{self, Paint};
use dvs_shared::view::{Animation, Colours, Style, contact_sheet, plot};

use self::sample::ShownSample;
use self::summary::{ViewSummary, WrittenPicture};
use crate::cli::options::misuse;
use crate::cli::{Colour, Delay, ViewArgs};

const DEFAULT_COLUMNS: usize = 80;
const DEFAULT_DELAY: Duration = Duration::from_millis(100);

/// What the command produces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    /// Frames in the terminal.
    Look,
    /// Events and durations in the terminal.
    Table,
    Sheet,
    Plot,
    Animation,
}

/// Shows the samples that `args` select.
///
/// # Errors
/// Returns an error if the input has no such sample or cannot be read, or if the picture cannot be
/// written.
pub fn view(args: &ViewArgs, out: &mut impl Write) -> Result<()> {
    let kind = kind(args);
    let style = Style {
        colours: Colours::new(args.background.into(), args.palette.into()),
        scale: args.scale,
    };
    if let Some(path) = &args.output {
        output::may_be_replaced(path)?;
    }
    let columns = columns();
    let shown = input::read(args, kind.max_frames(args, columns))?;
    let (samples, names) = (&shown.samples, &shown.label_names);
    if args.each_class && samples.len() < names.len() {
        let missing = (names.len() - samples.len()) as u64;
        let missing = counted_classes(missing);
        eprintln!("dvs-prep: warning: there is no such sample of {missing}");
    }
    let clips = samples
        .iter()
        .map(|sample| sample.clip(kind, samples.len() > 1, names))
        .collect::<Result<Vec<_>, _>>()?;
    let mut said = ViewSummary::new(&shown);
    if let Some(path) = &args.output {
        said.written = Some(match kind {
            Output::Animation => {
                let animation = Animation::new(&clips, &style)?;
                let size = animation.picture(0)?;
                let delay = delay(args, samples, animation.frames());
                output::write(path, |file| animation.write_gif(file, delay))?;
                WrittenPicture::new("animation", path, size.width(), size.height())
            }
            Output::Plot => {
                let [sample] = &samples[..] else {
                    bail!("a plot is of one sample");
                };
                let title = sample.title(names);
                let plot = plot(&title, &sample.events, &sample.timing, &style.colours)?;
                output::write(path, |file| plot.write_png(file))?;
                WrittenPicture::new("plot", path, plot.width, plot.height)
            }
            _ => {
                let sheet = contact_sheet(&clips, &style)?;
                output::write(path, |file| sheet.write_png(file))?;
                WrittenPicture::new("contact sheet", path, sheet.width(), sheet.height())
            }
        });
    }
    if args.json {
        return Ok(crate::cli::report::write_json(out, &said)?);
    }
    said.write(out)?;
    match kind {
        Output::Look => {
            let look = terminal::look(&clips, columns, paint(args.color), &style.colours)?;
            write!(out, "\n{look}")?;
        }
        Output::Table => {
            for sample in samples {
                write!(out, "\n{}", terminal::table(&sample.events, &sample.timing))?;
            }
        }
        _ => {}
    }
    Ok(())
}

impl Output {
    /// Maximum number of frames to show per sample.
    fn max_frames(self, args: &ViewArgs, columns: usize) -> usize {
        if let Some(frames) = args.max_frames {
            return frames as usize;
        }
        match self {
            Self::Look if args.each_class => 1,
            Self::Look => 2 * terminal::frames_in(columns),
            Self::Sheet if args.each_class => 8,
            Self::Sheet => 100,
            Self::Animation => 1000,
            Self::Plot | Self::Table => 0,
        }
    }
}

/// What `args` ask for. Options that do not fit it are misuse.
fn kind(args: &ViewArgs) -> Output {
    let ending = args.output.as_deref().and_then(Path::extension);
    let ending = ending.map(|e| e.to_string_lossy().to_ascii_lowercase());
    let kind = match (&args.output, ending.as_deref()) {
        (None, _) if args.plot => Output::Table,
        (None, _) => Output::Look,
        (_, Some("png")) if args.plot => Output::Plot,
        (_, Some("png")) => Output::Sheet,
        (_, Some("gif")) if args.plot => misuse(
            ErrorKind::ArgumentConflict,
            "--plot makes a .png, not a .gif".to_owned(),
        ),
        (_, Some("gif")) => Output::Animation,
        (Some(path), _) => misuse(
            ErrorKind::ValueValidation,
            format!(
                "--output {} ends neither in .png, for a contact sheet or a plot, nor in .gif, for an animation",
                path.display()
            ),
        ),
    };
    if args.delay.is_some() && kind != Output::Animation {
        let message = "--delay goes with an animation only: --output x.gif".to_owned();
        misuse(ErrorKind::ArgumentConflict, message);
    }
    if args.scale.is_some() && !matches!(kind, Output::Sheet | Output::Animation) {
        let message = "--scale goes with pictures of frames: --output x.png or x.gif".to_owned();
        misuse(ErrorKind::ArgumentConflict, message);
    }
    kind
}

/// The duration for which an animation of `frames` frames shows each one.
fn delay<'a>(
    args: &ViewArgs,
    samples: &'a [ShownSample],
    frames: usize,
) -> impl Fn(usize) -> Duration + 'a {
    let micros = |us: f64| Duration::try_from_secs_f64(us / 1e6).unwrap_or_default();
    let fixed = match args.delay {
        None => Some(DEFAULT_DELAY),
        Some(Delay::Fixed(us)) => Some(Duration::from_micros(us)),
        Some(Delay::Real) => None,
    };
    move |at| match (fixed, samples) {
        (Some(delay), _) => delay,
        // If all frames are shown, each has its own duration. Otherwise they share the duration of
        // the longest sample evenly.
        (None, [sample]) if sample.shown.len() == sample.frames => {
            let us = sample.timing.duration_us(at);
            micros(us.unwrap_or_else(|| sample.span_us() / frames as f64))
        }
        (None, samples) => {
            let longest = samples.iter().map(ShownSample::span_us).fold(0.0, f64::max);
            micros(longest / frames as f64)
        }
    }
}

fn counted_classes(number: u64) -> String {
    match number {
        1 => "1 class".to_owned(),
        number => format!("{number} classes"),
    }
}

/// Width of the terminal in characters, else $COLUMNS, else a default.
fn columns() -> usize {
    let asked = || env::var("COLUMNS").ok()?.parse().ok();
    terminal_size::terminal_size()
        .map(|(width, _)| usize::from(width.0))
        .or_else(asked)
        .filter(|&columns| columns > 0)
        .unwrap_or(DEFAULT_COLUMNS)
        .min(1000)
}

/// The colours that standard output supports.
fn paint(colour: Colour) -> Paint {
    let variable = |name| env::var(name).unwrap_or_default();
    let wanted = match colour {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => {
            std::io::stdout().is_terminal()
                && variable("NO_COLOR").is_empty()
                && variable("TERM") != "dumb"
        }
    };
    match (wanted, variable("COLORTERM").as_str()) {
        (false, _) => Paint::Plain,
        (true, "truecolor" | "24bit") => Paint::Rgb,
        (true, _) => Paint::Palette,
    }
}
