//! The classes of imported networks. Most files say nothing of them but the number of outputs.

use anyhow::{Result, ensure};
use dvs_shared::cache_format::{MAX_CLASSES, NAME_BYTES};
use dvs_shared::formats::CIFAR10_CLASSES;
use dvs_shared::labels::{CLASSES, gestures};

use crate::config::options::within;
use crate::interop::known::KnownNetwork;
use crate::nn::architecture::Architecture;
use crate::nn::network_name::{NetworkName, VOTERS};

/// How many outputs of a `.pth` vote for each class. If the number of `classes` is known, the outputs
/// are divided among them. Otherwise ten vote for each class, as in SpikingJelly's networks, unless the
/// outputs are ten or fewer, or no multiple of ten.
///
/// # Errors
/// Returns an error if the outputs do not divide into `classes`.
pub fn voters(outputs: usize, classes: Option<usize>) -> Result<usize> {
    match classes {
        Some(classes) => {
            ensure!(
                classes > 0 && outputs > 0 && outputs.is_multiple_of(classes),
                "its {outputs} outputs do not divide into {classes} classes, as many as there are names of them"
            );
            Ok(outputs / classes)
        }
        None if outputs.is_multiple_of(VOTERS) && outputs > VOTERS => Ok(VOTERS),
        None => Ok(1),
    }
}

/// How many outputs of a graph without voting vote for each class. If the number of `classes` is known,
/// the outputs are divided among them. Of 110 outputs, ten vote for each gesture, because SpikingJelly
/// exports its network so. Otherwise each output is a class.
///
/// # Errors
/// Returns an error if the outputs do not divide into `classes`, or if ten may vote for each class.
pub fn voters_of_graph(outputs: usize, classes: Option<usize>) -> Result<usize> {
    const GESTURES: usize = CLASSES * VOTERS;
    match (classes, outputs) {
        (None, GESTURES) => Ok(VOTERS),
        (None, _) => {
            ensure!(
                outputs <= VOTERS || !outputs.is_multiple_of(VOTERS),
                "the graph does not say whether its {outputs} outputs stand for as many classes, or each {VOTERS} of them \
                 vote for one of {} classes; say the names of the classes with --label-names",
                outputs / VOTERS
            );
            Ok(1)
        }
        _ => voters(outputs, classes),
    }
}

/// Says that the outputs were taken as votes, and how to say otherwise.
pub fn taken_as_votes(architecture: &Architecture) -> String {
    let Architecture {
        classes, voters, ..
    } = architecture;
    format!(
        "each {voters} outputs vote for one of {classes} classes; --label-names says how many classes there are"
    )
}

/// Checks that these can be names of classes.
///
/// # Errors
/// Returns an error with the name that is empty, too long, has control characters or comes twice.
pub fn check_names(names: &[String]) -> Result<()> {
    within("the number of classes", names.len(), 1..=MAX_CLASSES)?;
    for (at, name) in names.iter().enumerate() {
        ensure!(
            !name.is_empty() && name.len() <= NAME_BYTES && !name.contains(char::is_control),
            "it has {name:?}, where a name of 1 to {NAME_BYTES} bytes without control characters is expected"
        );
        let mut before = names.iter().take(at);
        ensure!(!before.any(|other| other == name), "it has {name:?} twice");
    }
    Ok(())
}

/// The names of the classes that follow from the form of the network: those of the dataset that it is
/// for, or else numbers.
pub fn usual_names(architecture: &Architecture) -> Vec<String> {
    let classes = architecture.classes;
    let known = KnownNetwork::of(architecture).map(|known| known.name);
    match known {
        _ if classes == CLASSES => gestures(),
        Some(NetworkName::Cifar10Dvs) if classes == CIFAR10_CLASSES.len() => {
            CIFAR10_CLASSES.map(str::to_owned).to_vec()
        }
        // The classes of N-MNIST are digits.
        _ => (0..classes).map(|label| label.to_string()).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::network_config;

    #[test]
    fn outputs_vote_by_tens_unless_the_number_of_classes_is_known() {
        for (outputs, classes, expected) in [
            (110, None, 10),
            (20, None, 10),
            (10, None, 1),
            (4, None, 1),
            (30, Some(10), 3),
            (10, Some(10), 1),
        ] {
            assert_eq!(voters(outputs, classes).unwrap(), expected);
        }
        let error = voters(110, Some(3)).unwrap_err().to_string();
        assert!(
            error.contains("110 outputs do not divide into 3 classes"),
            "{error}"
        );
        assert!(voters(0, Some(3)).is_err());
    }

    #[test]
    fn outputs_of_a_graph_vote_only_if_that_is_known() {
        for (outputs, classes, expected) in [
            (110, None, 10),
            (110, Some(110), 1),
            (10, None, 1),
            (12, None, 1),
            (20, Some(20), 1),
            (20, Some(4), 5),
        ] {
            assert_eq!(voters_of_graph(outputs, classes).unwrap(), expected);
        }
        let error = voters_of_graph(20, None).unwrap_err().to_string();
        assert!(
            error.contains("its 20 outputs stand for as many classes")
                && error.ends_with("say the names of the classes with --label-names"),
            "{error}"
        );
    }

    #[test]
    fn the_form_of_a_network_names_its_classes() {
        let block = "c2k3s1-BN-LIF-MPk2s2";
        let linear = "DP-FC8-LIF-DP-FC100-LIF-APk10s10";
        let names = |blocks: usize| {
            let notation = format!("{{{block}}}*{blocks}-{linear}");
            usual_names(&network_config(&notation, [64, 64]).architecture)
        };
        assert_eq!(names(4)[..2], ["airplane", "automobile"]);
        assert_eq!(names(2)[8..], ["8", "9"]);
        assert_eq!(names(3)[8..], ["8", "9"]);
        let gestures = network_config("FC11-LIF", [8, 8]).architecture;
        assert_eq!(usual_names(&gestures)[10], "other_gestures");
    }
}
