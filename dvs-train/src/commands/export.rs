//! `dvs-train export`: writes a network for other programs.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use dvs_shared::labels::CLASSES;
use dvs_shared::output::{write_file, write_file_by};
use serde_json::json;

use crate::cli::{ExportArgs, ModelFormat};
use crate::console::print;
use crate::interop::label_order::LabelOrder;
use crate::interop::naming::Naming;
use crate::interop::nir::{self, Graph};
use crate::interop::pytorch::write as pth;
use crate::interop::safetensors;
use crate::interop::state_dict::state_dict;
use crate::run_dir::checkpoint::{self, Checkpoint, MAX};
use crate::run_dir::weight_layout::{Architecture, Weights};

/// Neurons in the hidden layer of SpikingJelly's `DVSGestureNet`.
const PEER_HIDDEN: usize = 512;
/// Height and width of its frames.
const PEER_SIZE: [usize; 2] = [128, 128];

/// Exports as `args` ask and prints what was written.
///
/// # Errors
/// Returns an error if the checkpoint cannot be used, the format cannot represent the network, or
/// the file cannot be written.
pub fn run(args: &ExportArgs) -> Result<()> {
    checkpoint::refuse_existing(&args.output, args.force)?;
    let file = checkpoint::find(&args.checkpoint, MAX)?;
    let Checkpoint { state, tensors } = Checkpoint::read(&file)?;
    let of_file = || format!("cannot export the network in {}", file.display());
    let config = state.settings.network_config().with_context(of_file)?;
    let weights =
        Weights::of_checkpoint(&tensors, Architecture::of(&config)).with_context(of_file)?;
    let order = args.label_order.unwrap_or(match args.to {
        ModelFormat::Pytorch => LabelOrder::Folder,
        ModelFormat::Safetensors | ModelFormat::Nir => LabelOrder::Plain,
    });
    let split = state.settings.config.data.split;
    let names = &state.settings.label_names;
    let labels = order.labels(names.len()).into_iter();
    let labels: Vec<&str> = labels.map(|label| names[label].as_str()).collect();
    let mut facts = vec![
        (
            "created_by",
            format!("dvs-train {}", env!("CARGO_PKG_VERSION")),
        ),
        (
            "frames",
            format!("{}, split by {}", split.frames(), split.split_by().name()),
        ),
        ("labels", labels.join(", ")),
        ("neuron", config.neuron.to_string()),
    ];
    let dict = || state_dict(&weights, args.names, order, state.steps).with_context(of_file);
    match args.to {
        ModelFormat::Safetensors => {
            let facts: BTreeMap<_, _> = facts.into_iter().collect();
            // One entry, because entries have no order and the same network should give the same
            // bytes.
            write_bytes(
                &args.output,
                &safetensors::encode(&dict()?, &json!(facts).to_string())?,
            )?;
        }
        ModelFormat::Pytorch => write_bytes(&args.output, &pth::state_dict(&dict()?)?)?,
        ModelFormat::Nir => {
            let graph =
                Graph::of(&weights, &config.neuron, order, args.dt).with_context(of_file)?;
            facts.push(("dt", format!("{} s a time step, forward Euler", args.dt)));
            let write = |path: &Path| nir::write(path, &graph, &facts);
            write_file_by(&args.output, write).with_context(|| cannot_write(&args.output))?;
        }
    }
    print(&match args.json {
        true => {
            let facts = json!({
                "checkpoint": file,
                "output": args.output,
                "format": args.to.name(),
                "labels": labels,
                "frames": split.frames(),
                "split_by": split.split_by().name(),
                "neuron": config.neuron.to_string(),
            });
            format!("{facts}\n")
        }
        false => to_text(args, &file, &weights.architecture, order),
    })
}

fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    write_file(path, bytes).with_context(|| cannot_write(path))
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

fn to_text(
    args: &ExportArgs,
    file: &Path,
    architecture: &Architecture,
    order: LabelOrder,
) -> String {
    let output = args.output.display();
    let mut text = format!("{}: written to {output}, ", file.display());
    text += &match args.to {
        ModelFormat::Nir => format!("a NIR graph whose steps take {} s\n", args.dt),
        ModelFormat::Safetensors | ModelFormat::Pytorch => format!("named as {}\n", args.names),
    };
    let labels = order.to_text(architecture.classes);
    text += &format!("  its outputs stand for the labels {labels}\n");
    if args.to != ModelFormat::Nir && args.names == Naming::Model {
        if !architecture.linear_bias {
            text += "  its linear layers have no bias, so those of DVSGestureNet are 0\n";
        }
        let [features, hidden] = architecture.linear(0);
        let [_, outputs] = architecture.linear(1);
        if architecture.hidden != PEER_HIDDEN
            || architecture.size != PEER_SIZE
            || architecture.classes != CLASSES
        {
            text += &format!(
                "  DVSGestureNet has {PEER_HIDDEN} hidden neurons, frames of 128 x 128 and {CLASSES} classes; before loading: \
                 net.conv_fc[22] = layer.Linear({features}, {hidden}); net.conv_fc[25] = layer.Linear({hidden}, {outputs})\n"
            );
        }
    }
    text
}
