//! The curves of groups: the mean over a group's runs, with a band of one standard deviation.

use std::collections::BTreeMap;

use dvs_shared::words::counted;

use super::groups::{Finished, Group};
use super::runs::Epoch;
use crate::metrics::statistics::{deviation, mean};
use crate::run_dir::epoch_log::EvaluatedOn;
use crate::run_dir::plots::panels::{Line, Panel};

/// Maximum points of a curve; a panel has fewer pixels from left to right.
const MOST: usize = 1000;

/// Panels for accuracy and loss, with the same lines in both. A line covers the epochs that all
/// runs of its group have.
pub fn panels(groups: &[Group]) -> [Panel; 2] {
    let lines = |value: fn(&Epoch) -> f64, top: f64| -> Vec<Line> {
        let lines = groups.iter();
        lines.map(|group| line(group, value, top)).collect()
    };
    // The best network is chosen on this set, so these are the curves that every run has.
    let runs = || groups.iter().flat_map(|group| &group.runs);
    let on = |set| runs().any(|of| of.run.evaluated_on() == set);
    let [accuracy, loss] = match (on(EvaluatedOn::Test), on(EvaluatedOn::Validation)) {
        (_, false) => ["test accuracy", "test loss"],
        (false, true) => ["validation accuracy", "validation loss"],
        (true, true) => [
            "accuracy on the test set, or on what --validation holds out",
            "loss on the same set",
        ],
    };
    [
        Panel::new(accuracy, lines(|of| of.accuracy, 1.0), Some(1.04)),
        Panel::new(loss, lines(|of| of.loss, f64::INFINITY), None),
    ]
}

/// The curve of a group. Its band ends at 0 and at `top`, beyond which there are no values.
fn line(group: &Group, value: fn(&Epoch) -> f64, top: f64) -> Line {
    let mut line = Line {
        name: format!(
            "{} ({})",
            group.name(),
            counted(group.runs.len() as u64, "run")
        ),
        ..Line::default()
    };
    let common = common(&group.runs, value);
    let every = common.len().div_ceil(MOST).max(1);
    let last = common.len().saturating_sub(1);
    for (at, (epoch, values)) in common.into_iter().enumerate() {
        if !at.is_multiple_of(every) && at != last {
            continue;
        }
        let Some(mean) = mean(&values) else { continue };
        // One run has no deviation, and no run of the group has a band if one run is all of it.
        if group.runs.len() > 1 {
            let spread = deviation(&values).unwrap_or(0.0);
            let band = ((mean - spread).max(0.0), (mean + spread).min(top));
            line.band.push(band);
        }
        line.points.push((f64::from(epoch), mean));
    }
    line
}

/// The values of all runs at the epochs that all have, and where all values are numbers.
fn common(runs: &[Finished], value: fn(&Epoch) -> f64) -> BTreeMap<u32, Vec<f64>> {
    let mut values: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for epoch in runs.iter().flat_map(|of| &of.run.epochs) {
        let value = value(epoch);
        if value.is_finite() {
            values.entry(epoch.epoch).or_default().push(value);
        }
    }
    values.retain(|_, values| values.len() == runs.len());
    values
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::PathBuf;

    use dvs_shared::labels::gestures;

    use super::*;
    use crate::commands::compare::runs::Run;
    use crate::config::settings::Settings;
    use crate::config::train_config::TrainConfig;
    use crate::metrics::confusion::Confusion;
    use crate::train::summary::Summary;

    /// A run whose accuracy and loss are these, from `first` on.
    fn run(first: u32, values: &[f64]) -> Finished {
        let epochs = (first..).zip(values).map(|(epoch, &value)| Epoch {
            epoch,
            accuracy: value,
            loss: value,
            seconds: 1.0,
        });
        Finished {
            run: Run {
                folder: PathBuf::new(),
                settings: Settings::of_import(TrainConfig::default(), [128, 128], gestures()),
                epochs: epochs.collect(),
            },
            summary: Summary {
                protocol: "accuracy-A".to_owned(),
                best_epoch: 0,
                chosen_with: 0.5,
                validation_users: Vec::new(),
                test_acc: 0.5,
                test_loss: 0.5,
                test_samples: 1,
                label_names: Vec::new(),
                confusion: Confusion::new(0),
            },
        }
    }

    fn drawn(runs: Vec<Finished>) -> [Line; 2] {
        let group = Group {
            settings: Vec::new(),
            protocol: "accuracy-A".to_owned(),
            runs,
        };
        panels(&[group]).map(|mut panel| panel.lines.pop().unwrap())
    }

    #[test]
    fn a_band_covers_one_deviation_of_the_common_epochs() {
        let [accuracy, loss] = drawn(vec![
            run(0, &[0.25, 0.5, 0.0, 0.9, f64::NAN]),
            run(1, &[0.75, 1.0, 0.9, 0.9]),
        ]);
        assert_eq!(accuracy.points, [(1.0, 0.625), (2.0, 0.5), (3.0, 0.9)]);
        let deviation = 0.125 * 2.0_f64.sqrt();
        let (lower, upper) = accuracy.band[0];
        assert!((lower - (0.625 - deviation)).abs() < 1e-15);
        assert!((upper - (0.625 + deviation)).abs() < 1e-15);
        // No accuracy is below 0 or above 1, but a loss may be.
        assert_eq!(accuracy.band[1], (0.0, 1.0));
        assert_eq!(loss.band[1], (0.0, 0.5 + 0.5_f64.sqrt()));
        assert_eq!(accuracy.band[2], (0.9, 0.9));
        let outline = accuracy.outline();
        assert_eq!(outline.len(), 6);
        assert_eq!((outline[1], outline[4]), ((2.0, 1.0), (2.0, 0.0)));
    }

    #[test]
    fn one_run_has_no_band_and_many_epochs_are_thinned() {
        let [accuracy, _] = drawn(vec![run(0, &[0.5; 12_345])]);
        assert!(accuracy.band.is_empty());
        assert!((500..=MOST + 1).contains(&accuracy.points.len()));
        assert_eq!(accuracy.points.last().unwrap().0, 12_344.0);
        let [apart, _] = drawn(vec![run(0, &[0.5]), run(1, &[0.5])]);
        assert!(apart.points.is_empty());
    }
}
