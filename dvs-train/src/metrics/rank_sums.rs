//! Sums of tensors over the ranks of a run, through host memory.

use anyhow::{Context, Result};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use dvs_ranks::Ranks;

/// Returns the sum of a `vector` over all ranks, on the host. Each rank's `extra` number travels with
/// it and is replaced by its sum.
///
/// # Errors
/// Returns an error if the device or another rank failed.
pub fn sum_over_ranks<B: Backend>(
    vector: Tensor<B, 1>,
    extra: &mut f32,
    ranks: &dyn Ranks,
) -> Result<Vec<f32>> {
    let own = vector.try_into_data();
    let own = own.context("the device failed while it computed")?;
    let mut sums: Vec<f32> = own.iter().chain([*extra]).collect();
    ranks.all_reduce(&mut sums)?;
    *extra = sums.pop().unwrap_or_default();
    Ok(sums)
}
