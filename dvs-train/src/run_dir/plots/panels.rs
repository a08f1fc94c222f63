//! Panels of a run's plots.

use crate::run_dir::epoch_log::Columns;

/// Maximum number of lines that a reader can tell apart: each has a colour of its own.
pub const MOST_LINES: usize = 7;

/// Curves that share their axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    pub title: &'static str,
    pub lines: Vec<Line>,
    /// End of the vertical axis, which begins at 0.
    pub top: f64,
}

/// One curve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    pub name: String,
    /// Epoch and value.
    pub points: Vec<(f64, f64)>,
    /// Lower and upper bound at each of these epochs; empty for a line without a band.
    pub band: Vec<(f64, f64)>,
}

impl Line {
    /// The band's outline: forth along the upper bounds and back along the lower ones.
    pub fn outline(&self) -> Vec<(f64, f64)> {
        let bounds = || self.points.iter().zip(&self.band);
        let forth = bounds().map(|(&(epoch, _), &(_, upper))| (epoch, upper));
        let back = bounds().map(|(&(epoch, _), &(lower, _))| (epoch, lower));
        forth.chain(back.rev()).collect()
    }
}

/// Makes panels for loss, accuracy, learning rate, firing rates, and tau if it is learnt. A panel
/// may have no curve.
pub fn panels(columns: &Columns) -> Vec<Panel> {
    let lines = |picked: &dyn Fn(&str) -> Option<String>| -> Vec<Line> {
        let epochs = columns.iter().find(|(name, _)| name == "epoch");
        let picked = columns.iter().filter_map(|(column, numbers)| {
            let name = picked(column)?;
            let epochs = epochs?.1.iter();
            let points = epochs.zip(numbers).filter_map(|(&x, &y)| Some((x?, y?)));
            let points = points.filter(|(x, y)| x.is_finite() && y.is_finite());
            Some(Line {
                name,
                points: points.collect(),
                band: Vec::new(),
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
    let beginning =
        |start: &'static str| move |column: &str| column.strip_prefix(start).map(str::to_owned);
    let mut panels = vec![
        Panel::new("loss (mean squared error)", lines(&ending("_loss")), None),
        Panel::new("accuracy", lines(&ending("_acc")), Some(1.04)),
        Panel::new(
            "learning rate",
            lines(&|column| (column == "lr").then(|| "lr".to_owned())),
            None,
        ),
        Panel::new(
            "spikes a neuron and step",
            lines(&beginning("firing_rate_")),
            None,
        ),
    ];
    let taus = lines(&beginning("tau_"));
    if !taus.is_empty() {
        panels.push(Panel::new("tau (learnt)", taus, None));
    }
    panels
}

impl Panel {
    /// Makes a panel whose vertical axis ends at `top`, or else above all lines and bands.
    pub fn new(title: &'static str, lines: Vec<Line>, top: Option<f64>) -> Self {
        let values = lines.iter().flat_map(|line| &line.points);
        let bounds = lines.iter().flat_map(|line| &line.band);
        let highest = values.chain(bounds).map(|&(_, y)| y).fold(0.0, f64::max);
        let fitting = if highest > 0.0 { 1.08 * highest } else { 1.0 };
        Self {
            title,
            lines,
            top: top.unwrap_or(fitting),
        }
    }

    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.points.is_empty())
    }

    /// Returns the first and last epoch, or a range of length 1 around a single epoch.
    pub fn epochs(&self) -> (f64, f64) {
        let all = || self.lines.iter().flat_map(|line| &line.points);
        let first = all().map(|&(x, _)| x).fold(f64::INFINITY, f64::min);
        let last = all().map(|&(x, _)| x).fold(0.0, f64::max);
        let first = if first.is_finite() { first } else { 0.0 };
        if last > first {
            (first, last)
        } else {
            (first - 0.5, first + 0.5)
        }
    }
}
