//! The flags of `import` and `export`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use dvs_shared::event::MAX_PIXELS;
use dvs_shared::split_mode::SplitBy;

use crate::cli::choices::fixed_splits;
use crate::cli::neuron::NeuronArgs;
use crate::interop::label_order::LabelOrder;
use crate::interop::naming::Naming;
use crate::nn::network_name::NetworkName;

/// Largest side of a frame, as in a cache.
const MAX_SIDE: usize = MAX_PIXELS as usize;

/// Flags of `import`.
#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    /// Checkpoint of SpikingJelly's example, such as checkpoint_max.pth, a state dict saved with
    /// torch.save, or a NIR graph
    #[arg(value_name = "CHECKPOINT.pth|GRAPH.nir")]
    pub checkpoint: PathBuf,

    /// Checkpoint to write, for eval, predict, export and --resume
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: PathBuf,

    /// Frames per sample (time steps T) in training [default: as the file says, else 16]
    #[arg(short = 'T', long, value_name = "T")]
    pub frames: Option<u32>,

    /// How samples were split into frames [default: as the file says, else number]
    #[arg(long, value_parser = fixed_splits(), value_name = "MODE")]
    pub split: Option<SplitBy>,

    /// Width and height of a frame in pixels [default: as a NIR graph says, else 34x34 for the form of
    /// NMNISTNet and 128x128 for others]
    #[arg(long, value_name = "WxH")]
    pub sensor: Option<FrameSize>,

    /// pth: the network in notation, as in training. It is needed unless the network is the
    /// tutorial's, or SpikingJelly's DVSGestureNet, CIFAR10DVSNet or NMNISTNet, because a .pth does
    /// not say strides, poolings, dropout and voting
    #[arg(long, value_name = "NOTATION")]
    pub network: Option<NetworkName>,

    /// The old spelling of --sensor, with the height first
    #[arg(long, hide = true, value_name = "HxW", conflicts_with = "sensor")]
    pub size: Option<FrameSize>,

    /// Order of the labels in the network's outputs [default: as this program's NIR graphs say; for a
    /// .pth, folder if the classes are the gestures or have numbers as --label-names, else plain]. With
    /// more than ten classes, other NIR graphs need it, and so does a .pth of classes without names
    #[arg(long, value_enum, value_name = "ORDER")]
    pub label_order: Option<LabelOrder>,

    /// Names of the classes, in the order of the labels [default: as this program's NIR graphs say,
    /// else those of the dataset that the network's form is for, else numbers]
    #[arg(long, value_delimiter = ',', value_name = "NAME,NAME,...")]
    pub label_names: Option<Vec<String>>,

    /// nir: duration of a time step in seconds [default: as the graph's r says]
    #[arg(long, value_name = "SECONDS")]
    pub dt: Option<f64>,

    /// nir: the neurons spike at their threshold too, as SpikingJelly's. NIR's spike only above it
    #[arg(long)]
    pub spike_at_threshold: bool,

    /// Overwrite an existing file
    #[arg(long)]
    pub force: bool,

    /// Print the results as one JSON object
    #[arg(long)]
    pub json: bool,

    // Last, because its heading applies to all that follow. Of the neurons, a .pth has only PLIF's
    // weights; a NIR graph has everything but the surrogate gradient.
    #[command(flatten)]
    pub neuron: NeuronArgs,
}

/// Flags of `export`.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// Checkpoint, or run folder (its checkpoint_max is used)
    #[arg(value_name = "RUN_OR_CHECKPOINT")]
    pub checkpoint: PathBuf,

    /// Format to export to
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub to: ModelFormat,

    /// File to write
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: PathBuf,

    /// pytorch, safetensors: network whose parameter names are used
    #[arg(long, value_enum, default_value_t = Naming::Model, value_name = "NETWORK")]
    pub names: Naming,

    /// Order of the labels in the outputs [default: folder for pytorch with the gestures or with
    /// classes named by their numbers, else plain]
    #[arg(long, value_enum, value_name = "ORDER")]
    pub label_order: Option<LabelOrder>,

    /// nir: duration of a time step in seconds
    #[arg(long, default_value_t = 1e-4, value_name = "SECONDS")]
    pub dt: f64,

    /// Overwrite an existing file
    #[arg(long)]
    pub force: bool,

    /// Print the results as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Export formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModelFormat {
    /// Tensors under PyTorch's names, in a file that cannot run code
    Safetensors,
    /// State dict for SpikingJelly's network: net.load_state_dict(torch.load(FILE))
    Pytorch,
    /// Neuromorphic Intermediate Representation, for simulators and neuromorphic chips
    Nir,
}

impl ModelFormat {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Pytorch => "pytorch",
            Self::Nir => "nir",
        }
    }
}

impl ImportArgs {
    /// Height and width of a frame, if they were typed.
    pub fn frame_size(&self) -> Option<[usize; 2]> {
        match (self.size, self.sensor) {
            (Some(FrameSize(size)), _) => Some(size),
            (None, sensor) => sensor.map(|FrameSize([width, height])| [height, width]),
        }
    }
}

/// The two sides of a frame in the order in which they were typed; the option decides which one is
/// the width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameSize([usize; 2]);

impl FromStr for FrameSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let sides = text.split_once(['x', 'X']);
        let sides = sides.and_then(|(first, second)| {
            Some([first.trim().parse().ok()?, second.trim().parse().ok()?])
        });
        let fits = |sides: &[usize; 2]| sides.iter().all(|side| (1..=MAX_SIDE).contains(side));
        sides.filter(fits).map(Self).ok_or_else(|| {
            format!("{text:?} is not a size such as 128x128, with 1 to {MAX_SIDE} pixels each way")
        })
    }
}
