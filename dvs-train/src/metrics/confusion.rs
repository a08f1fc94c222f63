//! The confusion matrix.

use dvs_ranks::{RankError, Ranks};
use serde::{Deserialize, Serialize};

/// Maximum number of classes for a table with a column per class. With more classes, each row lists
/// the most frequent mistakes.
const MOST_COLUMNS: usize = 24;
/// Maximum number of mistakes in a row.
const NAMED: usize = 3;

/// Number of samples by true class (row) and predicted class (column).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Confusion {
    /// Square matrix of the counts.
    pub counts: Vec<Vec<u64>>,
}

impl Confusion {
    /// Makes a matrix of zeros.
    pub fn new(classes: usize) -> Self {
        Self {
            counts: vec![vec![0; classes]; classes],
        }
    }

    /// Counts one sample, unless a label is beyond the classes.
    pub fn add(&mut self, label: usize, guess: usize) {
        if let Some(count) = self
            .counts
            .get_mut(label)
            .and_then(|row| row.get_mut(guess))
        {
            *count += 1;
        }
    }

    /// Adds up the counts of all ranks.
    ///
    /// # Errors
    /// Returns an error if another rank failed.
    pub fn over_ranks(mut self, ranks: &dyn Ranks) -> Result<Self, RankError> {
        let all = self.counts.iter().flatten();
        let mut sums: Vec<f64> = all.map(|&count| count as f64).collect();
        ranks.all_reduce_f64(&mut sums)?;
        let all = self.counts.iter_mut().flatten();
        all.zip(sums).for_each(|(count, sum)| *count = sum as u64);
        Ok(self)
    }

    /// Returns the share of the samples of `label` that were classified correctly; `None` if there
    /// are no samples.
    pub fn recall(&self, label: usize) -> Option<f64> {
        let row = self.counts.get(label)?;
        let (own, samples) = (*row.get(label)?, row.iter().sum::<u64>());
        (samples > 0).then(|| own as f64 / samples as f64)
    }

    /// Formats a table with a line per class: its name, its recall and the predictions.
    pub fn to_text(&self, names: &[String]) -> String {
        let wide = self.counts.len() > MOST_COLUMNS;
        let width = names.iter().map(|name| name.chars().count()).max();
        let digits = self.counts.len().saturating_sub(1).to_string().len().max(2);
        let width = width.unwrap_or(0) + digits + 1;
        let mut text = format!(
            "{:width$} {:>7} {:>7}  taken for",
            "class", "samples", "recall"
        );
        if wide {
            text += ", where wrong";
        } else {
            for guess in 0..self.counts.len() {
                text += &format!(" {guess:>4}");
            }
        }
        text += "\n";
        for (label, (name, row)) in names.iter().zip(&self.counts).enumerate() {
            let samples: u64 = row.iter().sum();
            let recall = match self.recall(label) {
                Some(recall) => format!("{:.1} %", 100.0 * recall),
                None => "-".to_owned(),
            };
            let head = format!("{label:>digits$} {name}");
            text += &format!("{head:width$} {samples:>7} {recall:>7}           ");
            if wide {
                text += &mistaken(label, row);
            } else {
                for count in row {
                    text += &match count {
                        0 => format!(" {:>4}", "."),
                        count => format!(" {count:>4}"),
                    };
                }
            }
            text += "\n";
        }
        text
    }
}

/// Lists the most frequent wrong predictions for samples of `label`, with their counts.
fn mistaken(label: usize, row: &[u64]) -> String {
    let wrong = row.iter().enumerate();
    let wrong = wrong.filter(|&(guess, &count)| guess != label && count > 0);
    let mut wrong: Vec<(usize, u64)> = wrong.map(|(guess, &count)| (guess, count)).collect();
    wrong.sort_by_key(|&(guess, count)| (std::cmp::Reverse(count), guess));
    let named = wrong.iter().take(NAMED);
    let named = named.map(|(guess, count)| format!(" {guess}: {count}"));
    named.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use dvs_shared::labels::gestures;

    #[test]
    fn recall_is_computed_per_label() {
        let mut confusion = Confusion::new(11);
        for (label, guess) in [(0, 0), (0, 1), (0, 0), (0, 10), (10, 10), (11, 0)] {
            confusion.add(label, guess);
        }
        assert_eq!(confusion.recall(0), Some(0.5));
        assert_eq!(confusion.recall(10), Some(1.0));
        assert_eq!(confusion.recall(1), None);
        let table = confusion.to_text(&gestures());
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 12);
        assert!(
            lines[1].contains("hand_clapping") && lines[1].contains("50.0 %"),
            "{table}"
        );
        let widths: Vec<usize> = lines.iter().map(|line| line.len()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
    }

    #[test]
    fn table_of_many_classes_lists_the_commonest_mistakes() {
        let mut confusion = Confusion::new(200);
        let names: Vec<String> = (0..200).map(|label| format!("word{label}")).collect();
        for guess in [7, 3, 150, 150, 3, 3, 9, 8] {
            confusion.add(3, guess);
        }
        let table = confusion.to_text(&names);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 201);
        assert!(
            lines[4].ends_with("37.5 %            150: 2, 7: 1, 8: 1"),
            "{table}"
        );
        assert!(lines[5].ends_with("-           "), "{table}");
    }
}
