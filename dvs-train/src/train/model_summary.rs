//! A description of the settings and of the network, layer by layer.

use crate::config::options::TrainOptions;
use crate::nn::layer_summary::LayerSummary;
use crate::nn::network::SnnBackend;
use crate::nn::network_config::NetworkConfig;

/// Describes the settings and the network.
pub fn describe<B: SnnBackend>(
    options: &TrainOptions,
    config: &NetworkConfig,
    device: &B::Device,
) -> String {
    let mut text = format!("{options}, backend={}\n", B::name(device));
    let mut line = |name: &str, shape: &str, parameters: usize| {
        text += &format!("  {name:<58}{shape:>14}{parameters:>10} parameters\n");
    };
    let layers = LayerSummary::all(&config.architecture);
    for layer in &layers {
        let shape: Vec<String> = layer.shape.iter().map(usize::to_string).collect();
        line(&layer.name, &shape.join(" x "), layer.parameters);
    }
    line(
        "total",
        "",
        layers.iter().map(|layer| layer.parameters).sum(),
    );
    text += &format!("  {}\n", config.neurons_in_words());
    if let Some(augmentation) = &options.augmentation {
        text += &format!("  training samples: {augmentation}\n");
    }
    text
}
