//! Networks as safetensors files: names and shapes as in PyTorch, and metadata for what a state
//! dict leaves out.

use std::collections::HashMap;

use anyhow::Result;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::interop::named::{Named, Values};

/// Key of the metadata entry.
const KEY: &str = "dvs_train";

/// Encodes the file, with `facts` as its metadata.
///
/// # Errors
/// Never returns an error in practice, because shapes and numbers match.
pub fn encode(tensors: &[Named], facts: &str) -> Result<Vec<u8>> {
    let raw: Vec<Vec<u8>> = tensors.iter().map(|tensor| tensor.values.bytes()).collect();
    let views = tensors.iter().zip(&raw).map(|(tensor, raw)| {
        let dtype = match tensor.values {
            Values::Floats(_) => Dtype::F32,
            Values::Count(_) => Dtype::I64,
        };
        Ok((
            &tensor.name,
            TensorView::new(dtype, tensor.shape.clone(), raw)?,
        ))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    let metadata = HashMap::from([(KEY.to_owned(), facts.to_owned())]);
    Ok(safetensors::serialize(views, Some(metadata))?)
}
