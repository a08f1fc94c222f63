//! What a run is asked to do: the options of training as typed, what they mean on this machine, and what a run keeps of
//! them.

pub mod neuron_args;
pub mod options;
pub mod settings;
pub mod train_args;

use std::collections::HashSet;

/// Names of the flags that were typed, so that those with a default can be told from those left out.
pub type Typed = HashSet<String>;
