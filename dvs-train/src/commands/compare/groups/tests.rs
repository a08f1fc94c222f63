#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use dvs_shared::labels::gestures;

use super::*;
use crate::commands::compare::runs::Epoch;
use crate::config::train_config::OptimizerName;
use crate::device::DeviceName;
use crate::metrics::confusion::Confusion;

/// A finished run with this seed and accuracy, whose settings `change` changes.
fn run(seed: u64, accuracy: f64, change: impl FnOnce(&mut Settings)) -> (Run, Summary) {
    let mut settings = Settings::of_import(TrainConfig::default(), [128, 128], gestures());
    settings.config.seed = seed;
    change(&mut settings);
    let epochs = [2.0, 4.0].map(|seconds| Epoch {
        epoch: seconds as u32,
        accuracy,
        loss: 0.5,
        seconds,
    });
    let summary = Summary {
        protocol: "accuracy-A".to_owned(),
        best_epoch: 2,
        chosen_with: accuracy,
        validation_users: Vec::new(),
        test_acc: accuracy,
        test_loss: 1.0 - accuracy,
        test_samples: 288,
        label_names: Vec::new(),
        confusion: Confusion::new(0),
    };
    let run = Run {
        folder: PathBuf::from(format!("run{seed}")),
        settings,
        epochs: epochs.to_vec(),
    };
    (run, summary)
}

fn seeds(groups: &[Group]) -> Vec<Vec<u64>> {
    let seeds = |group: &Group| group.seeds().into_keys().collect();
    groups.iter().map(seeds).collect()
}

fn names(groups: &[Group]) -> Vec<String> {
    groups.iter().map(Group::name).collect()
}

#[test]
fn seeds_share_a_group_and_so_do_places_and_speeds() {
    let groups = group(vec![
        run(3, 0.9, |_| {}),
        run(1, 0.8, |of| of.config.device = DeviceName::Cpu),
        run(2, 0.8, |of| {
            of.config.data.jobs = 1;
            of.config.data.test_batch_size = Some(3);
            of.config.data.cache = Some("elsewhere.h5".into());
            of.created_by = "dvs-train 9".to_owned();
        }),
    ]);
    assert_eq!(seeds(&groups), [[1, 2, 3]]);
    assert_eq!(names(&groups), ["all runs, accuracy-A"]);
    assert_eq!(groups[0].repeated_seeds(), None);
}

#[test]
fn every_other_setting_and_the_data_make_groups() {
    let changes: [fn(&mut Settings); 9] = [
        |_| {},
        |of| of.config.optimizer.lr = 0.01,
        |of| of.config.schedule.epochs = 65,
        |of| of.config.neurons.neuron = NeuronName::Plif,
        |of| of.source_sha256 = "ab".to_owned(),
        |of| of.size = [64, 128],
        |of| of.keep_invalid = false,
        |of| of.reading = vec!["--flip".to_owned()],
        |of| of.label_names.truncate(3),
    ];
    let runs = changes.map(|change| run(0, 0.5, change));
    let groups = group(runs.into());
    assert_eq!(groups.len(), 9);
    let differing: Vec<&str> = groups[0].settings.iter().map(|of| of.name).collect();
    assert_eq!(
        differing,
        [
            "neuron",
            "lr",
            "epochs",
            "source_sha256",
            "size",
            "keep_invalid",
            "reading",
            "label_names"
        ]
    );
    let sorted = {
        let mut sorted = names(&groups);
        sorted.sort();
        sorted
    };
    assert_eq!(names(&groups), sorted, "groups of one mean sort by name");
}

#[test]
fn typed_defaults_are_no_difference() {
    let groups = group(vec![
        run(1, 0.5, |_| {}),
        run(2, 0.5, |of| {
            of.config.neurons.tau = Some(2.0);
            of.config.neurons.decay_input = Some(true);
            of.config.neurons.alpha = Some(2.0);
            of.config.network.hidden = Some(512);
        }),
        run(1, 0.6, |of| of.config.network.channels = 64),
        // Beyond every limit, but no reason to stop.
        run(1, 0.4, |of| of.config.network.channels = usize::MAX),
    ]);
    assert_eq!(
        names(&groups),
        [
            "channels=64".to_owned(),
            "channels=128".to_owned(),
            format!("channels={}", usize::MAX)
        ]
    );
    assert_eq!(seeds(&groups), [vec![1], vec![1, 2], vec![1]]);
}

/// The numbers expected are those of Python:
/// `from statistics import *; a = [0.9618, 0.9549, 0.9688]; mean(a), stdev(a)`.
#[test]
fn statistics_are_of_each_group_and_sort_the_groups() {
    let sgd = |of: &mut Settings| of.config.optimizer.opt = OptimizerName::Sgd;
    let groups = group(vec![
        run(0, 0.9549, |_| {}),
        run(0, 0.97, sgd),
        run(1, 0.9688, |_| {}),
        run(2, 0.9618, |_| {}),
    ]);
    assert_eq!(names(&groups), ["opt=sgd", "opt=adam"]);
    let adam = groups[1].statistics();
    assert!((adam.mean - 0.961_833_333_333_333_4).abs() < 1e-15);
    assert!((adam.deviation.unwrap() - 0.006_950_059_951_779_804).abs() < 1e-15);
    assert!((adam.mean_loss.unwrap() - 0.038_166_666_666_666_6).abs() < 1e-15);
    assert_eq!((adam.best, adam.epoch_seconds), (0.9688, Some(3.0)));
    let best = groups[1].best().unwrap();
    assert_eq!(best.run.settings.config.seed, 1);
    assert_eq!(groups[0].statistics().deviation, None);
}

#[test]
fn protocols_are_groups_and_repeated_seeds_are_told() {
    let (again, mut judged) = run(3, 0.7, |_| {});
    judged.protocol = "accuracy-B".to_owned();
    let groups = group(vec![
        run(3, 0.5, |_| {}),
        run(3, 0.5, |_| {}),
        run(4, 0.5, |_| {}),
        (again, judged),
    ]);
    let protocols: Vec<&str> = groups.iter().map(|of| of.protocol.as_str()).collect();
    assert_eq!(protocols, ["accuracy-B", "accuracy-A"]);
    assert_eq!(groups[1].runs.len(), 3, "both count");
    assert_eq!(groups[1].repeated_seeds().unwrap(), "seed 3 twice");
}

#[test]
fn names_are_one_line() {
    let groups = group(vec![
        run(0, 0.5, |of| of.source_sha256 = "a\nb\u{1b}[2J".to_owned()),
        run(0, 0.4, |of| of.source_sha256 = "a".repeat(300)),
    ]);
    assert_eq!(groups[0].name(), "source_sha256=a\u{fffd}b\u{fffd}[2J");
    assert!(groups[1].name().chars().count() < 60);
    assert!(group(Vec::new()).is_empty());
}

#[test]
fn long_values_that_differ_at_the_end_still_differ() {
    let users = |last: &str| {
        let value = format!("users:{}{last}", "user001,".repeat(10)).into();
        let name = "validation";
        Setting { name, value }.short()
    };
    assert_eq!(users("a").chars().count(), MOST_CHARACTERS);
    assert!(users("a").starts_with("users:user001,user001,"));
    assert_ne!(users("a"), users("b"));
}
