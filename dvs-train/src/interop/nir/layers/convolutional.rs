//! Convolutions, poolings and flatten.

use anyhow::{Result, bail, ensure};

use super::{Reader, all};
use crate::config::options::{MAX_CHANNELS, within};
use crate::interop::nir::fields::Node;
use crate::nn::architecture::BlockForm;
use crate::nn::notation::{MAX_KERNEL, NeuronName, Pool, PoolKind};
use crate::run_dir::weight_layout::Weight;

impl Reader<'_> {
    pub(super) fn convolution(&mut self, node: &Node<'_>) -> Result<()> {
        let Some([inputs, height, width]) = self.image() else {
            bail!("it has no image as its input");
        };
        // The shapes of the other nodes are not known if that of this one is not.
        self.shape = None;
        let block = block(node, inputs, [height, width])?;
        let BlockForm {
            channels, kernel, ..
        } = block;
        let [rows, columns] = block.convolved();
        ensure!(
            rows > 0 && columns > 0,
            "its inputs of {height} x {width} are smaller than its kernel of {kernel} x {kernel}"
        );
        self.shape = Some(vec![channels, rows, columns]);
        let at = self.layers.architecture.blocks.len();
        self.layers.architecture.blocks.push(block);
        let mut problems = Vec::new();
        let mut check = |result: Result<()>| problems.extend(result.err());
        check(node.check_fields(&[
            "input_shape",
            "weight",
            "bias",
            "stride",
            "padding",
            "dilation",
            "groups",
        ]));
        for name in ["dilation", "groups"] {
            check(node.check(name, &[1.0]));
        }
        if node
            .optional("input_shape")
            .is_ok_and(|field| field.is_some())
        {
            check(node.list("input_shape").and_then(|found| {
                ensure!(
                    found == [height, width],
                    "input_shape is {found:?} where {:?} is expected",
                    [height, width]
                );
                Ok(())
            }));
        }
        let shape = [channels, inputs, kernel, kernel];
        check(self.weights(node, "weight", &shape, Weight::Kernel(at)));
        check(self.weights(node, "bias", &[channels], Weight::Beta(at)));
        all(&problems)
    }

    /// Average pooling without neurons after it.
    pub(super) fn average_pool(&mut self, node: &Node<'_>) -> Result<()> {
        self.pool(node, PoolKind::Average).map(|_| ())
    }

    /// Sum or average pooling that the neurons after it make max pooling.
    pub(super) fn max_pool(&mut self, node: &Node<'_>) -> Result<()> {
        let blocks = &self.layers.architecture.blocks;
        let before = blocks.last().map_or(&[][..], |block| &block.pools);
        let averages = before.iter().any(|pool| pool.kind == PoolKind::Average);
        let pool = self.pool(node, PoolKind::Max)?;
        self.least = match node.kind() {
            "AvgPool2d" => 1.0 / (pool.kernel * pool.kernel) as f64,
            _ => 1.0,
        };
        ensure!(
            !averages,
            "neurons follow it, and its inputs are means, not spikes, so it is no max pooling; leave the neurons out, or \
             put a convolution before them"
        );
        Ok(())
    }

    fn pool(&mut self, node: &Node<'_>, kind: PoolKind) -> Result<Pool> {
        let Some([channels, height, width]) = self.image() else {
            bail!("it has no image as its input");
        };
        self.shape = None;
        let pool = Pool {
            kind,
            kernel: node.side("kernel_size", 1..=MAX_KERNEL)?,
            stride: node.side("stride", 1..=MAX_KERNEL)?,
        };
        let Some(block) = self.layers.architecture.blocks.last_mut() else {
            bail!("it comes before all convolutions");
        };
        block.pools.push(pool);
        let [rows, columns] = block.pooled();
        ensure!(
            rows > 0 && columns > 0,
            "it leaves nothing of its inputs of {height} x {width}"
        );
        self.shape = Some(vec![channels, rows, columns]);
        node.check_fields(&["kernel_size", "stride", "padding"])?;
        node.check("padding", &[0.0])?;
        Ok(pool)
    }

    pub(super) fn flatten(&mut self, node: &Node<'_>) -> Result<()> {
        let mut problems = Vec::new();
        let mut check = |result: Result<()>| problems.extend(result.err());
        check(node.check_fields(&["input_type", "start_dim", "end_dim"]));
        if node.optional("input_type")?.is_some() {
            check(self.check_shape(node, "input_type"));
        }
        // Negative numbers count from the last of the three dimensions.
        check(node.check("start_dim", &[0.0, -3.0]));
        check(node.check("end_dim", &[-1.0, 2.0]));
        self.shape = Some(vec![self.shape().iter().product()]);
        all(&problems)
    }

    /// The shape of the node before, if it has channels, rows and columns.
    fn image(&self) -> Option<[usize; 3]> {
        self.shape().try_into().ok()
    }
}

/// The form of a convolution with LIF neurons.
fn block(node: &Node<'_>, inputs: usize, size: [usize; 2]) -> Result<BlockForm> {
    let weight = node.numbers("weight")?.shape();
    let (channels, kernel) = match *weight {
        [channels, _, height, width] if height == width && (1..=MAX_KERNEL).contains(&height) => {
            (channels, height)
        }
        _ => bail!(
            "weight has the shape {weight:?} where [channels, {inputs}, K, K] is expected, with a square kernel and K up to \
             {MAX_KERNEL}"
        ),
    };
    within("channels", channels, 1..=MAX_CHANNELS)?;
    let stride = node.side("stride", 1..=MAX_KERNEL)?;
    // In Python, the padding may have a name.
    let keeps_size = node.is_text("padding", "same");
    let padding = if keeps_size && stride == 1 && !kernel.is_multiple_of(2) {
        (kernel - 1) / 2
    } else if keeps_size {
        bail!(
            "padding is \"same\", which is known only for a stride of 1 and a kernel of an odd size"
        );
    } else if node.is_text("padding", "valid") {
        0
    } else {
        node.side("padding", 0..=kernel - 1)?
    };
    Ok(BlockForm {
        dropout: 0.0,
        inputs,
        channels,
        kernel,
        stride,
        padding,
        norm: true,
        neuron: NeuronName::Lif,
        pools: Vec::new(),
        size,
    })
}
