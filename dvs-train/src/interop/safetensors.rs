//! Networks as safetensors files: the names and shapes that PyTorch has, and in the metadata what a state dict leaves
//! out.

use std::collections::HashMap;

use anyhow::Result;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::interop::named::{Named, Values};

/// The metadata entry.
const KEY: &str = "dvs_train";

/// The file, with `facts` as its metadata.
///
/// # Errors
/// None that occur: shapes and numbers go together.
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
