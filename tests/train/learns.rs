//! Trains a network on a synthetic archive. It learns the gestures, but learns nothing from
//! shuffled labels.

use crate::support::{prepare, run};

/// Returns the best test accuracy of a small network on synthetic gestures. The users of the test
/// set are not in the training set.
fn best_accuracy(synth: &[&str], epochs: &str) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("DvsGesture.tar.gz");
    let data = folder.path().to_str().unwrap();
    let make =
        "synth --users 14 --test-users 4 --lights led,lab --event-rate 20000 --gesture-seconds 3";
    let make: Vec<&str> = make.split(' ').collect();
    prepare(&[&make[..], synth, &["-o", archive.to_str().unwrap()]].concat());
    prepare(&["-T", "4", "-i", data]);
    let train = "-T 4 --channels 24 -b 8 --lr 0.01 --t-max 14";
    let train: Vec<&str> = train.split(' ').collect();
    let place = ["--data-dir", data, "--out-dir", data];
    let said = run(&[&train[..], &["--epochs", epochs], &place].concat());
    let last = said.lines().rfind(|l| l.starts_with("epoch=")).unwrap();
    let best = last
        .split(", ")
        .find_map(|f| f.strip_prefix("max_test_acc="))
        .unwrap();
    println!("{synth:?}: {best}");
    best.parse().unwrap()
}

#[test]
fn network_learns_gestures_but_not_shuffled_labels() {
    // With 11 classes, chance is 0.09. Always guessing the class that occurs twice in a recording
    // gives 0.17.
    let learnt = best_accuracy(&[], "14");
    let control = best_accuracy(&["--shuffle-labels"], "4");
    assert!(learnt >= 0.9, "test accuracy {learnt}");
    assert!(
        control <= 0.35,
        "test accuracy {control} on shuffled labels"
    );
}
