//! A graph as a file has it: nodes of any type with any fields, which nothing has checked yet.

use std::collections::BTreeMap;
use std::iter;

/// A graph, or a part of one that is itself a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredGraph {
    pub nodes: BTreeMap<String, StoredNode>,
    /// Names of the nodes that are connected, in any order.
    pub edges: Vec<[String; 2]>,
    /// Texts about the graph.
    pub facts: BTreeMap<String, String>,
}

/// A node of a graph.
#[derive(Clone, Debug, PartialEq)]
pub enum StoredNode {
    Layer(StoredLayer),
    /// A graph in the graph, with an input and an output of its own.
    Graph(StoredGraph),
}

/// A node that computes something.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredLayer {
    /// NIR's name of its type, such as Conv2d.
    pub kind: String,
    pub fields: BTreeMap<String, Field>,
}

/// A parameter of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    Numbers(Numbers),
    Text(String),
}

/// An array of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    shape: Vec<usize>,
    /// The numbers in row-major order; a single one if all are the same, as most parameters of
    /// neurons are.
    values: Vec<f64>,
    precision: Precision,
}

/// How the file stores a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// A whole number.
    Whole,
    /// Floating point of 32 bits or fewer.
    Single,
    /// Floating point of 64 bits.
    Double,
}

impl Numbers {
    /// An array of this shape; `None` if the shape is not that of so many numbers.
    pub fn new(shape: Vec<usize>, mut values: Vec<f64>, precision: Precision) -> Option<Self> {
        let count = shape
            .iter()
            .try_fold(1usize, |count, size| count.checked_mul(*size))?;
        if count != values.len() {
            return None;
        }
        let first = values.first().map(|first| first.to_bits());
        if values.iter().all(|value| Some(value.to_bits()) == first) {
            values.truncate(1);
            values.shrink_to_fit();
        }
        Some(Self {
            shape,
            values,
            precision,
        })
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub fn precision(&self) -> Precision {
        self.precision
    }

    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// All numbers in row-major order.
    pub fn values(&self) -> impl Iterator<Item = f64> + '_ {
        let (each, same) = match self.values.as_slice() {
            [same] => (&[][..], iter::repeat_n(*same, self.count())),
            each => (each, iter::repeat_n(0.0, 0)),
        };
        each.iter().copied().chain(same)
    }

    /// The number that all are; otherwise the first one, and the first that differs from it.
    pub fn same(&self) -> Result<f64, [f64; 2]> {
        match self.values.as_slice() {
            [] => Err([f64::NAN; 2]),
            [same] => Ok(*same),
            [first, rest @ ..] => rest
                .iter()
                .find(|value| *value != first)
                .map_or(Ok(*first), |other| Err([*first, *other])),
        }
    }
}
