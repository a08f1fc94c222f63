//! Batch norm, neurons and pooling as separate operations.

use super::*;

const TWO: [usize; 2] = [2, 2];
const ZERO: [usize; 2] = [0, 0];
const ONE: [usize; 2] = [1, 1];

/// See [`BlockBackend::fire_pool`].
pub fn fire_pool<B: BlockBackend>(
    inputs: BlockInputs<FloatTensor<B>>,
    block: &FusedBlock,
) -> FloatTensor<B> {
    let dtype = inputs.x.dtype();
    primitive(output(fire::<B>(inputs, block), block).cast(dtype))
}

/// See [`BlockBackend::fire_pool_from`].
pub fn fire_pool_from<B: BlockBackend>(
    inputs: BlockInputs<FloatTensor<B>>,
    block: &FusedBlock,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let dtype = inputs.x.dtype();
    let inputs = BlockInputs {
        x: cast::<B>(inputs.x, DType::F32),
        ..inputs
    };
    let layer = Layer {
        keep_potential: true,
        ..block.layer()
    };
    let rows = B::neurons(current::<B>(inputs, block), &layer);
    let rows = tensor::<B, 2>(rows); // [T + 1, B * C * H * W]
    // A row is a view, and would keep all rows in memory. Its product has its own memory.
    let last = rows.clone().narrow(0, block.steps, 1).mul_scalar(1.0);
    let spikes = rows.narrow(0, 0, block.steps).reshape(block.shape);
    let spikes = output(spikes, block).cast(dtype);
    (primitive(spikes), primitive(last))
}

/// See [`BlockBackend::fire_pool_count`].
pub fn fire_pool_count<B: BlockBackend>(
    inputs: BlockInputs<FloatTensor<B>>,
    block: &FusedBlock,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let dtype = inputs.x.dtype();
    let spikes = fire::<B>(inputs, block);
    let [n, c, height, width] = block.shape;
    let cells = c * height * width;
    let counts = spikes.clone().reshape([n, cells]).sum_dim(0); // [1, C * H * W]
    let counts = counts.reshape([cells]);
    let spikes = output(spikes, block).cast(dtype);
    (primitive(spikes), primitive(counts))
}

/// Returns the spikes of the neurons, `[T * B, C, H, W]`.
fn fire<B: BlockBackend>(inputs: BlockInputs<FloatTensor<B>>, block: &FusedBlock) -> Tensor<B, 4> {
    let spikes = B::neurons(current::<B>(inputs, block), &block.layer());
    tensor::<B, 2>(spikes).reshape(block.shape)
}

/// Returns the block's spikes for those of the neurons.
fn output<B: Backend>(spikes: Tensor<B, 4>, block: &FusedBlock) -> Tensor<B, 4> {
    match block.pool {
        true => pool(spikes),
        false => spikes,
    }
}

/// Returns the inputs of the neurons, `[T, B * C * H * W]`. They have 32 bits if the potentials are
/// given, because the potentials have, and neurons read all their inputs in one type.
fn current<B: BlockBackend>(
    inputs: BlockInputs<FloatTensor<B>>,
    block: &FusedBlock,
) -> NeuronInputs<FloatTensor<B>> {
    let BlockInputs { x, affine, w, v } = inputs;
    let x = match v {
        Some(_) => cast::<B>(x, DType::F32),
        None => x,
    };
    NeuronInputs {
        x: rows::<B>(B::scale(x, affine), block),
        v,
        w,
    }
}

fn cast<B: Backend>(images: FloatTensor<B>, dtype: DType) -> FloatTensor<B> {
    primitive(tensor::<B, 4>(images).cast(dtype))
}

/// See [`BlockBackend::norm_fire_pool_backward`].
pub fn backward<B: BlockBackend>(
    grad: FloatTensor<B>,
    inputs: BlockInputs<FloatTensor<B>>,
    saved: Saved<FloatTensor<B>>,
    block: &FusedBlock,
) -> [Option<FloatTensor<B>>; 4] {
    if inputs.v.is_some() && inputs.x.dtype() != DType::F32 {
        return widened::<B>(grad, inputs, saved, block);
    }
    let x = inputs.x.clone();
    let current = current::<B>(inputs, block);
    let grad = match block.pool {
        true => unpool::<B>(grad, current.clone(), block),
        false => grad,
    };
    let [grad, _, dw] = B::neurons_backward(rows::<B>(grad, block), current, &block.layer());
    let Some(grad) = grad else {
        return [None, None, None, dw];
    };
    let grad = reshape::<B, 4>(grad, block.shape);
    let [dx, dgamma, dbeta] = B::batch_norm_backward(grad, x, saved);
    [Some(dx), Some(dgamma), Some(dbeta), dw]
}

/// Computes the gradients in 32 bits. That of x has x's type.
fn widened<B: BlockBackend>(
    grad: FloatTensor<B>,
    inputs: BlockInputs<FloatTensor<B>>,
    saved: Saved<FloatTensor<B>>,
    block: &FusedBlock,
) -> [Option<FloatTensor<B>>; 4] {
    let dtype = inputs.x.dtype();
    let [grad, x] = [grad, inputs.x].map(|images| cast::<B>(images, DType::F32));
    let inputs = BlockInputs { x, ..inputs };
    let [dx, dgamma, dbeta, dw] = backward::<B>(grad, inputs, saved, block);
    [dx.map(|dx| cast::<B>(dx, dtype)), dgamma, dbeta, dw]
}

/// Returns the gradient of the neurons' spikes from that of the pooled spikes, `[T * B, C, H, W]`.
fn unpool<B: BlockBackend>(
    grad: FloatTensor<B>,
    current: NeuronInputs<FloatTensor<B>>,
    block: &FusedBlock,
) -> FloatTensor<B> {
    let spikes = reshape::<B, 4>(B::neurons(current, &block.layer()), block.shape);
    if block.output_shape().contains(&0) {
        return B::float_mul_scalar(spikes, 0.0.into());
    }
    let pooled = B::max_pool2d_with_indices(spikes.clone(), TWO, TWO, ZERO, ONE, false);
    let gradient = B::max_pool2d_with_indices_backward(
        spikes,
        TWO,
        TWO,
        ZERO,
        ONE,
        false,
        grad,
        pooled.indices,
    );
    gradient.x_grad
}

/// See [`BlockBackend::sum_shares`].
pub fn sum_shares<B: Backend>(shares: Vec<FloatTensor<B>>) -> FloatTensor<B> {
    let shares = shares.into_iter().map(tensor::<B, 1>);
    primitive(Tensor::cat(shares.collect(), 0).sum())
}
