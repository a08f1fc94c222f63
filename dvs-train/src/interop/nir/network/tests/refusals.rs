//! Graphs that this program's network cannot express are refused with the reason.

use super::*;

#[test]
fn what_the_network_has_not_is_refused_by_name() {
    let text = refused(|graph| {
        let cuba = layer(graph, "conv3_neurons");
        cuba.kind = "CubaLIF".to_owned();
        cuba.fields.insert("tau_syn".to_owned(), one(0.002));
        layer(graph, "conv2_pool").kind = "MaxPool2d".to_owned();
    });
    for part in [
        "node 'conv3_neurons' (CubaLIF) is of no type that can be imported with",
        "tau_syn=0.002",
        "this program has the neurons LIF and IF",
        "node 'conv2_pool' (MaxPool2d)",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let comes = |node: &str, kind: &str, expected: &str| {
        let text = refused(|graph| layer(graph, node).kind = kind.to_owned());
        assert!(text.starts_with(expected), "{text}");
    };
    comes(
        "conv2_pool",
        "Affine",
        "node 'conv2_pool' (Affine) comes after node 'conv2_neurons' (LIF), where Conv2d, SumPool2d, AvgPool2d or Flatten is \
         expected",
    );
    comes(
        "conv2_pool_neurons",
        "Flatten",
        "node 'conv2_pool_neurons' (Flatten) comes after node 'conv2_pool' (SumPool2d), where LIF or IF (neurons that make \
         the pooling max pooling) is expected",
    );
    comes(
        "fc1",
        "Conv2d",
        "node 'fc1' (Conv2d) comes after node 'flatten' (Flatten), where Affine or Linear is expected",
    );
    comes(
        "fc2",
        "Flatten",
        "node 'fc2' (Flatten) comes after node 'fc1_neurons' (LIF), where Affine, Linear or Output is expected",
    );
    // Without neurons after it, the vote would be one more linear layer.
    let text = refused(|graph| layer(graph, "fc2_neurons").kind = "Linear".to_owned());
    assert!(
        text.contains("node 'fc2_neurons' (Linear) comes after node 'fc2'"),
        "{text}"
    );
}

#[test]
fn every_field_that_does_not_fit_is_named() {
    let shape = [2, 8, 16];
    let count = shape.iter().product();
    let mut thresholds = vec![1.0; count];
    thresholds[5] = 0.75;
    let text = refused(|graph| {
        set(
            graph,
            "conv3_neurons",
            "v_threshold",
            all(&shape, thresholds),
        );
        set(graph, "conv1", "dilation", all(&[2], vec![2.0, 2.0]));
        set(graph, "conv1", "groups", one(2.0));
        set(graph, "conv2", "bias", all(&[2], vec![0.5, f64::NAN]));
        set(graph, "conv4", "weight", all(&[2, 1, 3, 3], vec![1.0; 18]));
        set(graph, "fc1", "delay", one(1.0));
        set(graph, "fc2_neurons", "tau", Field::Text("long".to_owned()));
        set(graph, "flatten", "start_dim", one(1.0));
        set(graph, "vote", "weight", all(&[11, 110], vec![0.1; 1210]));
    });
    for part in [
        "node 'conv3_neurons' (LIF): v_threshold is 1 for some neurons and 0.75 for others",
        "node 'conv1' (Conv2d): dilation is [2.0, 2.0] where 1 is expected, groups is [2.0]",
        "node 'conv2' (Conv2d): bias has the value NaN at place 1",
        "node 'conv4' (Conv2d): weight has the shape [2, 1, 3, 3] where [2, 2, 3, 3] is expected",
        "node 'fc1' (Affine): its field delay is unknown",
        "node 'fc2_neurons' (LIF): tau is \"long\", not a number",
        "node 'flatten' (Flatten): start_dim is [1.0] where 0 or -3 is expected",
        "node 'vote' (Linear): row 0 of weight is not the mean over 10 neurons",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let near = |text: String, part: &str| assert!(text.contains(part), "{part} in {text}");
    near(
        refused(|graph| set(graph, "input", "shape", all(&[3], vec![3.0, 32.0, 32.0]))),
        "[3, 32, 32], where [2, height, width]",
    );
    near(
        refused(|graph| set(graph, "fc2", "weight", all(&[40, 3], vec![0.0; 120]))),
        "node 'vote' (Linear): it has 11 outputs, and 40 neurons before it do not divide into as many groups",
    );
    near(
        refused(|graph| set(graph, "fc2", "weight", all(&[110, 4], vec![0.0; 440]))),
        "node 'fc2' (Affine): weight has the shape [110, 4] where [110, 3] is expected",
    );
    near(
        refused(|graph| set(graph, "conv1", "weight", all(&[0, 2, 3, 3], Vec::new()))),
        "node 'conv1' (Conv2d): channels 0",
    );
    near(
        refused(|graph| set(graph, "conv1", "weight", all(&[2, 2, 3, 1], vec![0.0; 12]))),
        "node 'conv1' (Conv2d): weight has the shape [2, 2, 3, 1] where [channels, 2, K, K] is expected, with a square",
    );
    near(
        refused(|graph| set(graph, "conv1", "stride", all(&[2], vec![1.0, 2.0]))),
        "node 'conv1' (Conv2d): stride is [1.0, 2.0] where a number from 1 to 7 is expected, the same in both directions",
    );
    near(
        refused(|graph| {
            set(graph, "conv1", "stride", one(2.0));
            set(graph, "conv1", "padding", Field::Text("same".to_owned()));
        }),
        "padding is \"same\", which is known only for a stride of 1",
    );
    near(
        refused(|graph| set(graph, "conv3_pool", "kernel_size", one(8.0))),
        "node 'conv3_pool' (SumPool2d): kernel_size is [8.0] where a number from 1 to 7 is expected",
    );
    near(
        refused(|graph| set(graph, "conv3_pool", "padding", one(1.0))),
        "node 'conv3_pool' (SumPool2d): padding is [1.0] where 0 is expected",
    );
    // The shapes that follow are others then.
    near(
        refused(|graph| set(graph, "conv1", "stride", one(2.0))),
        "node 'conv2' (Conv2d): input_shape is [16, 32] where [8, 16] is expected",
    );
}

#[test]
fn neurons_that_are_not_those_of_this_program_are_refused() {
    let near = |text: String, part: &str| assert!(text.contains(part), "{part} in {text}");
    near(
        refused(|graph| set(graph, "conv2_neurons", "v_leak", one(0.5))),
        "node 'conv2_neurons' (LIF): v_leak is 0.5 and v_reset 0",
    );
    near(
        refused(|graph| set(graph, "conv2_neurons", "tau", one(1e-4))),
        "tau has to be above one step",
    );
    near(
        refused(|graph| set(graph, "conv2_neurons", "r", one(3.0))),
        "node 'conv2_neurons' (LIF): r is 3, where 1 or tau / dt = 2 is expected, with dt 1.000000e-4 s",
    );
    near(
        refused(|graph| set(graph, "conv2_neurons", "v_threshold", one(2.0))),
        "node 'conv2_neurons' (LIF) has v_threshold 2, and node 'conv1_neurons' (LIF) has 0.99999",
    );
    near(
        refused(|graph| set(graph, "conv2_pool_neurons", "v_threshold", one(1.0))),
        "to make max pooling of the pooling before, it has to be between 0 and 1, the potential after one spike, or \
         --spike-at-threshold if",
    );
    near(
        refused(|graph| layer(graph, "fc1_neurons").kind = "IF".to_owned()),
        "node 'fc1_neurons' (IF): its field tau, v_leak is unknown",
    );
    let mut graph = exported();
    set(&mut graph, "fc1_neurons", "tau", one(3e-4));
    let plif = network(&graph, &ASKED).unwrap();
    let w = plif.weights.get(Weight::Tau(5));
    assert_eq!(w, [-(2.0_f32.ln())]);
    let asked = Asked {
        learnt_tau: Some(false),
        ..ASKED
    };
    near(
        network(&graph, &asked).unwrap_err().to_string(),
        "tau differs between the layers (2 in conv1, 2 in conv2, 2 in conv3, 2 in conv4, 2 in conv5, 3 in fc1, 2 in fc2 steps)",
    );
}

#[test]
fn a_graph_without_a_step_needs_one() {
    let mut graph = exported();
    for block in ["conv1", "conv2", "conv3", "conv4", "conv5"] {
        let name = format!("{block}_pool_neurons");
        layer(&mut graph, &name).kind = "LIF".to_owned();
        for (field, value) in [
            ("r", 1.0),
            ("tau", 4e-4),
            ("v_leak", 0.0),
            ("v_threshold", 0.2),
        ] {
            set(&mut graph, &name, field, one(value));
        }
    }
    let text = network(&graph, &ASKED).unwrap_err().to_string();
    assert!(text.contains("say it with --dt"), "{text}");
    for (dt, tau) in [(1e-4, 2.0), (5e-5, 4.0)] {
        let asked = Asked {
            dt: Some(dt),
            ..ASKED
        };
        let found = network(&graph, &asked);
        // In steps of half the length, one spike charges the neurons half as much: 1/8 is too little.
        match found {
            Ok(found) => assert_eq!((found.tau, found.decay_input), (Some(tau), Some(true))),
            Err(error) => assert!(
                dt < 1e-4 && error.to_string().contains("between 0 and 0.125"),
                "{error}"
            ),
        }
    }
}

#[test]
fn graphs_that_are_no_chains_are_refused() {
    let edge = |from: &str, to: &str| [from.to_owned(), to.to_owned()];
    let near = |text: String, part: &str| assert!(text.contains(part), "{part} in {text}");
    near(
        refused(|graph| graph.edges.push(edge("fc1_neurons", "fc1"))),
        "node 'fc1' (Affine) comes after node 'flatten' (Flatten), node 'fc1_neurons' (LIF), in a loop",
    );
    near(
        refused(|graph| graph.edges.push(edge("conv1", "vote"))),
        "node 'conv1' (Conv2d) leads to node 'conv1_neurons' (LIF), node 'vote' (Linear); this program's network is a chain",
    );
    near(
        refused(|graph| graph.edges.push(edge("output", "input"))),
        "form a loop",
    );
    near(
        refused(|graph| graph.edges.retain(|[from, _]| from != "conv4")),
        "the graph ends with node 'conv4' (Conv2d), not with its output node 'output' (Output)",
    );
    near(
        refused(|graph| graph.edges.push(edge("fc1", "fc9"))),
        "an edge names the node 'fc9', which the graph has not",
    );
    near(
        refused(|graph| {
            let copy = graph.nodes.get("fc1").unwrap().clone();
            graph.nodes.insert("spare".to_owned(), copy);
        }),
        "no edges lead from the input to node 'spare' (Affine)",
    );
    near(
        refused(|graph| {
            let copy = graph.nodes.get("input").unwrap().clone();
            graph.nodes.insert("second".to_owned(), copy);
        }),
        "the graph has the inputs input, second and the output 'output', where one of each is expected",
    );
    near(
        network(&StoredGraph::default(), &ASKED)
            .unwrap_err()
            .to_string(),
        "the graph has no input and no output",
    );
    near(
        refused(|graph| {
            let inner = StoredNode::Graph(StoredGraph::default());
            graph.nodes.insert("flatten".to_owned(), inner);
        }),
        "the graph in the node 'flatten' has no input and no output",
    );
}
