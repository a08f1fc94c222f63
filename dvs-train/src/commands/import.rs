//! `dvs-train import`: converts a network of another program to a checkpoint.

mod graph;

use anyhow::{Context, Result, bail, ensure};
use burn_snn::neuron::Neuron;
use burn_snn::neuron::model::Charge;
use dvs_shared::labels::CLASSES;
use dvs_shared::split_mode::{MAX_FRAMES, SplitBy};
use serde_json::{Value, json};

use crate::cli::ImportArgs;
use crate::config::cache_request::CacheRequest;
use crate::config::neuron_config::NeuronConfig;
use crate::nn::notation::NeuronName;
use crate::config::options::{network_config, within};
use crate::config::settings::Settings;
use crate::config::train_config::{DEFAULT_FRAMES, TrainConfig};
use crate::console::print;
use crate::interop::label_order::LabelOrder;
use crate::interop::nir::read::is_hdf5;
use crate::interop::pytorch::Pth;
use crate::interop::state_dict::recognise;
use crate::run_dir::checkpoint::{self, Checkpoint, State};
use crate::run_dir::weight_layout::Weights;

/// Height and width of a frame if nothing says them.
const DEFAULT_SIZE: [usize; 2] = [128, 128];

/// A network from a file.
#[derive(Debug)]
pub struct Imported {
    /// What it is: a network of SpikingJelly, or a NIR graph.
    pub network: String,
    /// The weights; outputs are in the order of the labels 0 to 10.
    pub weights: Weights,
    /// The order in which the file has the labels.
    pub order: LabelOrder,
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
    /// Reads a network from the bytes of a `.pth`, with outputs in `order` and frames of `size`.
    ///
    /// # Errors
    /// Returns an error if the bytes are not a `.pth`, are damaged, or hold another network; the
    /// message names the weights.
    pub fn read(bytes: &[u8], order: LabelOrder, size: [usize; 2]) -> Result<Self> {
        let pth = Pth::read(bytes)?;
        let (naming, weights) = recognise(&pth.tensors, order, size)?;
        let parts = weights
            .architecture
            .parts()
            .into_iter()
            .map(|part| naming.name(part));
        let rounded = parts.filter(|name| {
            pth.tensors
                .get(name.as_str())
                .is_some_and(|t| t.is_double())
        });
        Ok(Self {
            rounded: rounded.collect(),
            network: naming.to_string(),
            weights,
            order,
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
    let is_graph = is_hdf5(&args.checkpoint).with_context(|| format!("cannot read {shown}"))?;
    let imported = match is_graph {
        true => graph::read_graph(args).with_context(of_file)?,
        false => state_dict(args)?,
    };
    if !imported.rounded.is_empty() {
        let number = imported.rounded.len();
        eprintln!(
            "dvs-train: {number} weights of {shown} have 64 bits, and were rounded to the 32 that this program has"
        );
    }
    let frames = args.frames.or(imported.frames).unwrap_or(DEFAULT_FRAMES);
    within("-T", frames as usize, 1..=MAX_FRAMES as usize)?;
    let architecture = imported.weights.architecture;
    let mut config = TrainConfig::default();
    let asked = CacheRequest {
        frames: Some(frames),
        split: Some(args.split.or(imported.split).unwrap_or(SplitBy::Number)),
        ..CacheRequest::default()
    };
    config.data.split = asked.over(config.data.split);
    config.network.channels = architecture.channels;
    // `None` if it is the default, so that the folder of a resumed run has the usual name.
    config.network.hidden =
        Some(architecture.hidden).filter(|hidden| *hidden != 4 * architecture.channels);
    config.network.linear_bias = architecture.linear_bias;
    config.neurons = match &imported.neurons {
        Some(neurons) => neurons.clone(),
        None => neurons(args, architecture.learnt_tau).with_context(of_file)?,
    };
    let network = network_config(&config, architecture.size, CLASSES).with_context(of_file)?;
    let words = match args.json {
        true => format!("{}\n", to_json(args, &imported, &config, &network.neuron)),
        false => to_text(args, &imported, &config, &network.neuron),
    };
    let checkpoint = Checkpoint {
        state: State {
            settings: Settings::of_import(config, architecture.size),
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

/// Reads a `.pth` as `args` ask.
fn state_dict(args: &ImportArgs) -> Result<Imported> {
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
    let order = args.label_order.unwrap_or(LabelOrder::Folder);
    let size = args.frame_size().unwrap_or(DEFAULT_SIZE);
    Imported::read(&bytes, order, size).with_context(|| format!("cannot import {shown}"))
}

/// The neurons. A state dict has only the weights of PLIF neurons; `learnt_tau` is true if it has
/// them.
fn neurons(args: &ImportArgs, learnt_tau: bool) -> Result<NeuronConfig> {
    let mut neurons = NeuronConfig::default();
    args.neuron.apply(&mut neurons);
    match (args.neuron.neuron, learnt_tau) {
        (None, true) => neurons.neuron = NeuronName::Plif,
        (Some(NeuronName::Plif), false) => {
            bail!("it has no weights of PLIF neurons; leave --neuron plif out")
        }
        (Some(NeuronName::Lif | NeuronName::If), true) => {
            bail!("it has weights of PLIF neurons; leave --neuron out, or make it plif")
        }
        _ => {}
    }
    Ok(neurons)
}

fn to_json(args: &ImportArgs, imported: &Imported, config: &TrainConfig, neuron: &Neuron) -> Value {
    let architecture = imported.weights.architecture;
    let [height, width] = architecture.size;
    json!({
        "input": args.checkpoint,
        "checkpoint": args.output,
        "network": imported.network,
        "channels": architecture.channels,
        "hidden": architecture.hidden,
        "linear_bias": architecture.linear_bias,
        "height": height,
        "width": width,
        "neuron": neuron.to_string(),
        "frames": config.data.split.frames(),
        "split_by": config.data.split.split_by().name(),
        "label_order": imported.order.labels(CLASSES),
        "dt": imported.dt,
        "epoch": imported.epoch,
        "max_test_acc": imported.max_test_acc,
        "rounded": imported.rounded,
    })
}

fn to_text(
    args: &ImportArgs,
    imported: &Imported,
    config: &TrainConfig,
    neuron: &Neuron,
) -> String {
    let architecture = imported.weights.architecture;
    let [height, width] = architecture.size;
    let bias = if architecture.linear_bias {
        "with"
    } else {
        "without"
    };
    let mut text = format!(
        "{}: {}, {} channels, {} hidden neurons, linear layers {bias} a bias, frames of {height} x {width}",
        args.checkpoint.display(),
        imported.network,
        architecture.channels,
        architecture.hidden
    );
    if let Some(epoch) = imported.epoch {
        text += &format!(", epoch={epoch}");
    }
    if let Some(accuracy) = imported.max_test_acc {
        text += &format!(", max_test_acc={accuracy}");
    }
    let from = match (imported.dt, neuron.charge) {
        (Some(dt), _) => format!(
            "the graph says, with steps of {dt:.6e} s; the surrogate gradient is that of the flags"
        ),
        (None, Charge::Learnt { .. }) => {
            "the file has each layer's tau, the flags say the rest".to_owned()
        }
        (None, _) => "the file does not say, the flags do".to_owned(),
    };
    text += &format!("\n  {neuron}; {from}\n");
    text += &match imported.order {
        LabelOrder::Folder => format!(
            "  its outputs stand for the labels {}, as SpikingJelly sorts its folders; they were put in the order 0 to 10\n",
            LabelOrder::Folder.to_text(CLASSES)
        ),
        LabelOrder::Plain => "  its outputs stand for the labels 0 to 10\n".to_owned(),
    };
    let output = args.output.display();
    let assumed = match args.frames.or(imported.frames) {
        Some(_) => "",
        None => " (the example's; -T says another)",
    };
    text += &format!(
        "checkpoint={output}, T={}{assumed}, split={}; evaluate it: dvs-train eval {output} --cache CACHE\n",
        config.data.split.frames(),
        config.data.split.split_by().name()
    );
    text
}

#[cfg(test)]
mod tests;
