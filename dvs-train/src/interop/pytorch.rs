//! PyTorch's `.pth` files: zip archives since torch 1.6, and consecutive pickles before.
//!
//! Formats: `torch/serialization.py`. Storages borrow from the file; numbers are copied only after
//! their shape has been checked.

mod container;
mod pickle;
pub mod write;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::{bf16, f16};

use self::container::Container;
use self::pickle::{Id, Node, Pickle};

/// Keys of a checkpoint that may hold its network.
const NETWORK_KEYS: [&str; 5] = ["net", "state_dict", "model", "model_state_dict", "network"];
/// Prefixes that wrappers of networks add to every name.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];

/// A network's tensors in a `.pth`, and facts of its training.
#[derive(Debug)]
pub struct Pth<'a> {
    /// Tensors by name.
    pub tensors: BTreeMap<&'a str, Tensor<'a>>,
    /// The epoch after which a checkpoint was written, from 0.
    pub epoch: Option<u32>,
    /// The best test accuracy up to that epoch.
    pub max_test_acc: Option<f64>,
    /// T, from the arguments of the training script.
    pub frames: Option<u32>,
}

/// A tensor whose numbers are still in the file.
#[derive(Clone, Debug)]
pub struct Tensor<'a> {
    pub shape: Vec<usize>,
    strides: Vec<usize>,
    kind: Kind,
    /// Bytes from the first number on.
    bytes: &'a [u8],
}

impl<'a> Pth<'a> {
    /// Reads a file.
    ///
    /// # Errors
    /// Returns an error if the file is not a `.pth`, is damaged, or holds no state dict.
    pub fn read(bytes: &'a [u8]) -> Result<Self> {
        let container = Container::open(bytes)?;
        let pickle = &container.pickle;
        let network = find_network(pickle)?;
        let Node::Dict(pairs) = pickle.node(network) else {
            bail!("{}", no_state_dict(pickle, network));
        };
        let mut tensors = BTreeMap::new();
        for (key, value) in pairs {
            let name = pickle.text(*key).context("a weight's name is not text")?;
            // Extra state under this name may be of other types.
            if name.ends_with("_extra_state") {
                continue;
            }
            let tensor = Tensor::find(&container, *value);
            tensors.insert(name, tensor.with_context(|| format!("cannot read {name}"))?);
        }
        for wrapper in WRAPPERS {
            if !tensors.is_empty() && tensors.keys().all(|name| name.starts_with(wrapper)) {
                let tensors_within = tensors.into_iter();
                tensors = tensors_within
                    .map(|(name, tensor)| (&name[wrapper.len()..], tensor))
                    .collect();
            }
        }
        let root = pickle.root;
        let whole = |key| pickle.get(root, key).and_then(|id| pickle.int(id));
        let max_test_acc = pickle
            .get(root, "max_test_acc")
            .and_then(|id| match pickle.node(id) {
                Node::Float(accuracy) => Some(*accuracy),
                Node::Int(accuracy) => Some(*accuracy as f64),
                _ => None,
            });
        Ok(Self {
            tensors,
            epoch: whole("epoch").and_then(|epoch| u32::try_from(epoch).ok()),
            // -1 and 0 mean that there is none yet.
            max_test_acc: max_test_acc.filter(|accuracy| *accuracy > 0.0 && *accuracy <= 1.0),
            frames: frames(pickle),
        })
    }
}

/// The state dict: the file's own value, or an entry of a checkpoint.
fn find_network(pickle: &Pickle<'_>) -> Result<Id> {
    let Node::Dict(pairs) = pickle.node(pickle.root) else {
        bail!("{}", no_state_dict(pickle, pickle.root));
    };
    let named = NETWORK_KEYS
        .iter()
        .find_map(|key| pickle.get(pickle.root, key));
    if let Some(network) = named.filter(|id| !matches!(pickle.node(*id), Node::Tensor(_))) {
        return Ok(network);
    }
    if pairs
        .iter()
        .all(|(_, value)| matches!(pickle.node(*value), Node::Tensor(_)))
    {
        return Ok(pickle.root);
    }
    let keys: Vec<_> = pairs
        .iter()
        .filter_map(|(key, _)| pickle.text(*key))
        .take(20)
        .collect();
    bail!(
        "it is a dict of {}, and none of these is a network's state dict; expected {} or the state dict itself",
        keys.join(", "),
        NETWORK_KEYS.map(|key| format!("{key:?}")).join(", ")
    );
}

fn no_state_dict(pickle: &Pickle<'_>, id: Id) -> String {
    format!(
        "it holds {}, where a state dict is expected; in Python, save one: torch.save(net.state_dict(), FILE)",
        pickle.kind(id)
    )
}

/// T in the arguments of the script, which are a dict or an `argparse.Namespace`.
fn frames(pickle: &Pickle<'_>) -> Option<u32> {
    let args = pickle.get(pickle.root, "args")?;
    let args = match pickle.node(args) {
        Node::Object { state, .. } => (*state)?,
        _ => args,
    };
    let frames = pickle.get(args, "T").and_then(|id| pickle.int(id));
    frames.and_then(|frames| u32::try_from(frames).ok())
}

impl<'a> Tensor<'a> {
    /// The tensor of a pickled value.
    fn find(container: &Container<'a>, id: Id) -> Result<Self> {
        let pickle = &container.pickle;
        let Node::Tensor(arguments) = pickle.node(id) else {
            bail!("it is {}, not a tensor", pickle.kind(id));
        };
        let whole = |id: Id| {
            let int = pickle.int(id).and_then(|int| usize::try_from(int).ok());
            int.context("a size, stride or offset is not a whole number")
        };
        let all = |id: Id| {
            let items = pickle
                .items(id)
                .context("sizes and strides are no tuples")?;
            items
                .iter()
                .map(|id| whole(*id))
                .collect::<Result<Vec<_>>>()
        };
        let Some([storage, offset, shape, strides, ..]) = pickle.items(*arguments) else {
            bail!("it is made of too few arguments");
        };
        let Node::Persistent(storage) = pickle.node(*storage) else {
            bail!("it is made of {}, not of a storage", pickle.kind(*storage));
        };
        let storage = Storage::of(pickle, *storage)?;
        let (offset, shape, strides) = (whole(*offset)?, all(*shape)?, all(*strides)?);
        ensure!(
            shape.len() == strides.len() && shape.len() <= 8,
            "its shape {shape:?} and its strides {strides:?} do not go together"
        );
        let bytes = container.storage(storage.key, storage.kind)?;
        let there = bytes.len() / storage.kind.bytes();
        let needed = reach(&shape, &strides).and_then(|reach| reach.checked_add(offset));
        let count = shape
            .iter()
            .try_fold(1usize, |count, size| count.checked_mul(*size));
        ensure!(
            needed.is_some_and(|needed| needed <= there)
                && count.is_some_and(|count| count <= there),
            "its shape {shape:?} with strides {strides:?} from {offset} on does not fit into its storage of {there} \
             numbers"
        );
        Ok(Self {
            shape,
            strides,
            kind: storage.kind,
            bytes: &bytes[offset * storage.kind.bytes()..],
        })
    }

    /// Whether the numbers have 64 bits, so that [`Tensor::values`] rounds them.
    pub fn is_double(&self) -> bool {
        self.kind == Kind::F64
    }

    /// The numbers in row-major order.
    ///
    /// # Errors
    /// Returns an error if they are integers.
    pub fn values(&self) -> Result<Vec<f32>> {
        ensure!(
            self.kind.is_float(),
            "it holds whole numbers ({}), where a weight has floating-point numbers",
            self.kind.name()
        );
        let mut at = vec![0; self.shape.len()];
        let mut values = Vec::with_capacity(self.shape.iter().product());
        for _ in 0..values.capacity() {
            let from: usize = at
                .iter()
                .zip(&self.strides)
                .map(|(at, stride)| at * stride)
                .sum();
            values.push(self.kind.decode(&self.bytes[from * self.kind.bytes()..]));
            for (at, size) in at.iter_mut().zip(&self.shape).rev() {
                *at += 1;
                if *at < *size {
                    break;
                }
                *at = 0;
            }
        }
        Ok(values)
    }
}

/// How many numbers a tensor of this shape and strides spans; `None` on overflow.
fn reach(shape: &[usize], strides: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape
        .iter()
        .zip(strides)
        .try_fold(1usize, |reach, (size, stride)| {
            reach.checked_add((size - 1).checked_mul(*stride)?)
        })
}

/// A storage, as its persistent id describes it.
#[derive(Clone, Copy, Debug)]
struct Storage<'a> {
    key: &'a str,
    kind: Kind,
}

impl<'a> Storage<'a> {
    fn of(pickle: &Pickle<'a>, id: Id) -> Result<Self> {
        let Some([storage, class, key, rest @ ..]) = pickle.items(id) else {
            bail!("a storage's description is not a tuple");
        };
        // The rest is the device, the count of numbers and, before torch 1.0, the part of another
        // storage.
        let part = rest
            .get(2)
            .is_some_and(|id| *pickle.node(*id) != Node::None);
        ensure!(
            !part,
            "a storage is a part of another one; load and save it again in Python"
        );
        ensure!(
            pickle.text(*storage) == Some("storage"),
            "a storage's description does not begin with 'storage'"
        );
        let Node::Global("torch", class) = pickle.node(*class) else {
            bail!("a storage is {}, not one of torch's", pickle.kind(*class));
        };
        let kind = Kind::of_storage(class)?;
        let key = pickle.text(*key).context("a storage's key is not text")?;
        Ok(Self { key, kind })
    }
}

/// Number types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    F16,
    Bf16,
    F32,
    F64,
    /// Integers of this many bytes.
    Whole(usize),
}

impl Kind {
    fn of_storage(class: &str) -> Result<Self> {
        Ok(match class {
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::Bf16,
            "FloatStorage" => Self::F32,
            "DoubleStorage" => Self::F64,
            "LongStorage" => Self::Whole(8),
            "IntStorage" => Self::Whole(4),
            "ShortStorage" => Self::Whole(2),
            "CharStorage" | "ByteStorage" | "BoolStorage" => Self::Whole(1),
            other => bail!("torch.{other} holds numbers of a kind that is not read"),
        })
    }

    fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Whole(bytes) => bytes,
        }
    }

    fn is_float(self) -> bool {
        !matches!(self, Self::Whole(_))
    }

    fn name(self) -> String {
        match self {
            Self::F16 => "float16".to_owned(),
            Self::Bf16 => "bfloat16".to_owned(),
            Self::F32 => "float32".to_owned(),
            Self::F64 => "float64".to_owned(),
            Self::Whole(bytes) => format!("{} bits", 8 * bytes),
        }
    }

    /// Decodes the little-endian number at the start of `bytes`, which must be long enough.
    fn decode(self, bytes: &[u8]) -> f32 {
        match self {
            Self::F16 => f16::from_le_bytes(first(bytes)).to_f32(),
            Self::Bf16 => bf16::from_le_bytes(first(bytes)).to_f32(),
            Self::F32 => f32::from_le_bytes(first(bytes)),
            Self::F64 => f64::from_le_bytes(first(bytes)) as f32,
            Self::Whole(_) => f32::NAN,
        }
    }
}

fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[..N]);
    array
}

#[cfg(test)]
mod tests;
