//! Tensors under names, as state dicts hold them.

/// A tensor of a state dict.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its numbers, row by row.
    pub values: Values,
}

/// Numbers of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Floats of 32 bits.
    Floats(Vec<f32>),
    /// One integer of 64 bits.
    Count(i64),
}

impl Values {
    /// Their little-endian bytes.
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
