//! `dvs-train export`: writes a network for other programs.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use dvs_shared::output::{write_file, write_file_by};
use serde_json::json;

use crate::cli::{ExportArgs, ModelFormat};
use crate::console::print;
use crate::interop::known::PeerClass;
use crate::interop::label_order::LabelOrder;
use crate::interop::naming::{Naming, SEQUENTIAL};
use crate::interop::nir::{self, Graph};
use crate::interop::pytorch::write as pth;
use crate::interop::safetensors;
use crate::interop::sequential::{Module, in_python, modules};
use crate::interop::state_dict::{has_bias, state_dict};
use crate::nn::network_config::NetworkConfig;
use crate::run_dir::checkpoint::{self, Checkpoint, MAX};
use crate::run_dir::weight_layout::Weights;

/// Most modules of a network that a message writes out in Python.
const WRITTEN_OUT: usize = 40;

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
    let weights = Weights::of_checkpoint(&tensors, config.architecture.clone());
    let weights = weights.with_context(of_file)?;
    let classes = config.architecture.classes;
    let order = args.label_order.unwrap_or(match args.to {
        ModelFormat::Pytorch => LabelOrder::usual(&state.settings.label_names),
        ModelFormat::Safetensors | ModelFormat::Nir => LabelOrder::Plain,
    });
    let split = state.settings.config.data.split;
    let names = &state.settings.label_names;
    let labels = order.labels(classes).into_iter();
    let labels: Vec<&str> = labels
        .filter_map(|label| names.get(label).map(String::as_str))
        .collect();
    let mut facts = vec![
        (
            "created_by",
            format!("dvs-train {}", env!("CARGO_PKG_VERSION")),
        ),
        (
            "frames",
            format!("{}, split by {}", split.frames(), split.split_by().name()),
        ),
        ("label_order", order.name().to_owned()),
        ("label_names", json!(names).to_string()),
        ("labels", labels.join(", ")),
        ("network", config.architecture.to_string()),
        ("neuron", config.neurons_in_words()),
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
            let graph = Graph::of(&weights, &config.neurons, order, args.dt);
            let graph = graph.with_context(of_file)?;
            facts.push(("dt", format!("{}{}", args.dt, nir::DT)));
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
                "network": config.architecture.to_string(),
                "neuron": config.neurons_in_words(),
            });
            format!("{facts}\n")
        }
        false => to_text(args, &file, &config, order)?,
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
    config: &NetworkConfig,
    order: LabelOrder,
) -> Result<String> {
    let output = args.output.display();
    let class = PeerClass::of(&config.architecture);
    let mut text = format!("{}: written to {output}, ", file.display());
    text += &match (args.to, args.names, &class) {
        (ModelFormat::Nir, ..) => format!("a NIR graph whose steps take {} s\n", args.dt),
        (_, Naming::Model, Some(class)) => format!("named as SpikingJelly's {}\n", class.name),
        (_, Naming::Model, None) => format!("named as a torch.nn.Sequential net.{SEQUENTIAL}\n"),
        (_, names, _) => format!("named as {names}\n"),
    };
    let labels = order.to_text(config.architecture.classes);
    text += &format!("  its outputs stand for the labels {labels}\n");
    if args.to != ModelFormat::Nir && args.names == Naming::Model {
        text += &match class {
            Some(class) => differences(&class, config)?,
            None => construction(config),
        };
    }
    Ok(text)
}

/// Says in what the network differs from the class of SpikingJelly that has its layers.
fn differences(class: &PeerClass, config: &NetworkConfig) -> Result<String> {
    let architecture = &config.architecture;
    let mut text = String::new();
    if !architecture.linear_bias && has_bias(architecture, Naming::Model) {
        text += &format!(
            "  its linear layers have no bias, so those of {} are 0\n",
            class.name
        );
    }
    let PeerClass {
        name,
        hidden,
        classes,
        size,
    } = class;
    let first = architecture.linears.first();
    let same_hidden = first.is_some_and(|linear| linear.outputs == *hidden);
    if !same_hidden || architecture.size != *size || architecture.classes != *classes {
        let names = Naming::Model.names(architecture)?;
        let linears = architecture.linears.iter().enumerate();
        let linears = linears.map(|(at, linear)| {
            let module = names.module(Module::Linear(at));
            let module = module.rsplit('.').next().unwrap_or_default();
            let (inputs, outputs) = (linear.inputs, linear.outputs);
            format!("net.{SEQUENTIAL}[{module}] = layer.Linear({inputs}, {outputs})")
        });
        let [height, width] = size;
        text += &format!(
            "  {name} has {hidden} hidden neurons, frames of {height} x {width} and {classes} classes; before loading: {}\n",
            linears.collect::<Vec<_>>().join("; ")
        );
    }
    Ok(text)
}

/// Says how to make the network in Python, if SpikingJelly has no class for it.
fn construction(config: &NetworkConfig) -> String {
    let architecture = &config.architecture;
    if modules(architecture).len() > WRITTEN_OUT {
        return format!(
            "  SpikingJelly has no such class; the Sequential has a module for each layer of {architecture}, and Flatten \
             before the linear layers\n"
        );
    }
    format!(
        "  SpikingJelly has no such class; before loading: net = torch.nn.Module(); net.{SEQUENTIAL} = {}\n",
        in_python(architecture, &config.neurons)
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::nn::network_name::NetworkName;
    use crate::nn::notation::NeuronName;
    use crate::testing::network_config;

    /// Returns the hints that `export` prints for a named network with 2 channels.
    fn said(name: &NetworkName, hidden: usize, size: [usize; 2]) -> String {
        let notation = name.notation(2, hidden, 10, NeuronName::Lif);
        let config = network_config(&notation, size);
        match PeerClass::of(&config.architecture) {
            Some(class) => differences(&class, &config).unwrap(),
            None => construction(&config),
        }
    }

    #[test]
    fn hints_fit_the_class_of_spikingjelly() {
        let zeros =
            |class| format!("  its linear layers have no bias, so those of {class} are 0\n");
        let other = said(&NetworkName::Cifar10Dvs, 8, [128, 128]);
        let expected = "  CIFAR10DVSNet has 512 hidden neurons, frames of 128 x 128 and 10 classes; before loading: \
                        net.conv_fc[18] = layer.Linear(128, 8); net.conv_fc[21] = layer.Linear(8, 100)\n";
        assert_eq!(other, zeros("CIFAR10DVSNet") + expected);
        let same = said(&NetworkName::NMnist, 2048, [34, 34]);
        assert_eq!(same, zeros("NMNISTNet"));
        // CIFAR10Net takes pictures of three colours.
        let none = said(&NetworkName::Cifar10, 8, [32, 32]);
        assert!(none.starts_with("  SpikingJelly has no such class; before loading: net = torch"));
        let long = "{c2k3s1-BN-LIF}*20-FC10-LIF";
        let long = construction(&network_config(long, [8, 8]));
        assert!(long.contains("has a module for each layer of {c2k3s1-BN-LIF}*20-FC10-LIF,"));
    }
}
