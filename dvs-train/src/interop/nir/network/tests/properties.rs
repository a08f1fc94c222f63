//! What holds for all names, orders and fields.

use proptest::prelude::*;

use super::*;

/// A field that may mean anything.
fn any_field() -> impl Strategy<Value = Option<Field>> {
    let number = prop_oneof![
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(-1.0),
        Just(0.0),
        Just(1e300),
        any::<f64>()
    ];
    let numbers = (prop::collection::vec(0..4usize, 0..5), number).prop_map(|(shape, number)| {
        let count: usize = shape.iter().product();
        Field::Numbers(Numbers::new(shape, vec![number; count], Precision::Double).unwrap())
    });
    prop_oneof![
        Just(None),
        numbers.prop_map(Some),
        ".{0,9}".prop_map(|text| Some(Field::Text(text)))
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn names_and_the_order_of_edges_do_not_matter(
        names in prop::collection::hash_set("\\PC{1,12}", 30),
        order in prop::collection::vec(any::<u64>(), 27),
    ) {
        let graph = exported();
        let expected = network(&graph, &ASKED).unwrap();
        let names: BTreeMap<&String, &String> = graph.nodes.keys().zip(&names).collect();
        let renamed = |name: &String| names[name].clone();
        let edges = graph.edges.iter().map(|edge| edge.each_ref().map(renamed));
        let mut edges: Vec<_> = order.iter().zip(edges).collect();
        edges.sort();
        let nodes = graph.nodes.iter();
        let nodes = nodes.map(|(name, node)| (renamed(name), node.clone()));
        let graph = StoredGraph {
            nodes: nodes.collect(),
            edges: edges.into_iter().map(|(_, edge)| edge).collect(),
            ..StoredGraph::default()
        };
        let found = network(&graph, &ASKED).unwrap();
        prop_assert!(found.weights == expected.weights && neurons(&found) == neurons(&expected));
    }

    #[test]
    fn no_graph_makes_the_import_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any_field()), 1..4),
        kinds in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..2),
        edges in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..3),
    ) {
        let mut graph = exported();
        let names: Vec<String> = graph.nodes.keys().cloned().collect();
        let all_kinds = ["Input", "Output", "Conv2d", "AvgPool2d", "Flatten", "Linear", "Affine", "IF", "LIF", "Scale"];
        for (node, field, value) in changes {
            let fields = &mut layer(&mut graph, node.get::<String>(&names)).fields;
            let keys: Vec<String> = fields.keys().cloned().collect();
            let key = field.get(&keys).clone();
            match value {
                Some(value) => fields.insert(key, value),
                None => fields.remove(&key),
            };
            if fields.is_empty() {
                fields.insert("shape".to_owned(), one(1.0));
            }
        }
        for (node, kind) in kinds {
            layer(&mut graph, node.get::<String>(&names)).kind = (*kind.get(&all_kinds)).to_owned();
        }
        for (from, to) in edges {
            graph.edges.push([from.get(&names).clone(), to.get(&names).clone()]);
        }
        let _ = network(&graph, &ASKED);
    }
}
