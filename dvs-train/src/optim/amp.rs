//! Types of automatic mixed precision.

use std::fmt;

use burn::tensor::FloatDType;
use serde::{Deserialize, Serialize};

/// 16-bit types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AmpDtype {
    /// bfloat16: the range of 32-bit floats with fewer digits
    Bf16,
    /// Half precision: more digits than bfloat16, but a small range, so the loss is scaled
    F16,
}

impl AmpDtype {
    /// Returns the type of tensor elements.
    pub fn dtype(self) -> FloatDType {
        match self {
            Self::Bf16 => FloatDType::BF16,
            Self::F16 => FloatDType::F16,
        }
    }
}

impl fmt::Display for AmpDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}
