//! The sum of the ranks' gradients, and the check that all gradients of an epoch were finite.

use std::vec;

use anyhow::{Context, Result, bail};
use burn::module::{AutodiffModule, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn_snn::backend::primitive::upload;
use dvs_ranks::Ranks;

use crate::metrics::rank_sums::sum_over_ranks;

/// Replaces all gradients of `module`, and the number `extra`, by their sums over all ranks.
///
/// They go as one vector in the order in which the module is visited, because an exchange of many
/// small vectors would wait for the network each time.
///
/// # Errors
/// Returns an error if the device or another rank failed.
pub fn sum_gradients<B: AutodiffBackend, M: AutodiffModule<B>>(
    module: &M,
    gradients: GradientsParams,
    extra: &mut f32,
    ranks: &dyn Ranks,
) -> Result<GradientsParams> {
    if ranks.size() == 1 {
        return Ok(gradients);
    }
    let mut flatten = Flatten {
        gradients: &gradients,
        flat: Vec::new(),
    };
    module.visit(&mut flatten);
    let flat = Tensor::cat(flatten.flat, 0);
    let mut replace = Replace {
        old: &gradients,
        new: GradientsParams::new(),
        sums: sum_over_ranks(flat, extra, ranks)?.into_iter(),
    };
    module.visit(&mut replace);
    Ok(replace.new)
}

/// Collects all gradients as vectors.
struct Flatten<'a, B: Backend> {
    gradients: &'a GradientsParams,
    flat: Vec<Tensor<B, 1>>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Flatten<'_, B::InnerBackend> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = self.gradients.get::<B::InnerBackend, D>(param.id) {
            self.flat.push(gradient.flatten(0, D - 1));
        }
    }
}

/// Makes gradients of the sums, in the order of [`Flatten`].
struct Replace<'a> {
    old: &'a GradientsParams,
    new: GradientsParams,
    sums: vec::IntoIter<f32>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Replace<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let Some(old) = self.old.get::<B::InnerBackend, D>(param.id) else {
            return;
        };
        let shape = old.shape();
        let sums: Vec<f32> = self.sums.by_ref().take(shape.num_elements()).collect();
        let sums: Tensor<B::InnerBackend, D> = upload(&sums, shape, &old.device());
        self.new.register(param.id, sums);
    }
}

/// Checks that the gradients of all steps were finite. `squares` has the sum of the squares
/// of all gradients of each step from `first` on. It is finite only if all gradients are, and below
/// 1e19.
///
/// # Errors
/// Returns an error with the first bad step and the largest norm before it, or if the device
/// failed.
pub fn check<B: Backend>(squares: Vec<Tensor<B, 1>>, first: usize) -> Result<()> {
    if squares.is_empty() {
        return Ok(());
    }
    let squares = Tensor::cat(squares, 0).try_into_data();
    let squares = squares.context("the device failed while it computed")?;
    let mut largest = 0.0_f64;
    for (step, square) in squares.iter::<f64>().enumerate() {
        if !square.is_finite() {
            bail!(
                "the gradients of step {} are infinite or no numbers (the largest norm of those before, in this epoch, \
                 was {largest:.3e})",
                first + step
            );
        }
        largest = largest.max(square.sqrt());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use burn::backend::Flex;

    #[test]
    fn error_names_first_step_with_non_finite_gradients() {
        let squares = |values: &[f32]| {
            let device = Default::default();
            let one = |&value| Tensor::<Flex, 1>::from_floats([value], &device);
            values.iter().map(one).collect::<Vec<_>>()
        };
        check(squares(&[]), 0).unwrap();
        check(squares(&[1.0, 4.0]), 0).unwrap();
        for bad in [f32::NAN, f32::INFINITY] {
            let error = check(squares(&[1.0, 1e6, 4.0, bad, 1.0, bad]), 70).unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains("step 73 ") && error.contains("was 1.000e3"),
                "{error}"
            );
        }
    }
}
