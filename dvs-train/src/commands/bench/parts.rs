//! Times the parts of a step separately, and the device's peak speed: copying values and
//! multiplying matrices.

use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::backend::Backend;
use burn::tensor::{Distribution, FloatDType, Tensor};
use burn_snn::backend::primitive::primitive;
use burn_snn::batch_norm::{BatchNorm, BatchStatistics};
use burn_snn::fused_block::{BlockInputs, FusedBlock};
use burn_snn::neuron::model::Layer;
use burn_snn::neuron::{NeuronInputs, Neurons};
use serde_json::{Value, json};

use crate::cli::BenchArgs;
use crate::nn::architecture::BlockForm;
use crate::nn::network::SnnBackend;
use crate::nn::network_config::NetworkConfig;

/// How long a part is repeated, in seconds; it runs at least twice and at most 100 times.
const LONG_ENOUGH: f64 = 0.2;
/// Share of a convolution's inputs that are not zero, for frames and for spikes.
const DENSITY: f64 = 0.1;

/// A part of a step.
pub struct Part {
    name: String,
    seconds: f64,
    /// Minimum number of bytes moved.
    bytes: Option<usize>,
    /// Additions and multiplications of the direct algorithm.
    operations: Option<usize>,
}

/// All parts; the first two are the copy and the matrix product.
pub struct Parts(Vec<Part>);

/// Times every part of a training step of the network of `config`, with the sizes of `args`, in the
/// network's data type.
///
/// # Errors
/// Returns an error if the device fails.
pub fn time<B: SnnBackend>(
    args: &BenchArgs,
    config: &NetworkConfig,
    device: &B::Device,
) -> Result<Parts> {
    let made = Maker::<B> {
        half: config.half,
        device,
    };
    let mut parts = Vec::new();
    let (steps, n) = (args.frames, args.frames * args.batch_size);
    let blocks = &config.architecture.blocks;
    let largest = blocks.iter().map(|block| block.channels * cells(block));
    let linears = config.architecture.linears.iter();
    let largest = largest.chain(linears.map(|layer| layer.outputs)).max();
    let values = n * largest.unwrap_or(1);

    let x = made.random::<2>([n, values / n]);
    parts.push(Part {
        name: "copy".to_owned(),
        seconds: seconds::<B>(made.device, || drop(x.clone().mul_scalar(1.0)))?,
        bytes: Some(2 * made.bytes() * values),
        operations: None,
    });
    drop(x);
    parts.push(matmul(&made)?);
    if let Some(neuron) = config.neurons.first() {
        let neurons = Neurons::<B>::new(*neuron, device);
        parts.extend(layer(&made, &neurons, steps, values / steps)?);
    }
    for (number, (form, neuron)) in (1..).zip(blocks.iter().zip(&config.neurons)) {
        let [height, width] = form.convolved();
        let (pool, _) = form.fused_pool();
        let block = FusedBlock {
            neuron: *neuron,
            steps,
            shape: [n, form.channels, height, width],
            pool,
        };
        parts.extend(convolution(&made, number, form, n)?);
        if form.norm {
            let neurons = Neurons::<B>::new(*neuron, device);
            parts.extend(fused(&made, number, &neurons, &block)?);
        }
    }
    Ok(Parts(parts))
}

/// Number of cells of a channel of a convolution's output.
fn cells(block: &BlockForm) -> usize {
    block.convolved().iter().product()
}

fn matmul<B: SnnBackend>(made: &Maker<'_, B>) -> Result<Part> {
    // The size grows until a product takes long: a CPU would take minutes for a size that fills a
    // GPU.
    let mut part = None;
    for size in [1024, 4096, 8192] {
        let [a, b] = [(); 2].map(|()| made.random::<2>([size, size]));
        let found = Part {
            name: format!("matrices of {size} x {size}"),
            seconds: seconds::<B>(made.device, || drop(a.clone().matmul(b.clone())))?,
            bytes: None,
            operations: Some(2 * size * size * size),
        };
        let slow = found.seconds > 0.005;
        part = Some(found);
        if slow {
            break;
        }
    }
    part.context("no size was tried")
}

/// Times the neurons alone, for the largest layer.
fn layer<B: SnnBackend>(
    made: &Maker<'_, B>,
    neurons: &Neurons<B>,
    steps: usize,
    number: usize,
) -> Result<[Part; 2]> {
    let x = primitive(made.random::<2>([steps, number]));
    let grad = primitive(made.random::<2>([steps, number]));
    let (w, bytes) = (neurons.weight(), made.bytes() * steps * number);
    let layer = Layer {
        neuron: neurons.neuron(),
        keep_potential: false,
    };
    let inputs = NeuronInputs { x, v: None, w };
    let forward = seconds::<B>(made.device, || {
        drop(B::neurons(inputs.clone(), &layer));
    })?;
    let backward = seconds::<B>(made.device, || {
        drop(B::neurons_backward(grad.clone(), inputs.clone(), &layer));
    })?;
    let part = |name: &str, seconds, bytes| Part {
        name: format!("neurons {name}"),
        seconds,
        bytes: Some(bytes),
        operations: None,
    };
    Ok([
        part("forward", forward, 2 * bytes),
        part("backward", backward, 3 * bytes),
    ])
}

fn convolution<B: SnnBackend>(
    made: &Maker<'_, B>,
    number: usize,
    form: &BlockForm,
    n: usize,
) -> Result<Vec<Part>> {
    let ([height, width], [rows, columns]) = (form.size, form.convolved());
    let (inputs, c, kernel) = (form.inputs, form.channels, form.kernel);
    let x = primitive(made.some::<4>(Distribution::Bernoulli(DENSITY), [n, inputs, height, width]));
    let w = primitive(made.random::<4>([c, inputs, kernel, kernel]));
    let grad = primitive(made.random::<4>([n, c, rows, columns]));
    let geometry = form.geometry();
    let operations = 2 * kernel * kernel * inputs * c * n * cells(form);
    let part = |name: &str, seconds| Part {
        name: format!("conv{number} {name}"),
        seconds,
        bytes: None,
        operations: Some(operations),
    };
    let forward = seconds::<B>(made.device, || {
        drop(B::convolve(x.clone(), w.clone(), None, geometry))
    })?;
    let by_weight = seconds::<B>(made.device, || {
        drop(B::weight_gradient(
            grad.clone(),
            x.clone(),
            w.clone(),
            geometry,
        ));
    })?;
    let mut parts = vec![
        part("forward", forward),
        part("gradient of weights", by_weight),
    ];
    // The gradient of the frames is not needed.
    if number > 1 {
        let by_input = seconds::<B>(made.device, || {
            drop(B::input_gradient(
                grad.clone(),
                x.clone(),
                w.clone(),
                geometry,
            ));
        })?;
        parts.push(part("gradient of inputs", by_input));
    }
    Ok(parts)
}

/// Times batch norm, neurons and pooling. The forward pass reads the convolution's output twice,
/// first for its moments. The backward pass reads it and the gradient of the pooled spikes twice,
/// first for the sums.
fn fused<B: SnnBackend>(
    made: &Maker<'_, B>,
    number: usize,
    neurons: &Neurons<B>,
    block: &FusedBlock,
) -> Result<[Part; 2]> {
    let [n, c, height, width] = block.shape;
    let bytes = made.bytes() * n * c * height * width;
    let x = primitive(made.random::<4>(block.shape));
    let grad = primitive(made.random::<4>(block.output_shape()));
    let (w, norm) = (neurons.weight(), BatchNorm::<B>::new(c, made.device));
    let (parameters, running) = (norm.parameters(), norm.running());
    let forward = seconds::<B>(made.device, || {
        let (x, parameters, running) = (x.clone(), parameters.clone(), running.clone());
        drop(B::norm_fire_pool(x, parameters, running, w.clone(), block));
    })?;
    let BatchStatistics { affine, saved, .. } = B::statistics(x.clone(), &parameters, running);
    let inputs = BlockInputs {
        x,
        affine,
        w,
        v: None,
    };
    let backward = seconds::<B>(made.device, || {
        drop(B::norm_fire_pool_backward(
            grad.clone(),
            inputs.clone(),
            saved.clone(),
            block,
        ));
    })?;
    let part = |name: &str, seconds, bytes| Part {
        name: format!("block{number} {name}"),
        seconds,
        bytes: Some(bytes),
        operations: None,
    };
    Ok([
        part("forward", forward, 2 * bytes + bytes / 4),
        part("backward", backward, 3 * bytes + bytes / 2),
    ])
}

/// Makes tensors of the network's data type.
struct Maker<'a, B: Backend> {
    half: Option<FloatDType>,
    device: &'a B::Device,
}

impl<B: Backend> Maker<'_, B> {
    fn random<const D: usize>(&self, shape: [usize; D]) -> Tensor<B, D> {
        self.some(Distribution::Normal(0.0, 1.0), shape)
    }

    fn some<const D: usize>(&self, of: Distribution, shape: [usize; D]) -> Tensor<B, D> {
        let tensor = Tensor::<B, D>::random(shape, of, self.device);
        match self.half {
            Some(half) => tensor.cast(half),
            None => tensor,
        }
    }

    /// Bytes per value.
    fn bytes(&self) -> usize {
        if self.half.is_some() { 2 } else { 4 }
    }
}

/// Mean time of `work`, which is queued on the device without waiting in between.
fn seconds<B: Backend>(device: &B::Device, mut work: impl FnMut()) -> Result<f64> {
    let mut timed = |rounds: u32| -> Result<f64> {
        let start = Instant::now();
        for _ in 0..rounds {
            work();
        }
        B::sync(device).context("the device failed while it computed")?;
        Ok(start.elapsed().as_secs_f64() / f64::from(rounds))
    };
    // The first calls compile kernels and choose the fastest.
    timed(2)?;
    let once = timed(1)?;
    timed((LONG_ENOUGH / once.max(1e-6)).clamp(2.0, 100.0) as u32)
}

impl Parts {
    /// A table for the terminal.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{:<28}{:>10}{:>9}{:>9}{:>10}{:>11}\n",
            "part", "ms", "GB/s", "of copy", "TFLOP/s", "of matmul"
        );
        for part in &self.0 {
            let ms = 1e3 * part.seconds;
            text += &format!("{:<28}{ms:>10.3}", part.name);
            if let Some(speed) = part.gigabytes() {
                let share = speed / self.copy();
                text += &format!("{speed:>9.1}{share:>9.2}");
            }
            if let Some(speed) = part.teraflops() {
                let share = speed / self.matmul();
                text += &format!("{:>18}{speed:>10.3}{share:>11.2}", "");
            }
            text.push('\n');
        }
        text
    }

    /// One object per part.
    pub fn to_json(&self) -> Value {
        let part = |part: &Part| {
            let (bytes, operations) = (part.gigabytes(), part.teraflops());
            json!({
                "name": part.name,
                "seconds": part.seconds,
                "gb_per_s": bytes,
                "share_of_copy": bytes.map(|speed| speed / self.copy()),
                "tflop_per_s": operations,
                "share_of_matmul": operations.map(|speed| speed / self.matmul()),
            })
        };
        self.0.iter().map(part).collect()
    }

    fn copy(&self) -> f64 {
        let copies = self.0.iter().find_map(Part::gigabytes);
        copies.unwrap_or(f64::NAN)
    }

    fn matmul(&self) -> f64 {
        let products = self.0.iter().find_map(Part::teraflops);
        products.unwrap_or(f64::NAN)
    }
}

impl Part {
    fn gigabytes(&self) -> Option<f64> {
        Some(self.bytes? as f64 / self.seconds / 1e9)
    }

    fn teraflops(&self) -> Option<f64> {
        Some(self.operations? as f64 / self.seconds / 1e12)
    }
}
