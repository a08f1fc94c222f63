//! The networks of `tests/data/networks.json`. Their weights and frames follow from the formula that
//! `tests/data/make_networks.py` explains.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use burn::tensor::TensorData;
use serde::Deserialize;

use crate::interop::label_order::LabelOrder;
use crate::interop::named::{Named, Values};
use crate::interop::naming::Naming;
use crate::nn::architecture::Architecture;
use crate::run_dir::weight_layout::Weights;

const MODULUS: u64 = 1_000_003;
/// The number of the tensor of frames.
const FRAMES: u64 = 1000;

/// A network and what SpikingJelly computed with it.
#[derive(Debug, Deserialize)]
pub struct Fixture {
    pub name: String,
    /// SpikingJelly's class, or else the notation.
    pub class: Option<String>,
    #[serde(default)]
    pub notation: String,
    /// Height and width of a frame.
    pub size: [usize; 2],
    pub steps: usize,
    pub batch: usize,
    /// The labels of the samples in training.
    #[serde(default)]
    pub labels: Vec<usize>,
    seed: u64,
    /// The sum of all frames.
    events: u64,
    tensors: Vec<Facts>,
}

#[derive(Debug, Deserialize)]
struct Facts {
    name: String,
    shape: Vec<usize>,
    #[serde(default)]
    centre: f64,
    #[serde(default)]
    width: f64,
    integer: Option<i64>,
}

/// The networks of SpikingJelly's classes.
pub fn of_classes() -> Vec<Fixture> {
    let fixtures = all().into_iter();
    fixtures.filter(|fixture| fixture.class.is_some()).collect()
}

/// The networks of other forms.
pub fn general() -> Vec<Fixture> {
    let fixtures = all().into_iter();
    fixtures.filter(|fixture| fixture.class.is_none()).collect()
}

fn all() -> Vec<Fixture> {
    #[derive(Deserialize)]
    struct Stored {
        networks: Vec<Fixture>,
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
    let text = fs::read_to_string(folder.join("networks.json")).unwrap();
    serde_json::from_str::<Stored>(&text).unwrap().networks
}

impl Fixture {
    /// The state dict.
    pub fn state(&self) -> Vec<Named> {
        let tensors = self.tensors.iter().enumerate();
        let tensors = tensors.map(|(at, facts)| {
            let value = |place: usize| {
                let n = draw(self.seed, at as u64, place as u64) as f64;
                (facts.centre + facts.width * (n / MODULUS as f64 - 0.5)) as f32
            };
            let count: usize = facts.shape.iter().product();
            Named {
                name: facts.name.clone(),
                shape: facts.shape.clone(),
                values: match facts.integer {
                    Some(integer) => Values::Count(integer),
                    None => Values::Floats((0..count).map(value).collect()),
                },
            }
        });
        tensors.collect()
    }

    /// The form of a network in notation.
    pub fn architecture(&self) -> Architecture {
        Architecture::build(&self.notation, self.size, None, false).unwrap()
    }

    /// The weights of a network in notation.
    pub fn weights(&self) -> Weights {
        let architecture = self.architecture();
        let names = Naming::Model.names(&architecture).unwrap();
        let state = self.state();
        let parts = architecture.parts().into_iter().map(|part| {
            let name = names.name(part);
            let found = state.iter().find(|named| named.name == name).unwrap();
            assert_eq!(found.shape, part.shape(&architecture), "{name}");
            match &found.values {
                Values::Floats(values) => (part, values.clone()),
                Values::Count(_) => unreachable!("{name}"),
            }
        });
        let parts = parts.collect();
        Weights {
            architecture,
            parts,
        }
    }

    /// The frames `[T, B, 2, H, W]`.
    pub fn frames(&self) -> TensorData {
        let [height, width] = self.size;
        let shape = [self.steps, self.batch, 2, height, width];
        let mut counts = Vec::new();
        for t in 0..self.steps {
            for b in 0..self.batch {
                for p in 0..2 {
                    for y in 0..height {
                        for x in 0..width {
                            let n = draw(self.seed, FRAMES, counts.len() as u64);
                            let stripe = ((b + 1) * x + (b + 2) * y + 3 * t + 4 * p) / 16 % 2;
                            let count = match stripe {
                                1 => n % 4,
                                _ => u64::from(n.is_multiple_of(16)),
                            };
                            counts.push(count as f32);
                        }
                    }
                }
            }
        }
        let events: f64 = counts.iter().map(|count| f64::from(*count)).sum();
        assert_eq!(events, self.events as f64);
        TensorData::new(counts, shape)
    }

    /// Puts SpikingJelly's rates `[B, classes]` into the order of the labels, if its outputs are in
    /// `order`.
    pub fn by_label(&self, rates: &[f32], order: LabelOrder) -> Vec<f32> {
        let classes = rates.len() / self.batch;
        let samples = rates.chunks(classes);
        let samples = samples.map(|rates| order.to_plain(rates, classes));
        samples.flatten().collect()
    }
}

fn draw(seed: u64, tensor: u64, place: u64) -> u64 {
    let n = (seed + 7919 * tensor + 104_729 * place) % MODULUS;
    let n = (n * n + 1) % MODULUS;
    n * n % MODULUS
}
