//! Synthetic data in the forms of CIFAR10-DVS and N-MNIST can be prepared like the real data, and the
//! classes can be told apart.

use std::fs;
use std::path::Path;

use dvs_shared::Set;

use crate::inputs::{files, samples};
use crate::support::{dvs_prep, fail, prepare, run, stderr, text};

/// The share of test samples whose frames are nearest to the mean of their class's training samples.
fn nearest_mean(cache: &Path) -> f64 {
    let all = samples(cache);
    let shape = |frames: &[u32]| -> Vec<f64> {
        let total: u32 = frames.iter().sum();
        frames
            .iter()
            .map(|&c| f64::from(c) / f64::from(total))
            .collect()
    };
    let mean = |class: u8| -> Vec<f64> {
        let of_class = all
            .iter()
            .filter(|((set, _, l), _)| *set == Set::Train && *l == class);
        let shapes: Vec<_> = of_class.map(|(_, held)| shape(&held.frames)).collect();
        (0..shapes[0].len())
            .map(|i| shapes.iter().map(|s| s[i]).sum::<f64>())
            .collect()
    };
    let means: Vec<Vec<f64>> = (0..10).map(mean).collect();
    let alike = |a: &[f64], b: &[f64]| {
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        product(a, b) / (product(a, a) * product(b, b)).sqrt()
    };
    let test: Vec<_> = all
        .iter()
        .filter(|((set, ..), _)| *set == Set::Test)
        .collect();
    let right = test.iter().filter(|((_, _, label), held)| {
        let seen = shape(&held.frames);
        let best = (0..10u8).max_by(|&a, &b| {
            let [a, b] = [a, b].map(|class| alike(&seen, &means[usize::from(class)]));
            a.total_cmp(&b)
        });
        best == Some(*label)
    });
    right.count() as f64 / test.len() as f64
}

#[test]
fn synthetic_data_can_be_learned_and_depend_only_on_the_seed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (form, args, archives) in [
        ("cifar10dvs", &["--test-share=0.25", "-T=1"][..], 10),
        ("nmnist", &["-T=1"], 2),
    ] {
        let synth = |name: &str, more: &[&str]| {
            let path = at(&format!("{form}_{name}"));
            let size = ["--samples=20", "--event-rate=10000"];
            let line = ["synth", "--form", form, "-o", text(&path)];
            run(&[&line[..], &size, more].concat());
            let contents = files(&path).into_iter().map(|file| fs::read(file).unwrap());
            (path, contents.collect::<Vec<_>>())
        };
        let (input, first) = synth("a", &["--jobs=1"]);
        assert_eq!(first.len(), archives);
        assert_eq!(first, synth("b", &["--jobs=3"]).1);
        assert_ne!(first, synth("c", &["--seed=1"]).1);
        let cache = at(&format!("{form}.h5"));
        let output = prepare(&input, &cache, args);
        assert!(output.stderr.is_empty(), "{}", stderr(&output));
        let right = nearest_mean(&cache);
        assert!(right > 0.6, "{form}: {right}");
        let said = fail(&["synth", "--form", form, "-o", text(&input)]);
        assert!(said.contains("is not replaced"), "{said}");
    }
    for wrong in [
        &["synth", "--form=nmnist", "--users=3"][..],
        &["synth", "--samples=3"],
    ] {
        let output = dvs_prep(wrong).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
}
