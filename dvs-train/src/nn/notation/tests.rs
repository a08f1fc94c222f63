#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

/// The layers of `text`, written out.
fn layers(text: &str) -> String {
    let layers = parse(text).unwrap();
    let layers: Vec<String> = layers.iter().map(|(layer, _)| layer.to_string()).collect();
    layers.join("-")
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn writes_repetitions_out() {
    assert_eq!(
        layers("{{c4k3s1-BN-PLIF}*2-MPk2s2}*2-DP0.25-FC20-IF-APk10s10"),
        "c4k3s1-BN-PLIF-c4k3s1-BN-PLIF-MPk2s2-c4k3s1-BN-PLIF-c4k3s1-BN-PLIF-MPk2s2-DP0.25-FC20-IF-APk10s10"
    );
    assert_eq!(layers("{DP}"), "DP");
    assert_eq!(layers("c1k5s2p0-c1k4s1-DP0.5"), "c1k5s2p0-c1k4s1-DP");
}

#[test]
fn errors_point_at_the_place() {
    let text = error("{c4k3s1-BN-XY}*2");
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("the network's notation, character 12: a layer is expected here"),
        "{text}"
    );
    assert_eq!(lines[1..], ["  {c4k3s1-BN-XY}*2", "             ^"]);
    for (text, expected) in [
        ("", "character 1: a layer is expected here"),
        ("BN-", "character 4: a layer is expected here"),
        ("BN,LIF", "character 3: a - is expected between two layers"),
        ("BN}", "character 3: there is no { that this } closes"),
        ("BN-{LIF", "character 4: no } closes this brace"),
        ("{BN LIF}", "character 4: a - or a } is expected here"),
        (
            "{BN}*",
            "character 6: the number of repetitions is expected here",
        ),
        ("{BN}*0", "character 6: the number of repetitions is 0"),
        (
            "{{BN}*1000}*1000",
            "character 13: the network has more than 1024 layers",
        ),
        (
            "{{{{{{{{{BN}}}}}}}}}",
            "character 9: more than 8 braces are nested",
        ),
        (
            "c4",
            "character 3: k and the size of the kernel are expected here",
        ),
        (
            "c4k8s1",
            "character 4: the size of the kernel is 8, which is not within 1 and 7",
        ),
        (
            "c4k3s99999999999999999999",
            "character 6: the stride is 99999999999999999999",
        ),
        (
            "c4k3s1p3",
            "character 8: the padding is 3, which is not within 0 and 2",
        ),
        (
            "MP2",
            "character 3: k and the size of a window are expected here",
        ),
        ("DP1.0", "character 3: the probability of dropout is 1.0"),
        (
            "DP0.1.2",
            "character 3: the probability of dropout is 0.1.2",
        ),
        ("FC", "character 3: the number of outputs is expected here"),
        ("FCé", "character 3: the number of outputs is expected here"),
        ("BN-é", "character 4: a layer is expected here"),
    ] {
        let found = error(text);
        assert!(found.contains(expected), "{text:?}: {found}");
    }
}

#[test]
fn long_notations_are_refused_and_errors_show_an_excerpt() {
    let long = "FC1-LIF-".repeat(600);
    let text = error(&long);
    assert!(
        text.contains("it has 4800 bytes, and 4096 are the most"),
        "{text}"
    );
    assert!(text.len() < 300, "{text}");
    let text = error(&format!("{}FC", "FC1-LIF-".repeat(30)));
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[1].starts_with("  ...") && lines[1].ends_with("LIF-FC"),
        "{text}"
    );
    assert_eq!(lines[2].find('^'), Some(lines[1].len()), "{text}");
}

#[test]
fn errors_show_no_control_characters() {
    let text = error("BN-\u{1b}[31m\nLIF");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert_eq!(text.lines().count(), 3, "{text:?}");
}
