//! The autodiff node of the fused operations.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::ops::FloatTensor;

use super::{BlockBackend, BlockInputs, FusedBlock};
use crate::backend::primitive::primitive;
use crate::batch_norm::{
    BatchStatistics, Moments, Parameters, Running, Saved, inner_statistics, untracked,
};

impl<B: BlockBackend, C: CheckpointStrategy> BlockBackend for Autodiff<B, C> {
    fn norm_fire_pool(
        x: FloatTensor<Self>,
        parameters: Parameters<FloatTensor<Self>>,
        running: Running<FloatTensor<Self>>,
        w: Option<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> (FloatTensor<Self>, Moments<FloatTensor<Self>>) {
        let pending = Pending::<B, C>::new(x, None, parameters, running, w);
        let spikes = B::fire_pool(pending.inputs.clone(), block);
        pending.finish(spikes, block)
    }

    fn norm_fire_pool_from(
        x: FloatTensor<Self>,
        v: FloatTensor<Self>,
        parameters: Parameters<FloatTensor<Self>>,
        running: Running<FloatTensor<Self>>,
        w: Option<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        Moments<FloatTensor<Self>>,
    ) {
        let pending = Pending::<B, C>::new(x, Some(v.primitive), parameters, running, w);
        let (spikes, last) = B::fire_pool_from(pending.inputs.clone(), block);
        let (spikes, running) = pending.finish(spikes, block);
        (spikes, Self::from_inner(last), running)
    }
}

/// A tensor of the backend with autodiff.
type Tracked<B, C> = FloatTensor<Autodiff<B, C>>;

/// A block in training whose spikes are not yet computed.
struct Pending<B: Backend, C: CheckpointStrategy> {
    /// The node's parents: x, gamma, beta and PLIF's weight.
    parents: [Tracked<B, C>; 4],
    inputs: BlockInputs<FloatTensor<B>>,
    saved: Saved<FloatTensor<B>>,
    /// New running statistics.
    running: Moments<Tracked<B, C>>,
}

impl<B: BlockBackend, C: CheckpointStrategy> Pending<B, C> {
    /// Normalises `x` by its own moments. The potentials `v` have no gradient.
    fn new(
        x: Tracked<B, C>,
        v: Option<FloatTensor<B>>,
        parameters: Parameters<Tracked<B, C>>,
        running: Running<Tracked<B, C>>,
        w: Option<Tracked<B, C>>,
    ) -> Self {
        let parents = [
            x.clone(),
            parameters.gamma.clone(),
            parameters.beta.clone(),
            weight_or_nothing::<B, C>(w.as_ref(), &B::float_device(&x.primitive)),
        ];
        let BatchStatistics {
            affine,
            saved,
            running,
        } = inner_statistics::<B, C>(x.primitive.clone(), parameters, running);
        let inputs = BlockInputs {
            x: x.primitive,
            affine,
            w: w.map(|w| w.primitive),
            v,
        };
        Self {
            parents,
            inputs,
            saved,
            running: untracked::<B, C>(running),
        }
    }

    /// Adds the node of the spikes to the graph. Also returns the new running statistics.
    fn finish(
        self,
        spikes: FloatTensor<B>,
        block: &FusedBlock,
    ) -> (Tracked<B, C>, Moments<Tracked<B, C>>) {
        let state = State::<B> {
            inputs: self.inputs,
            saved: self.saved,
            block: *block,
        };
        let parents = self.parents.map(|parent| parent.node);
        let spikes = match BlockNode.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, spikes),
            OpsKind::UnTracked(prep) => prep.finish(spikes),
        };
        (spikes, self.running)
    }
}

/// Returns PLIF's weight, or a tensor without gradient for other neurons. A node of the autodiff graph
/// always has the same number of parents.
pub(crate) fn weight_or_nothing<B: Backend, C: CheckpointStrategy>(
    w: Option<&Tracked<B, C>>,
    device: &B::Device,
) -> Tracked<B, C> {
    w.cloned().unwrap_or_else(|| {
        let nothing = primitive(Tensor::<B, 1>::empty([1], device));
        <Autodiff<B, C> as AutodiffBackend>::from_inner(nothing)
    })
}

/// Values for the backward pass.
#[derive(Clone, Debug)]
struct State<B: Backend> {
    inputs: BlockInputs<FloatTensor<B>>,
    saved: Saved<FloatTensor<B>>,
    block: FusedBlock,
}

/// The autodiff node of the fused operation.
#[derive(Debug)]
struct BlockNode;

impl<B: BlockBackend> Backward<B, 4> for BlockNode {
    type State = State<B>;

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let State {
            inputs,
            saved,
            block,
        } = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let gradients = B::norm_fire_pool_backward(grad, inputs, saved, &block);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(node), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}
