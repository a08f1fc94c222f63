//! Named tensors, as in state dicts.

/// A tensor of a state dict.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    pub name: String,
    pub shape: Vec<usize>,
    /// The numbers in row-major order.
    pub values: Values,
}

/// The numbers of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// 32-bit floats.
    Floats(Vec<f32>),
    /// One 64-bit integer.
    Count(i64),
}

impl Values {
    /// The numbers as little-endian bytes.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Floats(values) => values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
            Self::Count(count) => count.to_le_bytes().to_vec(),
        }
    }
}
