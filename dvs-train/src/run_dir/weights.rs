//! Conversion between a network with its optimizer and named arrays.
//!
//! A weight's name is the path of its field, as in `network.blocks.0.conv.weight`. Names of the
//! optimizer's state begin with `optimizer` and end with PyTorch's name, as in
//! `optimizer.blocks.0.conv.weight.exp_avg`. Linear weights are `[inputs, outputs]`.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, ensure};
use burn::module::{AutodiffModule, Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::ops::{FloatTensor, FloatTensorOps};
use burn::tensor::{Tensor, TensorData};
use burn_snn::backend::primitive::tensor;

use crate::optim::optimizer::{Optimizer, Rule};

const NETWORK: &str = "network.";
const OPTIMIZER: &str = "optimizer.";
/// How the paths of weights of linear layers began before version 3 of checkpoints, and how they begin
/// now.
const OLD_LINEARS: [(&str, &str); 4] = [
    ("hidden.", "linears.0.linear."),
    ("hidden_neurons.", "linears.0.neurons."),
    ("output.", "linears.1.linear."),
    ("output_neurons.", "linears.1.neurons."),
];

/// Arrays by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensors(pub BTreeMap<String, Array>);

/// Values and their shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    /// Values, row by row.
    pub values: Vec<f32>,
}

impl Tensors {
    /// Copies all weights and state from the device.
    ///
    /// # Errors
    /// Returns an error if the device fails.
    pub fn take<B: AutodiffBackend, M: AutodiffModule<B>>(
        network: &M,
        optimizer: &Optimizer<B>,
    ) -> Result<Self> {
        let mut copy = Copy {
            path: Path::default(),
            optimizer,
            tensors: BTreeMap::new(),
            failure: None,
        };
        // `valid` also gathers the running statistics, which each thread keeps separately.
        network.valid().visit(&mut copy);
        match copy.failure {
            Some(failure) => Err(failure),
            None => Ok(Self(copy.tensors)),
        }
    }

    /// Renames the linear layers of checkpoints before version 3, in which each had its own field.
    pub fn rename_old_linears(&mut self) {
        let renamed = std::mem::take(&mut self.0)
            .into_iter()
            .map(|(name, array)| {
                let found = OLD_LINEARS.iter().find_map(|(old, new)| {
                    let (owner, path) = name.split_once('.')?;
                    let rest = path.strip_prefix(old)?;
                    Some(format!("{owner}.{new}{rest}"))
                });
                (found.unwrap_or(name), array)
            });
        self.0 = renamed.collect();
    }

    /// Removes the state of the optimizer.
    pub fn drop_optimizer(&mut self) {
        self.0.retain(|name, _| !name.starts_with(OPTIMIZER));
    }

    /// Puts these weights into `network`.
    ///
    /// # Errors
    /// Returns an error if a weight is missing, has a different shape, or does not belong to
    /// `network`.
    pub fn network<B: Backend, M: Module<B>>(&self, network: M) -> Result<M> {
        let mut restore = Restore {
            path: Path::default(),
            tensors: self,
            restored: 0,
            failure: None,
        };
        let network = network.map(&mut restore);
        if let Some(failure) = restore.failure {
            return Err(failure);
        }
        let there = self.0.keys().filter(|name| name.starts_with(NETWORK));
        let (there, restored) = (there.count(), restore.restored);
        ensure!(
            there == restored,
            "it holds {there} weights of a network, where this one has {restored}"
        );
        Ok(network)
    }

    /// Restores the optimizer for the weights of `network`.
    ///
    /// # Errors
    /// Returns an error with the name of the state that is missing or has a different shape.
    pub fn optimizer<B: AutodiffBackend, M: Module<B>>(
        &self,
        rule: Rule,
        steps: u64,
        network: &M,
    ) -> Result<Optimizer<B>> {
        let mut optimizer = Optimizer::new(rule);
        if steps == 0 {
            // No step was taken (loss scaling may have skipped some), so there is no state.
            return Ok(optimizer);
        }
        optimizer.steps = steps;
        let mut resume = Resume::<B> {
            path: Path::default(),
            tensors: self,
            rule,
            state: HashMap::new(),
            failure: None,
        };
        network.visit(&mut resume);
        match resume.failure {
            Some(failure) => Err(failure),
            None => {
                optimizer.state = resume.state;
                Ok(optimizer)
            }
        }
    }

    fn get(&self, name: &str, shape: &[usize]) -> Result<&Array> {
        let array = self.0.get(name);
        let array = array.with_context(|| format!("{name} is missing"))?;
        ensure!(
            array.shape == shape,
            "{name} has the shape {:?} where this network's has {shape:?}",
            array.shape
        );
        Ok(array)
    }
}

/// Path of the current field in the network.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    fn enter(&mut self, name: &str) {
        self.0.push(name.to_owned());
    }

    fn exit(&mut self) {
        self.0.pop();
    }

    fn weight(&self) -> String {
        self.0.join(".")
    }
}

/// Copies weights and state.
struct Copy<'a, B: AutodiffBackend> {
    path: Path,
    optimizer: &'a Optimizer<B>,
    tensors: BTreeMap<String, Array>,
    failure: Option<anyhow::Error>,
}

impl<B: AutodiffBackend> Copy<'_, B> {
    fn put<const D: usize>(&mut self, name: String, tensor: Tensor<B::InnerBackend, D>) {
        let shape = tensor.dims().to_vec();
        let values = tensor
            .try_into_data()
            .map_err(anyhow::Error::from)
            .and_then(|data| Ok(data.convert::<f32>().into_vec()?));
        match values {
            Ok(values) => {
                self.tensors.insert(name, Array { shape, values });
            }
            Err(error) => {
                self.failure = Some(error.context(format!("cannot copy {name} from the device")));
            }
        }
    }
}

impl<B: AutodiffBackend> ModuleVisitor<B::InnerBackend> for Copy<'_, B> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B::InnerBackend, D>>) {
        let weight = self.path.weight();
        self.put(format!("{NETWORK}{weight}"), param.val());
        let state = self.optimizer.state.get(&param.id).cloned();
        let slots = self.optimizer.rule.slots();
        for (slot, kept) in slots.iter().zip(state.into_iter().flatten()) {
            let kept = tensor::<B::InnerBackend, D>(kept).flatten::<1>(0, D - 1);
            self.put(format!("{OPTIMIZER}{weight}.{slot}"), kept);
        }
    }
}

/// Puts weights into a network.
struct Restore<'a> {
    path: Path,
    tensors: &'a Tensors,
    restored: usize,
    failure: Option<anyhow::Error>,
}

impl<B: Backend> ModuleMapper<B> for Restore<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, tensor, mapper) = param.consume();
        let name = format!("{NETWORK}{}", self.path.weight());
        let tracked = tensor.is_require_grad();
        let tensor = match self.tensors.get(&name, &tensor.dims()) {
            Ok(array) => {
                self.restored += 1;
                let data = TensorData::new(array.values.clone(), tensor.dims());
                Tensor::from_data(data, &tensor.device()).set_require_grad(tracked)
            }
            Err(error) => {
                self.failure.get_or_insert(error);
                tensor
            }
        };
        Param::from_mapped_value(id, tensor, mapper)
    }
}

/// Restores the state of an optimizer under the network's current parameter ids.
struct Resume<'a, B: AutodiffBackend> {
    path: Path,
    tensors: &'a Tensors,
    rule: Rule,
    state: HashMap<ParamId, Vec<FloatTensor<B::InnerBackend>>>,
    failure: Option<anyhow::Error>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Resume<'_, B> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let weight = param.val();
        if !weight.is_require_grad() {
            return;
        }
        let (elements, device) = (weight.shape().num_elements(), weight.device());
        let kept = self.rule.slots().iter().map(|slot| {
            let name = format!("{OPTIMIZER}{}.{slot}", self.path.weight());
            let array = self.tensors.get(&name, &[elements])?;
            let data = TensorData::new(array.values.clone(), weight.shape());
            Ok(B::InnerBackend::float_from_data(data, &device))
        });
        match kept.collect::<Result<Vec<_>>>() {
            Ok(kept) => {
                self.state.insert(param.id, kept);
            }
            Err(error) => {
                self.failure.get_or_insert(error);
            }
        }
    }
}
