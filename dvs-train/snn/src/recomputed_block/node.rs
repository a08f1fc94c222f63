//! The autodiff node of a recomputed block, and its backward pass.

use std::iter::repeat_n;
use std::ops::Range;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;

use super::RecomputedBlockBackend;
use super::channels::join;
use crate::batch_norm::{Affine, Saved};
use crate::convolution::{Geometry, input_gradient_for_shape, single_weight_gradient};
use crate::fused_block::{BlockInputs, FusedBlock};
use crate::packed_spikes::KeptImages;

/// Values for the backward pass.
#[derive(Clone, Debug)]
pub struct State<B: Backend> {
    /// Images that the block read.
    pub kept: KeptImages<B>,
    pub geometry: Geometry,
    /// PLIF's weight `[1]`; `None` for other neurons.
    pub neuron_w: Option<FloatTensor<B>>,
    /// The parts into which the channels are divided.
    pub parts: Vec<Part<B>>,
}

/// Some output channels of the block.
#[derive(Clone, Debug)]
pub struct Part<B: Backend> {
    /// Which of the channels.
    pub channels: Range<usize>,
    /// Weights of the convolution in 32 bits.
    pub w: FloatTensor<B>,
    /// The weights in 16 bits, if the convolution computes in 16 bits.
    pub half: Option<FloatTensor<B>>,
    /// Batch norm of these channels.
    pub affine: Affine<FloatTensor<B>>,
    /// Values for batch norm's backward pass.
    pub saved: Saved<FloatTensor<B>>,
    /// Settings of the neurons.
    pub block: FusedBlock,
}

/// The gradients of some channels. The order is that of the node's parents: images, weights, gamma,
/// beta and PLIF's weight. All channels share PLIF's weight, so its gradient is only the part that
/// these channels add.
type PartGradients<B> = [Option<FloatTensor<B>>; 5];

impl<B: RecomputedBlockBackend> Part<B> {
    /// Computes the gradients from `grad`, the gradient of the spikes of these channels. `wanted` says
    /// whether those of the images and the weights are needed.
    ///
    /// At most two of the tensors with all images are in memory at a time, besides `grad`: the images
    /// or their gradient, and the output or its gradient.
    fn backward(
        self,
        grad: FloatTensor<B>,
        kept: KeptImages<B>,
        geometry: Geometry,
        neuron_w: Option<FloatTensor<B>>,
        [want_x, want_w]: [bool; 2],
    ) -> PartGradients<B> {
        let shape = kept.shape();
        let inputs = BlockInputs {
            x: B::convolve(
                kept.clone().images(),
                self.w.clone(),
                self.half.clone(),
                geometry,
            ),
            affine: self.affine,
            w: neuron_w,
            v: None,
        };
        let [dy, dgamma, dbeta, share] =
            B::backward_of_channels(grad, inputs, self.saved, &self.block);
        let w = self.half.unwrap_or(self.w);
        let dw = dy
            .clone()
            .filter(|_| want_w)
            .map(|dy| single_weight_gradient::<B>(dy, kept.images(), w.clone(), geometry));
        let dx = dy
            .filter(|_| want_x)
            .map(|dy| input_gradient_for_shape::<B>(dy, shape, w, geometry));
        [dx, dw, dgamma, dbeta, share]
    }
}

/// The autodiff node.
#[derive(Debug)]
pub struct RecomputedNode;

impl<B: RecomputedBlockBackend> Backward<B, 5> for RecomputedNode {
    type State = State<B>;

    fn backward(self, ops: Ops<Self::State, 5>, grads: &mut Gradients, _: &mut Checkpointer) {
        let State {
            kept,
            geometry,
            neuron_w,
            parts,
        } = ops.state;
        let Some(neuron) = parts.first().map(|part| part.block.neuron) else {
            return;
        };
        let grad = grads.consume::<B>(&ops.node);
        let wanted = [0, 1].map(|parent| ops.parents[parent].is_some());
        let mut all = [const { Vec::new() }; 5];
        // The last part takes the gradient and the images themselves, so that they can go early.
        for ((grad, kept), part) in repeat_n((grad, kept), parts.len()).zip(parts) {
            let grad = B::some_channels(grad, &part.channels);
            let gradients = part.backward(grad, kept, geometry, neuron_w.clone(), wanted);
            for (all, gradient) in all.iter_mut().zip(gradients) {
                all.extend(gradient);
            }
        }
        let [dx, dw, dgamma, dbeta, shares] = all;
        let join = |parts: Vec<_>| (!parts.is_empty()).then(|| join::<B>(parts, 0));
        let dneuron = neuron_w.filter(|_| !shares.is_empty());
        let gradients = [
            // If the images have a gradient, all channels are one part.
            dx.into_iter().next(),
            join(dw),
            join(dgamma),
            join(dbeta),
            dneuron.map(|w| B::sum_shares(shares, w, &neuron)),
        ];
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(node), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}
