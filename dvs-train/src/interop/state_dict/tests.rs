#![allow(clippy::unwrap_used)]

use super::*;
use crate::interop::pytorch::{Pth, write};
use crate::testing::fixtures::general;

/// Weights that all differ, in a state dict with the names of SpikingJelly's models.
fn made(notation: &str, size: [usize; 2], bias: bool) -> Vec<Named> {
    let architecture = Architecture::build(notation, size, None, bias).unwrap();
    let parts = architecture.parts().into_iter().enumerate();
    let parts = parts.map(|(at, part)| {
        let count: usize = part.shape(&architecture).iter().product();
        (part, (0..count).map(|i| (100 * at + i) as f32).collect())
    });
    let weights = Weights {
        parts: parts.collect(),
        architecture,
    };
    state_dict(&weights, Naming::Model, LabelOrder::Plain, 0).unwrap()
}

fn read(state: &[Named], asked: Asked) -> Result<Recognised> {
    let bytes = write::state_dict(state).unwrap();
    recognise(&Pth::read(&bytes).unwrap().tensors, asked)
}

/// The error for the network in `notation` after a `change`.
fn refused(notation: &str, asked: Asked, change: impl FnOnce(&mut Vec<Named>)) -> String {
    let mut state = made(notation, [32, 32], false);
    change(&mut state);
    format!("{:#}", read(&state, asked).unwrap_err())
}

fn sized(size: [usize; 2]) -> Asked {
    Asked {
        size: Some(size),
        ..Asked::default()
    }
}

/// Names of this number of classes.
fn names(classes: usize) -> Option<Vec<String>> {
    Some((0..classes).map(|label| format!("class {label}")).collect())
}

#[test]
fn names_of_general_networks_are_spikingjelly_s() {
    for fixture in general() {
        let weights = fixture.weights();
        let state = state_dict(&weights, Naming::Model, LabelOrder::Plain, 0).unwrap();
        let names = |state: &[Named]| -> Vec<String> {
            state.iter().map(|named| named.name.clone()).collect()
        };
        assert_eq!(names(&state), names(&fixture.state()));
    }
}

#[test]
fn any_network_is_read_if_the_user_says_its_layers() {
    for fixture in general() {
        let weights = fixture.weights();
        let architecture = &weights.architecture;
        let state = state_dict(&weights, Naming::Model, LabelOrder::Plain, 0).unwrap();
        let asked = Asked {
            network: Some(architecture.to_string()),
            ..sized(architecture.size)
        };
        assert_eq!(read(&state, asked.clone()).unwrap().weights, weights);
        let other = Asked {
            network: Some(architecture.to_string().replacen("c4k", "c5k", 1)),
            ..asked
        };
        assert_eq!(
            read(&state, other).is_err(),
            architecture.to_string().contains("c4k")
        );
    }
}

/// What a state dict leaves open is what these networks have. It still is a guess, so the user has to
/// say it.
#[test]
fn networks_of_usual_layers_are_suggested() {
    for (notation, bias) in [
        (
            "c4k3s1-BN-PLIF-c4k3s1-BN-PLIF-MPk2s2-DP-FC24-PLIF-DP-FC20-PLIF-APk10s10",
            true,
        ),
        ("c4k3s1-LIF-MPk2s2-FC20-LIF-APk10s10", false),
        ("c4k3s1-LIF-FC7-LIF", false),
        ("c4k3s1-LIF-DP-FC7-LIF", false),
        (
            "c3k1s1-BN-LIF-c4k7s1-BN-PLIF-MPk2s2-DP-FC12-LIF-FC3-LIF",
            true,
        ),
        ("FC5-LIF", true),
        ("DP-FC5-PLIF-DP-FC10-PLIF", false),
    ] {
        let size = [17, 18];
        let state = made(notation, size, bias);
        let error = read(&state, sized(size)).unwrap_err().to_string();
        let suggested =
            format!("its network is '{notation}'; say its layers with --network NOTATION");
        assert!(error.ends_with(&suggested), "{error}");
        let asked = Asked {
            network: Some(notation.to_owned()),
            ..sized(size)
        };
        let found = read(&state, asked).unwrap();
        assert_eq!(found.weights.architecture.to_string(), notation);
        let again = state_dict(&found.weights, Naming::Model, LabelOrder::Plain, 0).unwrap();
        assert!(again == state, "{notation}");
    }
}

#[test]
fn other_neurons_and_classes_come_from_the_user() {
    let state = made(&NMNIST.replace("FC100", "FC120"), [34, 34], true);
    let asked = Asked {
        label_names: names(12),
        neuron: Some(NeuronName::If),
        ..Asked::default()
    };
    let found = read(&state, asked).unwrap();
    let architecture = &found.weights.architecture;
    assert_eq!(
        architecture.to_string(),
        "{c2k3s1-BN-IF-MPk2s2}*2-DP-FC8-IF-DP-FC120-IF-APk10s10"
    );
    assert_eq!((architecture.voters, architecture.classes), (10, 12));
    assert_eq!(found.order, LabelOrder::Plain);
    let error = read(&state, Asked::default()).unwrap_err().to_string();
    assert!(
        error.starts_with("it tells 12 classes apart, and does not say")
            && error.contains("say it with --label-order: plain"),
        "{error}"
    );
    let asked = Asked {
        order: Some(LabelOrder::Folder),
        ..Asked::default()
    };
    assert_eq!(read(&state, asked).unwrap().order, LabelOrder::Folder);
    let asked = Asked {
        label_names: names(40),
        ..sized([34, 34])
    };
    // Three outputs vote for each class then, as in none of SpikingJelly's classes.
    let error = read(&state, asked).unwrap_err().to_string();
    assert!(error.contains("FC120-LIF-APk3s3"), "{error}");
}

/// The form of NMNISTNet, with few channels and hidden neurons.
const NMNIST: &str = "{c2k3s1-BN-LIF-MPk2s2}*2-DP-FC8-LIF-DP-FC100-LIF-APk10s10";

#[test]
fn the_usual_size_of_frames_is_that_of_the_class() {
    let size = |state: &[Named], asked| {
        let found = read(state, asked).map_err(|error| format!("{error:#}"));
        found.map(|found| found.weights.architecture.size)
    };
    let none = Asked::default;
    let whole = NMNIST.replace("*2-", "*5-");
    assert_eq!(size(&made(NMNIST, [34, 34], true), none()), Ok([34, 34]));
    assert_eq!(
        size(&made(&whole, [128, 128], true), none()),
        Ok([128, 128])
    );
    let large = made(NMNIST, [128, 128], true);
    assert_eq!(size(&large, sized([128, 128])), Ok([128, 128]));
    for (state, needs) in [
        (large, "takes 2048 inputs, 2 channels of 1024 cells"),
        (
            made(&whole, [64, 64], true),
            "takes 8 inputs, 2 channels of 4 cells",
        ),
    ] {
        let error = size(&state, none()).unwrap_err();
        assert!(
            error.contains(needs) && error.contains("with --sensor WIDTHxHEIGHT"),
            "{error}"
        );
    }
    let other = "c2k3s1-LIF-FC4-LIF";
    let asked = Asked {
        network: Some(other.to_owned()),
        ..none()
    };
    let error = size(&made(other, [34, 34], false), asked.clone()).unwrap_err();
    assert!(
        error.contains("takes 2312 inputs, 2 channels of 1156 cells, and its network gives 32768 from frames of 128 x 128;"),
        "{error}"
    );
    assert_eq!(size(&made(other, [128, 128], false), asked), Ok([128, 128]));
}

#[test]
fn a_network_that_the_user_says_has_to_fit_the_names_of_the_classes() {
    let notation = "c4k3s1-LIF-FC6-LIF";
    let asked = |classes| Asked {
        network: Some(notation.to_owned()),
        label_names: names(classes),
        ..sized([32, 32])
    };
    let state = made(notation, [32, 32], false);
    assert_eq!(
        read(&state, asked(6)).unwrap().weights.architecture.classes,
        6
    );
    let error = format!("{:#}", read(&state, asked(3)).unwrap_err());
    assert!(
        error.ends_with(
            "the network of --network tells 6 classes apart, and --label-names has 3 names"
        ),
        "{error}"
    );
}

#[test]
fn the_tutorial_s_names_need_no_network() {
    let tutorial = NMNIST.replace("*2-", "*5-").replace("FC100", "FC110");
    let state = made(&tutorial, [32, 32], false);
    let weights = read(&state, sized([32, 32])).unwrap().weights;
    let weights = Weights {
        architecture: Architecture {
            linear_bias: false,
            ..weights.architecture
        },
        parts: weights.parts,
    };
    let state = state_dict(&weights, Naming::Tutorial, LabelOrder::Plain, 0).unwrap();
    let asked = Asked {
        network: Some(tutorial),
        ..sized([32, 32])
    };
    let error = read(&state, asked).unwrap_err().to_string();
    assert!(
        error.contains("which needs no --network; leave it out"),
        "{error}"
    );
}

#[test]
fn what_does_not_follow_is_refused_by_name() {
    let usual = "c4k3s1-BN-LIF-MPk2s2-DP-FC24-LIF-DP-FC20-LIF-APk10s10";
    let none = || Asked::default();
    let this = || sized([32, 32]);
    let rename = |from: &'static str, to: &'static str| {
        move |state: &mut Vec<Named>| {
            for named in state {
                if let Some(rest) = named.name.strip_prefix(from) {
                    named.name = format!("{to}{rest}");
                }
            }
        }
    };
    let shape = |name: &'static str, shape: &'static [usize]| {
        move |state: &mut Vec<Named>| {
            let named = state.iter_mut().find(|named| named.name == name).unwrap();
            let count = shape.iter().product();
            named.shape = shape.to_vec();
            named.values = Values::Floats(vec![0.5; count]);
        }
    };
    let is = |found: String, expected: &str| assert!(found.contains(expected), "{found}");
    is(
        refused(usual, none(), |_| {}),
        "conv_fc.6.weight takes 1024 inputs, 4 channels of 256 cells, and its network gives 16384 from frames of 128 x 128; \
         say the size of its frames with --sensor WIDTHxHEIGHT; unless it is one of SpikingJelly's DVSGestureNet, \
         CIFAR10DVSNet and NMNISTNet, say its layers with --network NOTATION",
    );
    is(
        refused(usual, sized([16, 16]), |_| {}),
        "conv_fc.6.weight has the shape [24, 1024] where [24, 256] is expected",
    );
    is(
        refused(usual, sized([1, 1]), |_| {}),
        "pooling leaves nothing of its inputs of 1 x 1",
    );
    is(
        refused(usual, this(), shape("conv_fc.0.weight", &[4, 3, 3, 3])),
        "conv_fc.0.weight takes 3 channels, where frames of events have 2",
    );
    is(
        refused(usual, this(), shape("conv_fc.0.weight", &[4, 2, 3, 5])),
        "conv_fc.0.weight has the shape [4, 2, 3, 5]; kernels are square",
    );
    is(
        refused(usual, this(), shape("conv_fc.9.weight", &[20, 25])),
        "conv_fc.9.weight has the shape [20, 25] where [20, 24] is expected",
    );
    is(
        refused(usual, this(), rename("conv_fc.6.", "conv_fc.8.")),
        "it has 5 modules without weights before conv_fc.8.weight",
    );
    is(
        refused(usual, this(), rename("conv_fc.9.", "conv_fc.11.")),
        "it has 3 modules without weights before conv_fc.11.weight, and does not say what they are; expected is none, or \
         dropout",
    );
    is(
        refused(usual, this(), rename("conv_fc.1.", "conv_fc.2.")),
        "conv_fc.2 is batch norm, where a convolution or a linear layer is expected",
    );
    is(
        refused(usual, this(), |state| {
            state.retain(|named| !named.name.ends_with("running_mean"))
        }),
        "but conv_fc.1.running_mean is missing",
    );
    is(
        refused(usual, this(), |state| {
            let mut bias = state[1].clone();
            bias.name = "conv_fc.0.bias".to_owned();
            state.push(bias);
        }),
        "but that network has no conv_fc.0.bias",
    );
    let asked = Asked {
        label_names: names(3),
        ..this()
    };
    is(
        refused(usual, asked, |_| {}),
        "its 20 outputs do not divide into 3 classes",
    );
    let asked = Asked {
        neuron: Some(NeuronName::Plif),
        ..this()
    };
    is(
        refused(usual, asked, |_| {}),
        "it has no weights of PLIF neurons",
    );
    is(
        refused(usual, this(), rename("conv_fc.", "features.")),
        "its 8 weights have names of another network",
    );
}

#[test]
fn the_tutorial_s_names_are_only_for_its_network() {
    let weights = general().first().unwrap().weights();
    let error = state_dict(&weights, Naming::Tutorial, LabelOrder::Plain, 0).unwrap_err();
    assert!(
        error.to_string().starts_with(
            "the names of the tutorial's step-by-step network fit only networks of its form, and this network is c4k3s1-"
        ),
        "{error}"
    );
}
