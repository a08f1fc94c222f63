//! A run's configuration: the training flags as typed, resolved for this machine, and as saved.

pub mod neuron_args;
pub mod options;
pub mod settings;
pub mod train_args;

use std::collections::HashSet;

/// Names of the flags that were typed, to distinguish an explicit value from a default.
pub type Typed = HashSet<String>;
