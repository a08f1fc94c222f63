#![allow(clippy::unwrap_used, clippy::panic)]

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::*;

const TUTORIAL: &str = "{c128k3s1-BN-LIF-MPk2s2}*5-DP-FC512-LIF-DP-FC110-LIF-APk10s10";

fn error(notation: &str, size: [usize; 2], classes: usize) -> String {
    let error = Architecture::build(notation, size, Some(classes), false);
    error.unwrap_err().to_string()
}

#[test]
fn builds_the_network_of_the_tutorial_and_writes_it_back() {
    let network = Architecture::build(TUTORIAL, [128, 128], Some(11), false).unwrap();
    assert_eq!(network.to_string(), TUTORIAL);
    assert_eq!(
        network.layer_names(),
        ["conv1", "conv2", "conv3", "conv4", "conv5", "fc1", "fc2"]
    );
    assert_eq!(network.voters, 10);
    assert_eq!(network.linears[0].inputs, 128 * 4 * 4);
    assert_eq!(network.linears[1].dropout, 0.5);
    let sizes: Vec<_> = network.blocks.iter().map(BlockForm::pooled).collect();
    assert_eq!(sizes, [[64; 2], [32; 2], [16; 2], [8; 2], [4; 2]]);
}

#[test]
fn floors_sizes_that_do_not_divide() {
    let notation = "c4k5s2-BN-LIF-APk2s2-c6k3s1-IF-MPk3s2-FC4-PLIF";
    let network = Architecture::build(notation, [33, 20], None, true).unwrap();
    assert_eq!(network.to_string(), notation);
    let [first, second] = &network.blocks[..] else {
        panic!("{network:?}");
    };
    assert_eq!((first.convolved(), first.pooled()), ([17, 10], [8, 5]));
    assert_eq!((second.convolved(), second.pooled()), ([8, 5], [3, 2]));
    assert_eq!(network.linears[0].inputs, 6 * 3 * 2);
    assert_eq!((network.classes, network.voters), (4, 1));
    assert!(!second.norm);
    let spikes = [0, 1, 2].map(|layer| network.takes_spikes(layer));
    assert_eq!(spikes, [false, false, true]);
}

#[test]
fn errors_point_at_layers_that_do_not_fit() {
    for (notation, size, expected) in [
        ("", [8, 8], "character 1: a layer is expected here"),
        (
            "c4k3s1-BN-LIF",
            [8, 8],
            "character 14: a linear layer with neurons is expected",
        ),
        (
            "c4k3s1-BN-MPk2s2-FC3-LIF",
            [8, 8],
            "character 11: neurons are expected after batch norm",
        ),
        (
            "c4k3s1-FC3-LIF",
            [8, 8],
            "character 8: neurons are expected after a convolution",
        ),
        (
            "FC3",
            [8, 8],
            "character 4: neurons are expected after a linear layer",
        ),
        (
            "FC3-BN-LIF",
            [8, 8],
            "character 5: neurons are expected after a linear layer",
        ),
        (
            "FC9-LIF-c4k3s1-BN-LIF",
            [8, 8],
            "character 9: c4k3s1 is out of place here",
        ),
        (
            "BN-FC3-LIF",
            [8, 8],
            "character 1: BN is out of place here; a block or",
        ),
        ("LIF", [8, 8], "character 1: LIF is out of place here"),
        (
            "FC3-LIF-DP",
            [8, 8],
            "character 11: a convolution or a linear layer is expected after dropout",
        ),
        (
            "DP-DP-FC3-LIF",
            [8, 8],
            "character 4: a convolution or a linear layer is expected after dropout",
        ),
        (
            "FC4-LIF",
            [8, 8],
            "character 1: 4 outputs, 1 for each class, are for 4 classes, and the data has 3; FC3 is",
        ),
        (
            "FC9-LIF-FC20-LIF-APk10s10",
            [8, 8],
            "character 9: 20 outputs, 10 for each class, are for 2 classes",
        ),
        (
            "FC30-LIF-APk10s5",
            [8, 8],
            "character 10: the outputs of a linear layer take no pooling but voting",
        ),
        (
            "FC30-LIF-MPk10s10",
            [8, 8],
            "character 10: the outputs of a linear layer take no pooling",
        ),
        (
            "FC30-LIF-APk10s10-FC3-LIF",
            [8, 8],
            "character 19: voting is the last layer",
        ),
        (
            "FC31-LIF-APk10s10",
            [8, 8],
            "character 10: 31 outputs do not divide into groups of 10",
        ),
        (
            "{c4k3s1-BN-LIF-MPk2s2}*4-FC3-LIF",
            [8, 8],
            "pooling leaves nothing of its inputs of 1 x 1; frames of 8 x 8",
        ),
        (
            "c4k7s1p0-LIF-FC3-LIF",
            [6, 8],
            "character 1: its inputs of 6 x 8 are smaller than its kernel",
        ),
        (
            "c4k3s1-LIF-MPk8s8-FC3-LIF",
            [9, 9],
            "character 12: the window of a pooling is 8, and 7 is the largest",
        ),
        (
            "FC65536-LIF-FC65536-LIF-FC3-LIF",
            [8, 8],
            "character 13: with 65536 x 65536 weights, the network has more than",
        ),
    ] {
        let found = error(notation, size, 3);
        assert!(found.contains(expected), "{notation}: {found}");
    }
}

/// Any text gives a network or an error, and the notation of a network gives the same network.
#[test]
fn notations_of_random_parts_never_panic_and_round_trip() {
    const PARTS: [&str; 18] = [
        "c4k3s1-BN-LIF",
        "c2k5s2-PLIF",
        "c3k4s1p0-IF",
        "c1k1s7",
        "BN",
        "FC6-PLIF",
        "FC4-LIF",
        "FC4-LIF",
        "MPk2s2",
        "APk3s2",
        "DP",
        "DP0.25",
        "{",
        "}",
        "}*2",
        "-",
        "9",
        "\u{e9}",
    ];
    let mut random = Pcg64::seed_from_u64(5);
    let mut built = 0;
    for _ in 0..40_000 {
        let mut text = String::new();
        for _ in 0..1 + random.next_u64() % 6 {
            // Mostly well-formed, so that many get as far as their shapes.
            if !text.is_empty() && !text.ends_with(['{', '-']) && random.next_u64() % 8 > 0 {
                text.push('-');
            }
            text += PARTS[(random.next_u64() % PARTS.len() as u64) as usize];
        }
        match Architecture::build(&text, [13, 18], None, false) {
            Ok(network) => {
                let again = Architecture::build(&network.to_string(), [13, 18], None, false);
                assert_eq!(again.unwrap(), network, "{text}");
                built += 1;
            }
            Err(error) => assert_eq!(error.to_string().lines().count(), 3, "{text}"),
        }
    }
    assert!(built > 100, "{built}");
}
