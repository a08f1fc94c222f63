//! The check that all gradients of an epoch were finite.

use anyhow::{Context, Result, bail};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

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
