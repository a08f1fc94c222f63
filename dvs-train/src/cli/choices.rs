//! How the choices that a flag offers are spelt, and what `--help` says about each.

use clap::ValueEnum;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use dvs_shared::split_mode::SplitBy;

use crate::config::train_config::{OptimizerName, SchedulerName};
use crate::data::dataset::FramesIn;
use crate::interop::label_order::LabelOrder;
use crate::interop::naming::Naming;
use crate::nn::network::StepMode;
use crate::nn::notation::NeuronName;
use crate::optim::AmpDtype;

/// Implements [`ValueEnum`] for enums of the modules that know nothing of the command line.
macro_rules! choices {
    ($($choice:ty { $($variant:ident: $name:literal $(or $alias:literal)?, $help:literal;)+ })+) => {$(
        impl ValueEnum for $choice {
            fn value_variants<'a>() -> &'a [Self] {
                &[$(Self::$variant),+]
            }

            fn to_possible_value(&self) -> Option<PossibleValue> {
                match self {
                    $(Self::$variant => Some(PossibleValue::new($name)$(.alias($alias))?.help($help)),)+
                    #[allow(unreachable_patterns, reason = "some enums offer all that they have")]
                    _ => None,
                }
            }
        }
    )+};
}

choices! {
    NeuronName {
        Lif: "lif", "Leaky integrate-and-fire";
        Plif: "plif", "Parametric LIF: each layer learns its time constant";
        If: "if", "Integrate-and-fire, without leak";
    }
    OptimizerName {
        Sgd: "sgd", "Stochastic gradient descent with momentum";
        Adam: "adam", "Adam with betas 0.9 and 0.999 and epsilon 1e-8";
    }
    SchedulerName {
        StepLr: "StepLR", "Multiply the learning rate by --gamma every --step-size epochs";
        CosAlr: "CosALR", "Lower the learning rate to 0 along half a cosine wave, within --t-max epochs";
    }
    StepMode {
        M: "m", "Multi-step: each layer takes all T time steps at once. Fast";
        S: "s", "Single-step: each time step goes through all layers, and neurons keep their membrane \
            potentials. In training, as in SpikingJelly, batch norm normalises each step by its own \
            statistics and updates the running statistics T times per batch. With the same statistics \
            both modes give the same spikes and gradients";
    }
    FramesIn {
        Auto: "auto", "Use device if the frames take at most a quarter of the GPU's memory, memory if they \
            take at most half of the free memory, and stream otherwise";
        Device: "device", "Upload all frames once and gather batches on the device";
        Memory: "memory", "Keep each decoded sample in memory";
        Stream: "stream", "Read and decode the cache again in each epoch";
    }
    AmpDtype {
        Bf16: "bf16", "bfloat16: the range of 32-bit floats with fewer digits";
        F16: "f16" or "fp16", "Half precision: more digits than bfloat16, but a small range, so the loss is scaled";
    }
    LabelOrder {
        Folder: "folder", "SpikingJelly's order: the class folders sorted as text (0, 1, 10, 2, ...)";
        Plain: "plain", "Numerical order, as in the cache and the label files";
    }
    Naming {
        Model: "spikingjelly", "`DVSGestureNet`, `CIFAR10DVSNet` or `NMNISTNet` of SpikingJelly's models since \
            0.0.0.0.13, whose linear layers have a bias, or any network as one `Sequential` (conv_fc.0.weight, ...)";
        Tutorial: "tutorial", "The tutorial's step-by-step network (conv.0.weight, fc.2.weight, ...); no bias";
    }
}

/// Reads how samples are split into a fixed number of frames. Samples of frames of fixed duration
/// differ in their number, so that they cannot share a batch.
pub fn fixed_splits() -> impl TypedValueParser<Value = SplitBy> {
    PossibleValuesParser::new([
        PossibleValue::new("number").help("Frames with equal numbers of events"),
        PossibleValue::new("time").help("Frames of equal duration"),
    ])
    .map(|typed| match typed.as_str() {
        "time" => SplitBy::Time,
        _ => SplitBy::Number,
    })
}
