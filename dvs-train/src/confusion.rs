//! Which gesture was taken for which.

use std::fmt;

use dvs_shared::labels::{CLASSES, LABEL_NAMES};
use serde::{Deserialize, Serialize};

/// Samples by their own gesture (row) and the one they were taken for (column).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Confusion {
    /// The counts.
    pub counts: [[u64; CLASSES]; CLASSES],
}

impl Confusion {
    /// Counts one sample. Labels beyond those of the dataset are no gesture and count nowhere.
    pub fn add(&mut self, label: usize, guess: usize) {
        if let Some(count) = self
            .counts
            .get_mut(label)
            .and_then(|row| row.get_mut(guess))
        {
            *count += 1;
        }
    }

    /// Share of the samples of `label` that were recognised; `None` where there are none.
    pub fn recall(&self, label: usize) -> Option<f64> {
        let row = self.counts.get(label)?;
        let samples: u64 = row.iter().sum();
        (samples > 0).then(|| row[label] as f64 / samples as f64)
    }
}

impl fmt::Display for Confusion {
    /// A table: a line for each gesture, with its recall and what it was taken for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = LABEL_NAMES.iter().map(|name| name.len()).max().unwrap_or(0) + 3;
        write!(
            f,
            "{:width$} {:>7} {:>7}  taken for",
            "gesture", "samples", "recall"
        )?;
        for guess in 0..CLASSES {
            write!(f, " {guess:>4}")?;
        }
        writeln!(f)?;
        for (label, (name, row)) in LABEL_NAMES.iter().zip(&self.counts).enumerate() {
            let samples: u64 = row.iter().sum();
            let recall = match self.recall(label) {
                Some(recall) => format!("{:.1} %", 100.0 * recall),
                None => "-".to_owned(),
            };
            write!(
                f,
                "{:width$} {samples:>7} {recall:>7}           ",
                format!("{label:>2} {name}")
            )?;
            for count in row {
                match count {
                    0 => write!(f, " {:>4}", ".")?,
                    count => write!(f, " {count:>4}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_is_by_row() {
        let mut confusion = Confusion::default();
        for (label, guess) in [(0, 0), (0, 1), (0, 0), (0, 10), (10, 10), (11, 0)] {
            confusion.add(label, guess);
        }
        assert_eq!(confusion.recall(0), Some(0.5));
        assert_eq!(confusion.recall(10), Some(1.0));
        assert_eq!(confusion.recall(1), None);
        let table = confusion.to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 12);
        assert!(
            lines[1].contains("hand_clapping") && lines[1].contains("50.0 %"),
            "{table}"
        );
        let widths: Vec<usize> = lines.iter().map(|line| line.len()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
    }
}
