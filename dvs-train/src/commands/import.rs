//! `dvs-train import`: converts a network of another program to a checkpoint.

mod graph;

use anyhow::{Context, Result, ensure};
use dvs_shared::labels::{is_gestures, listed};
use dvs_shared::split_mode::{MAX_FRAMES, SplitBy};
use dvs_shared::words::counted;
use serde_json::{Value, json};

use crate::cli::{ImportArgs, refuse_beside_notation};
use crate::config::cache_request::CacheRequest;
use crate::config::neuron_config::NeuronConfig;
use crate::config::options::{network_config, within};
use crate::config::settings::Settings;
use crate::config::train_config::{DEFAULT_FRAMES, TrainConfig};
use crate::console::print;
use crate::interop::classes::{check_names, usual_names};
use crate::interop::known::{KnownNetwork, PeerClass};
use crate::interop::label_order::LabelOrder;
use crate::interop::naming::Naming;
use crate::interop::nir::read::is_hdf5;
use crate::interop::pytorch::Pth;
use crate::interop::state_dict::{Asked, Recognised, recognise};
use crate::nn::architecture::Architecture;
use crate::nn::network_config::NetworkConfig;
use crate::nn::network_name::NetworkName;
use crate::nn::notation::NeuronName;
use crate::run_dir::checkpoint::{self, Checkpoint, State};
use crate::run_dir::weight_layout::Weights;

/// A network from a file.
#[derive(Debug)]
pub struct Imported {
    /// What it is: a network of SpikingJelly, or a NIR graph.
    pub network: String,
    /// The weights; outputs are in the order of the labels.
    pub weights: Weights,
    /// The order in which the file has the labels.
    pub order: LabelOrder,
    /// The names of the classes, if the file has them.
    pub label_names: Option<Vec<String>>,
    /// What was assumed because the file does not say it.
    pub assumed: Vec<String>,
    /// The neurons, if the file says them. A `.pth` has at most their time constants.
    pub neurons: Option<NeuronConfig>,
    /// Duration of a time step in seconds, if the file has time.
    pub dt: Option<f64>,
    /// Names of the weights that were rounded to 32 bits.
    pub rounded: Vec<String>,
    /// The epoch after which the checkpoint was written, from 0.
    pub epoch: Option<u32>,
    /// The best test accuracy up to that epoch.
    pub max_test_acc: Option<f64>,
    /// T, if the file has it.
    pub frames: Option<u32>,
    /// How samples were split, if the file has it.
    pub split: Option<SplitBy>,
}

impl Imported {
    /// Reads a network from the bytes of a `.pth`; `asked` is what the file does not say.
    ///
    /// # Errors
    /// Returns an error if the bytes are not a `.pth`, are damaged, or hold another network; the
    /// message names the weights.
    pub fn read(bytes: &[u8], asked: Asked) -> Result<Self> {
        let pth = Pth::read(bytes)?;
        let Recognised {
            naming,
            names,
            weights,
            order,
        } = recognise(&pth.tensors, asked)?;
        let architecture = &weights.architecture;
        let parts = architecture.parts().into_iter();
        let rounded = parts.map(|part| names.name(part)).filter(|name| {
            pth.tensors
                .get(name.as_str())
                .is_some_and(|t| t.is_double())
        });
        let class = PeerClass::of(architecture).filter(|_| naming == Naming::Model);
        Ok(Self {
            rounded: rounded.collect(),
            network: match class {
                Some(class) => format!("SpikingJelly's {}", class.name),
                None => naming.to_string(),
            },
            weights,
            order,
            label_names: None,
            assumed: Vec::new(),
            neurons: None,
            dt: None,
            epoch: pth.epoch,
            max_test_acc: pth.max_test_acc,
            frames: pth.frames,
            split: None,
        })
    }
}

/// Imports as `args` ask and prints the result.
///
/// # Errors
/// Returns an error if the file cannot be read or used, or the checkpoint cannot be written.
pub fn run(args: &ImportArgs) -> Result<()> {
    let shown = args.checkpoint.display();
    checkpoint::refuse_existing(&args.output, args.force)?;
    if let (Some([height, width]), true) = (args.frame_size(), args.size.is_some()) {
        eprintln!("dvs-train: --size is the old spelling; write --sensor {width}x{height}");
    }
    let of_file = || format!("cannot import {shown}");
    let names = label_names(args)?;
    let classes = names.as_ref().map(Vec::len);
    let is_graph = is_hdf5(&args.checkpoint).with_context(|| format!("cannot read {shown}"))?;
    let imported = match is_graph {
        true => graph::read_graph(args, classes).with_context(of_file)?,
        false => state_dict(args, names.clone())?,
    };
    if !imported.rounded.is_empty() {
        let number = imported.rounded.len();
        eprintln!(
            "dvs-train: {number} weights of {shown} have 64 bits, and were rounded to the 32 that this program has"
        );
    }
    let frames = args.frames.or(imported.frames).unwrap_or(DEFAULT_FRAMES);
    within("-T", frames as usize, 1..=MAX_FRAMES as usize)?;
    let architecture = imported.weights.architecture.clone();
    let mut config = TrainConfig::default();
    let asked = CacheRequest {
        frames: Some(frames),
        split: Some(args.split.or(imported.split).unwrap_or(SplitBy::Number)),
        ..CacheRequest::default()
    };
    config.data.split = asked.over(config.data.split);
    match &imported.neurons {
        Some(neurons) => config.neurons = neurons.clone(),
        None => args.neuron.apply(&mut config.neurons),
    }
    describe(&mut config, &architecture);
    let network = network_config(&config, architecture.size, Some(architecture.classes));
    let network = network.with_context(of_file)?;
    ensure!(
        network.architecture == architecture,
        "cannot import {shown}: its network {architecture} is not {}, which its settings describe",
        network.architecture
    );
    let label_names =
        (names.or(imported.label_names.clone())).unwrap_or_else(|| usual_names(&architecture));
    ensure!(
        label_names.len() == architecture.classes,
        "cannot import {shown}: its network tells {} classes apart, and there are {}",
        architecture.classes,
        counted(label_names.len() as u64, "name")
    );
    let words = match args.json {
        true => format!(
            "{}\n",
            to_json(args, &imported, &config, &network, &label_names)
        ),
        false => to_text(args, &imported, &config, &network, &label_names),
    };
    let checkpoint = Checkpoint {
        state: State {
            settings: Settings::of_import(config, architecture.size, label_names),
            epoch: imported.epoch.unwrap_or(0),
            progress: None,
            steps: 0,
            best: None,
            loss_scale: None,
            ranks: 1,
        },
        tensors: imported.weights.into_checkpoint(),
    };
    checkpoint.write(&args.output)?;
    print(&words)
}

/// The names of the classes, if they were typed.
fn label_names(args: &ImportArgs) -> Result<Option<Vec<String>>> {
    let Some(typed) = &args.label_names else {
        return Ok(None);
    };
    let names: Vec<String> = typed.iter().map(|name| name.trim().to_owned()).collect();
    check_names(&names).context("--label-names does not fit")?;
    Ok(Some(names))
}

/// Sets the network to this one, by its name if it has one.
fn describe(config: &mut TrainConfig, architecture: &Architecture) {
    config.network.linear_bias = architecture.linear_bias;
    match KnownNetwork::of(architecture) {
        Some(KnownNetwork {
            name,
            channels,
            hidden,
        }) => {
            // `None` if it is the default, so that the folder of a resumed run has the usual name.
            config.network.hidden = Some(hidden).filter(|hidden| *hidden != name.hidden(channels));
            config.network.channels = channels;
            config.network.network = name;
            if let Some(neuron) = architecture.neurons().next() {
                config.neurons.neuron = neuron;
            }
        }
        None => {
            config.network.network = NetworkName::Notation(architecture.to_string());
            config.describe_notation(architecture);
        }
    }
}

/// Reads a `.pth` as `args` ask, with these names of its classes if they are known.
fn state_dict(args: &ImportArgs, label_names: Option<Vec<String>>) -> Result<Imported> {
    let shown = args.checkpoint.display();
    let only_nir = [
        ("--dt", args.dt.is_some()),
        ("--spike-at-threshold", args.spike_at_threshold),
    ];
    for (flag, given) in only_nir {
        ensure!(
            !given,
            "{flag} is for NIR graphs, which have time in seconds, and {shown} is none; leave it out"
        );
    }
    let bytes = checkpoint::read_network_file(&args.checkpoint)
        .with_context(|| format!("cannot read {shown}"))?;
    if let Some(name) = &args.network {
        ensure!(
            matches!(name, NetworkName::Notation(_)),
            "--network {name} is a name, and import needs a notation; leave it out if the network is one that import recognises"
        );
        refuse_beside_notation(Some(name), &[("--neuron", args.neuron.neuron.is_some())])?;
    }
    let asked = Asked {
        network: args.network.as_ref().map(ToString::to_string),
        size: args.frame_size(),
        order: args.label_order,
        label_names,
        neuron: args.neuron.neuron,
    };
    Imported::read(&bytes, asked).with_context(|| format!("cannot import {shown}"))
}

fn to_json(
    args: &ImportArgs,
    imported: &Imported,
    config: &TrainConfig,
    network: &NetworkConfig,
    label_names: &[String],
) -> Value {
    let architecture = &network.architecture;
    let [height, width] = architecture.size;
    let hidden = match architecture.linears.as_slice() {
        [hidden, _, ..] => Some(hidden.outputs),
        _ => None,
    };
    json!({
        "input": args.checkpoint,
        "checkpoint": args.output,
        "network": imported.network,
        "notation": architecture.to_string(),
        "channels": architecture.blocks.first().map(|block| block.channels),
        "hidden": hidden,
        "linear_bias": architecture.linear_bias,
        "height": height,
        "width": width,
        "neuron": network.neurons_in_words(),
        "frames": config.data.split.frames(),
        "split_by": config.data.split.split_by().name(),
        "label_order": imported.order.labels(architecture.classes),
        "label_names": label_names,
        "dt": imported.dt,
        "epoch": imported.epoch,
        "max_test_acc": imported.max_test_acc,
        "rounded": imported.rounded,
        "assumed": imported.assumed,
    })
}

fn to_text(
    args: &ImportArgs,
    imported: &Imported,
    config: &TrainConfig,
    network: &NetworkConfig,
    label_names: &[String],
) -> String {
    let architecture = &network.architecture;
    let [height, width] = architecture.size;
    let bias = if architecture.linear_bias {
        "with"
    } else {
        "without"
    };
    let layers = match KnownNetwork::of(architecture) {
        Some(known) => format!(
            "{} channels, {} hidden neurons",
            known.channels, known.hidden
        ),
        None => architecture.to_string(),
    };
    let mut text = format!(
        "{}: {}, {layers}, linear layers {bias} a bias, frames of {height} x {width}",
        args.checkpoint.display(),
        imported.network,
    );
    if let Some(epoch) = imported.epoch {
        text += &format!(", epoch={epoch}");
    }
    if let Some(accuracy) = imported.max_test_acc {
        text += &format!(", max_test_acc={accuracy}");
    }
    let learns = architecture
        .neurons()
        .any(|neuron| neuron == NeuronName::Plif);
    let from = match imported.dt {
        Some(dt) => format!(
            "the graph says, with steps of {dt:.6e} s; the surrogate gradient is that of the flags"
        ),
        None if learns => "the file has each layer's tau, the flags say the rest".to_owned(),
        None => "the file does not say, the flags do".to_owned(),
    };
    text += &format!("\n  {}; {from}\n", network.neurons_in_words());
    for assumed in &imported.assumed {
        text += &format!("  assumed: {assumed}\n");
    }
    let classes = architecture.classes;
    let last = classes.saturating_sub(1);
    text += &match imported.order.is_plain(classes) {
        false => format!(
            "  its outputs stand for the labels {}, as SpikingJelly sorts its folders; they were put in the order 0 to {last}\n",
            imported.order.to_text(classes)
        ),
        true => format!("  its outputs stand for the labels 0 to {last}\n"),
    };
    if !is_gestures(label_names) {
        text += &format!("  its classes are {}\n", listed(label_names));
    }
    let output = args.output.display();
    let usual = match args.frames.or(imported.frames) {
        Some(_) => "",
        None => " (the example's; -T says another)",
    };
    text += &format!(
        "checkpoint={output}, T={}{usual}, split={}; evaluate it: dvs-train eval {output} --cache CACHE\n",
        config.data.split.frames(),
        config.data.split.split_by().name()
    );
    text
}

#[cfg(test)]
mod tests;
