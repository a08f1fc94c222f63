//! Orders of the labels in a network's outputs.

use dvs_shared::labels::is_gestures;

/// Says how to give the order of the labels, after a reason.
pub const SAY_ORDER: &str = "say it with --label-order: plain for the order of the labels, folder for that of \
                             SpikingJelly's folders";

/// An order of the labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelOrder {
    /// SpikingJelly's order: the class folders sorted as text (0, 1, 10, 2, ...)
    Folder,
    /// Numerical order, as in the cache and the label files
    Plain,
}

impl LabelOrder {
    /// The order in the networks that SpikingJelly trains to tell classes with these `names` apart. It
    /// names the folders of the gestures by their labels, and sorts the names of folders as text. The
    /// same is true of other classes whose names are their labels.
    pub fn usual(names: &[String]) -> Self {
        let is_number = |(label, name): (usize, &String)| *name == label.to_string();
        let are_numbers = names.iter().enumerate().all(is_number);
        match is_gestures(names) || are_numbers && !Self::Folder.is_plain(names.len()) {
            true => Self::Folder,
            false => Self::Plain,
        }
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Plain => "plain",
        }
    }

    /// Whether the outputs are in the order of the labels.
    pub fn is_plain(self, classes: usize) -> bool {
        self.labels(classes).is_sorted()
    }

    /// The label of each output of a network with this number of `classes`.
    pub fn labels(self, classes: usize) -> Vec<usize> {
        let mut labels: Vec<usize> = (0..classes).collect();
        if self == Self::Folder {
            labels.sort_by_key(usize::to_string);
        }
        labels
    }

    /// The labels as text.
    pub fn to_text(self, classes: usize) -> String {
        let labels = self.labels(classes);
        let labels: Vec<String> = labels.iter().map(usize::to_string).collect();
        labels.join(" ")
    }

    /// Reorders the weights of the outputs, equally many per class, from this order to the order of
    /// the labels.
    pub fn to_plain(self, weights: &[f32], classes: usize) -> Vec<f32> {
        let mut plain = weights.to_vec();
        let each = weights.len() / classes.max(1);
        for (output, label) in self.labels(classes).into_iter().enumerate() {
            plain[label * each..][..each].copy_from_slice(&weights[output * each..][..each]);
        }
        plain
    }

    /// Reorders the weights of the outputs from the numerical order of the labels to the order
    /// `self`.
    pub fn of_plain(self, weights: &[f32], classes: usize) -> Vec<f32> {
        let each = weights.len() / classes.max(1);
        let labels = self.labels(classes).into_iter();
        labels
            .flat_map(|label| weights[label * each..][..each].iter().copied())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use dvs_shared::labels::gestures;

    use super::*;

    #[test]
    fn the_usual_order_follows_from_the_names() {
        let numbers =
            |count: usize| -> Vec<String> { (0..count).map(|label| label.to_string()).collect() };
        let mut others = gestures();
        others[3] = "nodding".to_owned();
        let mut turned = numbers(11);
        turned.reverse();
        for (names, expected) in [
            (gestures(), LabelOrder::Folder),
            (numbers(12), LabelOrder::Folder),
            (numbers(10), LabelOrder::Plain),
            (others, LabelOrder::Plain),
            (turned, LabelOrder::Plain),
        ] {
            assert_eq!(LabelOrder::usual(&names), expected, "{names:?}");
        }
    }

    #[test]
    fn folder_order_sorts_labels_as_text_and_round_trips() {
        let order = LabelOrder::Folder;
        assert_eq!(order.labels(11), [0, 1, 10, 2, 3, 4, 5, 6, 7, 8, 9]);
        let weights: Vec<f32> = (0..22u8).map(f32::from).collect();
        let plain = order.to_plain(&weights, 11);
        assert_eq!(plain[..8], [0.0, 1.0, 2.0, 3.0, 6.0, 7.0, 8.0, 9.0]);
        assert_eq!(plain[20..], [4.0, 5.0]);
        assert_eq!(order.of_plain(&plain, 11), weights);
        assert_eq!(LabelOrder::Plain.of_plain(&weights, 11), weights);
    }
}
