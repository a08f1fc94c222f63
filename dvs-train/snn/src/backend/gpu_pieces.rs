//! One launch for several tensors, such as all weights of a network, most of which have few values.

use burn::tensor::TensorMetadata;
use burn_cubecl::CubeRuntime;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;
use cubecl::{CubeCount, CubeDim};

use super::gpu::{UNITS, width};

/// How the cubes of one launch divide several tensors among them. Each cube works on a piece of one
/// tensor.
#[derive(Clone, Debug)]
pub struct Pieces {
    /// Which of the tensors; at least one.
    pub members: Vec<usize>,
    /// Values per vector, the same for all tensors.
    pub width: usize,
    /// Vectors of each tensor.
    pub vectors: Vec<usize>,
    /// Vectors of each thread, at most.
    pub rounds: usize,
}

/// Most cubes of one launch.
const MOST_CUBES: usize = 1 << 15;

impl Pieces {
    /// Divides tensors into as few launches as possible. `arrays` is the number of arrays that a
    /// kernel takes for each tensor.
    pub fn groups<R: CubeRuntime>(tensors: &[CubeTensor<R>], arrays: usize) -> Vec<Self> {
        let Some(first) = tensors.first() else {
            return Vec::new();
        };
        // Some bindings are left for the other arguments.
        let bindings = first.client.properties().hardware.max_bindings as usize;
        let most = (bindings.saturating_sub(4) / arrays).clamp(1, 64);
        let length = |at: usize| tensors[at].shape().num_elements();
        let mut groups = Vec::new();
        for vector in [4, 2, 1] {
            let same = (0..tensors.len()).filter(|&at| width(first, length(at), 4) == vector);
            for members in same.collect::<Vec<_>>().chunks(most) {
                let vectors: Vec<usize> = members.iter().map(|&at| length(at) / vector).collect();
                let total: usize = vectors.iter().sum();
                groups.push(Self {
                    members: members.to_vec(),
                    width: vector,
                    vectors,
                    rounds: total.div_ceil(UNITS as usize * MOST_CUBES).max(1),
                });
            }
        }
        groups
    }

    /// Returns the group's part of some tensors as arguments of a kernel.
    pub fn arrays<R, A>(&self, tensors: &[CubeTensor<R>]) -> SequenceArg<R, A>
    where
        R: CubeRuntime,
        A: LaunchArg<RuntimeArg<R> = ArrayArg<R>>,
    {
        let members = self.members.iter();
        members
            .map(|&at| tensors[at].clone().into_array_arg())
            .collect()
    }

    /// Returns the number of cubes.
    pub fn number(&self) -> usize {
        let piece = UNITS as usize * self.rounds;
        let pieces = self.vectors.iter().map(|vectors| vectors.div_ceil(piece));
        pieces.sum::<usize>().max(1)
    }

    /// Returns the number and the size of the cubes.
    pub fn cubes(&self) -> (CubeCount, CubeDim) {
        (
            CubeCount::Static(self.number() as u32, 1, 1),
            CubeDim::new_1d(UNITS),
        )
    }
}

/// A thread's part of a tensor.
#[derive(CubeType, Clone, Copy)]
pub struct Piece {
    /// Whether the cube works on this tensor.
    pub here: bool,
    /// First vector of the thread. The next one is as many vectors further as the cube has threads.
    pub first: usize,
    /// End of the cube's vectors.
    pub end: usize,
}

/// Returns a thread's part of tensor `tensor`. `vectors` and `rounds` are those of [`Pieces`].
#[cube]
pub fn piece(
    #[comptime] vectors: Vec<usize>,
    #[comptime] tensor: usize,
    #[comptime] rounds: usize,
) -> Piece {
    let size = comptime![UNITS as usize * rounds];
    let before = comptime![
        vectors[..tensor]
            .iter()
            .map(|vectors| vectors.div_ceil(size))
            .sum::<usize>()
    ];
    let number = comptime![vectors[tensor]];
    let after = comptime![before + number.div_ceil(size)];
    let cube = CUBE_POS;
    let start = (cube - before) * size;
    Piece {
        here: cube >= before && cube < after,
        first: start + UNIT_POS as usize,
        end: min(start + size, number),
    }
}
