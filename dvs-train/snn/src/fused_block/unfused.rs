//! Batch norm, neurons and pooling as separate operations.

use super::*;

const TWO: [usize; 2] = [2, 2];
const ZERO: [usize; 2] = [0, 0];
const ONE: [usize; 2] = [1, 1];

/// See [`BlockBackend::fire_pool`].
pub fn fire_pool<B: BlockBackend>(
    x: FloatTensor<B>,
    affine: Affine<FloatTensor<B>>,
    w: Option<FloatTensor<B>>,
    block: &FusedBlock,
) -> FloatTensor<B> {
    primitive(pool(fire::<B>(x, affine, w, block)))
}

/// See [`BlockBackend::fire_pool_count`].
pub fn fire_pool_count<B: BlockBackend>(
    x: FloatTensor<B>,
    affine: Affine<FloatTensor<B>>,
    w: Option<FloatTensor<B>>,
    block: &FusedBlock,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let spikes = fire::<B>(x, affine, w, block);
    let [n, c, height, width] = block.shape;
    let cells = c * height * width;
    let counts = spikes.clone().reshape([n, cells]).sum_dim(0); // [1, C * H * W]
    (primitive(pool(spikes)), primitive(counts.reshape([cells])))
}

/// Returns the spikes `[T * B, C, H, W]`.
fn fire<B: BlockBackend>(
    x: FloatTensor<B>,
    affine: Affine<FloatTensor<B>>,
    w: Option<FloatTensor<B>>,
    block: &FusedBlock,
) -> Tensor<B, 4> {
    let current = B::scale(x, affine);
    let spikes = B::neurons(rows::<B>(current, block), None, w, &block.layer());
    tensor::<B, 2>(spikes).reshape(block.shape)
}

/// See [`BlockBackend::norm_fire_pool_backward`].
pub fn backward<B: BlockBackend>(
    grad: FloatTensor<B>,
    x: FloatTensor<B>,
    affine: Affine<FloatTensor<B>>,
    saved: Saved<FloatTensor<B>>,
    w: Option<FloatTensor<B>>,
    block: &FusedBlock,
) -> [Option<FloatTensor<B>>; 4] {
    let current = rows::<B>(B::scale(x.clone(), affine), block);
    let spikes = B::neurons(current.clone(), None, w.clone(), &block.layer());
    let spikes = primitive(tensor::<B, 2>(spikes).reshape(block.shape));
    let pooled = B::max_pool2d_with_indices(spikes.clone(), TWO, TWO, ZERO, ONE, false);
    let grad = B::max_pool2d_with_indices_backward(
        spikes,
        TWO,
        TWO,
        ZERO,
        ONE,
        false,
        grad,
        pooled.indices,
    );
    let grad = rows::<B>(grad.x_grad, block);
    let [grad, _, dw] = B::neurons_backward(grad, current, None, w, &block.layer());
    let Some(grad) = grad else {
        return [None, None, None, dw];
    };
    let grad = reshape::<B, 4>(grad, block.shape);
    let [dx, dgamma, dbeta] = B::batch_norm_backward(grad, x, saved);
    [Some(dx), Some(dgamma), Some(dbeta), dw]
}
