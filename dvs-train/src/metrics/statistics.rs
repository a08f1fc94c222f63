//! Statistics of a few numbers, such as the accuracies of a network's runs.

/// The mean; `None` if there are no numbers, or their sum is no number.
pub fn mean(numbers: &[f64]) -> Option<f64> {
    let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
    mean.is_finite().then_some(mean)
}

/// The sample standard deviation, whose divisor is one less than the number of numbers; `None` for
/// fewer than two, which say nothing about how far runs differ.
pub fn deviation(numbers: &[f64]) -> Option<f64> {
    let mean = mean(numbers)?;
    let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
    let deviation = (squares / (numbers.len() - 1) as f64).sqrt();
    (numbers.len() > 1 && deviation.is_finite()).then_some(deviation)
}

/// The median of those numbers that are finite: of an even number of them, the mean of the two in
/// the middle. `None` if there are none.
pub fn median(numbers: impl IntoIterator<Item = f64>) -> Option<f64> {
    let numbers = numbers.into_iter().filter(|number| number.is_finite());
    let mut sorted: Vec<f64> = numbers.collect();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    let above = *sorted.get(half)?;
    match sorted.len() % 2 {
        // Halves, because the sum of two large numbers is infinite.
        0 => Some(sorted[half - 1] / 2.0 + above / 2.0),
        _ => Some(above),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers expected are those of Python's module `statistics`:
    /// `from statistics import *; a = [0.9618, 0.9549, 0.9688]; mean(a), stdev(a), median(a)`.
    #[test]
    fn statistics_are_those_of_python() {
        let accuracies = [0.9618, 0.9549, 0.9688];
        let near = |found: Option<f64>, expected: f64| {
            assert!(
                found.is_some_and(|found| (found - expected).abs() < 1e-15),
                "{found:?}"
            );
        };
        near(mean(&accuracies), 0.961_833_333_333_333_4);
        near(deviation(&accuracies), 0.006_950_059_951_779_804);
        near(median(accuracies), 0.9618);
        near(median([27.5, 31.0, 26.0, 29.0]), 28.25);
        near(deviation(&[0.5, 0.5]), 0.0);
    }

    #[test]
    fn too_few_numbers_and_infinite_ones_have_no_statistics() {
        assert_eq!((mean(&[]), deviation(&[]), median([])), (None, None, None));
        assert_eq!((mean(&[0.5]), deviation(&[0.5])), (Some(0.5), None));
        assert_eq!(mean(&[f64::MAX, f64::MAX]), None);
        assert_eq!(deviation(&[-1e200, 1e200]), None);
        assert_eq!(deviation(&[f64::NAN, 1.0]), None);
        assert_eq!(median([f64::NAN, 3.0, f64::INFINITY]), Some(3.0));
        assert_eq!(median([f64::MAX, f64::MAX]), Some(f64::MAX));
    }
}
