//! The convolution in 16 bits on matrix units, where a GPU has them: the fastest of three kernels of
//! CubeCL, found by trying them.
//!
//! burn tries eight for each operation and compiles all of them, some of which take a second each.
//! The three here differ in what limits them: the way to shared memory, or the instruction.

use burn::tensor::{DType, TensorMetadata};
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeRuntime, CubeTuneId};
use cubecl::AutotuneKey;
use cubecl::tune::{LocalTuner, Tunable, TunableSet, TuneGroup, local_tuner};
use cubek::convolution::{
    AcceleratedTileKind, ConvAlgorithm, ConvolutionArgs, ConvolutionInputs, Strategy, launch_ref,
};
use cubek::matmul::definition::{MatmulElems, MatmulGlobalElems};
use cubek::std::InputBinding;
use serde::{Deserialize, Serialize};

use super::gpu;
use crate::backend::gpu::{dims, empty};

/// One of the three products of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operation {
    /// The outputs `[N, H, W, C_out]` from the inputs and the weights.
    Forward,
    /// The gradient of the inputs `[N, H, W, C_in]` from that of the outputs and the weights.
    InputGradient,
    /// The gradient of the weights `[C_out, 3, 3, C_in]` from the inputs and the gradient of the
    /// outputs.
    WeightGradient,
}

/// What the fastest kernel depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, AutotuneKey)]
struct LayerKey {
    operation: Operation,
    half: DType,
    height: usize,
    width: usize,
    inputs: usize,
    outputs: usize,
    #[autotune(anchor)]
    images: usize,
}

/// The operation, its two factors in the order of [`Operation`], and room for the result. Images are
/// `[N, H, W, C]`.
type Inputs<R> = (Operation, CubeTensor<R>, CubeTensor<R>, CubeTensor<R>);

/// The kernels that are tried.
const CANDIDATES: [(ConvAlgorithm, AcceleratedTileKind); 3] = [
    (ConvAlgorithm::SimpleSyncCyclic, AcceleratedTileKind::Cmma),
    (ConvAlgorithm::SimpleAsyncStrided, AcceleratedTileKind::Mma),
    (ConvAlgorithm::SimpleAsyncTma, AcceleratedTileKind::Mma),
];

/// Computes `operation` into `out`, which is contiguous.
pub fn run<R: CubeRuntime>(
    operation: Operation,
    a: CubeTensor<R>,
    b: CubeTensor<R>,
    out: CubeTensor<R>,
) -> CubeTensor<R> {
    static TUNER: LocalTuner<LayerKey, CubeTuneId> = local_tuner!();
    let tunables = TUNER.init(|| {
        let matrix_units = TuneGroup::<LayerKey>::new("matrix units", |_| 1);
        let others = TuneGroup::<LayerKey>::new("others", |_| 0);
        let mut set = TunableSet::new(key::<R>, fresh::<R>);
        for (algorithm, tile_kind) in CANDIDATES {
            let strategy = Strategy::Inferred {
                algorithm,
                tile_kind,
            };
            let name = strategy.to_string();
            let tunable = Tunable::new(&name, move |inputs| launch::<R>(&strategy, inputs));
            set = set.with(tunable.group(&matrix_units, |_| 1));
        }
        let plain = |(operation, a, b, out): Inputs<R>| -> Result<CubeTensor<R>, String> {
            gpu::plain(operation, &a, &b, &out);
            Ok(out)
        };
        set.with(Tunable::new("plain", plain).group(&others, |_| 1))
    });
    let client = out.client.clone();
    let device = CubeTuneId::new(&out.client, &out.device);
    TUNER.execute(&device, &client, tunables, (operation, a, b, out))
}

/// Returns inputs with new room for the result.
fn fresh<R: CubeRuntime>(_: &LayerKey, (operation, a, b, out): &Inputs<R>) -> Inputs<R> {
    let room = empty(out, out.shape(), out.dtype);
    (*operation, a.clone(), b.clone(), room)
}

fn key<R: CubeRuntime>((operation, a, b, out): &Inputs<R>) -> LayerKey {
    let [images, height, width, channels] = dims(a);
    let (inputs, outputs) = match operation {
        Operation::Forward => (channels, dims::<R, 4>(out)[3]),
        Operation::InputGradient => (dims::<R, 4>(out)[3], channels),
        Operation::WeightGradient => (channels, dims::<R, 4>(b)[3]),
    };
    LayerKey {
        operation: *operation,
        half: a.dtype,
        height,
        width,
        inputs,
        outputs,
        images,
    }
}

/// Whether the gradient of the weights consists of whole tiles of CubeCL's kernels.
///
/// cubek-convolution 0.2.0 exchanges the checks of rows and columns for that gradient
/// (kernels/backward_weight/args.rs, `TensorOutput`), so it writes what is beyond the last whole tile
/// over other values.
fn are_whole_tiles<R: CubeRuntime>(images: &CubeTensor<R>, gradient: &CubeTensor<R>) -> bool {
    [images, gradient]
        .iter()
        .all(|x| dims::<R, 4>(x)[3].is_multiple_of(MOST_IN_A_TILE))
}

/// Whether the kernel passes a tile of 32-bit results from thread to thread without a barrier.
///
/// In cubek 0.2.0, each thread of a warp stores its part of the tile to shared memory (cubek-std,
/// tile/compute/matmul/mma/writer.rs, `store_manual_plain`), and other threads read it at once
/// (cubek-matmul, components/global/write/plane.rs, `write_vector`). Tiles of 16 bits are stored by an
/// instruction that the warp executes together.
fn has_race(strategy: &Strategy) -> bool {
    let Strategy::Inferred { tile_kind, .. } = strategy else {
        return false;
    };
    *tile_kind == AcceleratedTileKind::Mma
}

/// Most rows or columns of a cube's tile in CubeCL's kernels.
const MOST_IN_A_TILE: usize = 128;

fn launch<R: CubeRuntime>(
    strategy: &Strategy,
    (operation, a, b, out): Inputs<R>,
) -> Result<CubeTensor<R>, String> {
    let dtypes = MatmulElems::from_globals(&MatmulGlobalElems {
        lhs: a.dtype.into(),
        rhs: b.dtype.into(),
        out: out.dtype.into(),
    });
    if operation == Operation::WeightGradient && !are_whole_tiles(&a, &b) {
        return Err("CubeCL does not check the bounds of this shape".to_owned());
    }
    if out.dtype == DType::F32 && has_race(strategy) {
        return Err("CubeCL does not wait for a tile before it reads it".to_owned());
    }
    let client = out.client.clone();
    let input = |tensor: CubeTensor<R>| {
        let dtype = tensor.dtype;
        InputBinding::new(tensor.binding(), dtype.into())
    };
    let result = out.clone().binding();
    let inputs = match operation {
        Operation::Forward => ConvolutionInputs::Forward {
            input: input(a),
            weight: input(b),
            bias: None,
            out: result,
        },
        Operation::InputGradient => ConvolutionInputs::BackwardData {
            out_grad: input(a),
            weights: input(b),
            in_grad: result,
        },
        Operation::WeightGradient => ConvolutionInputs::BackwardWeight {
            input: input(a),
            out_grad: input(b),
            weight_grad: result,
        },
    };
    let args = ConvolutionArgs {
        stride: [1, 1],
        padding: [1, 1],
        dilation: [1, 1],
    };
    launch_ref(strategy, &client, inputs, args, dtypes)
        .map(|()| out)
        .map_err(|error| format!("{error:?}"))
}

#[cfg(all(test, feature = "cuda"))]
mod tests {
    use std::io::{self, Write};

    use burn::backend::Cuda;
    use burn::tensor::Shape;
    use burn_cubecl::kernel::into_contiguous;

    use super::*;
    use crate::backend::gpu::single;
    use crate::testing::{Gpu, back, distance, gpu, wave};

    #[test]
    fn gpu_candidates_agree_with_the_plain_kernel() {
        let Some(Gpu::Cuda(device)) = gpu() else {
            let _ = writeln!(
                io::stderr(),
                "SKIPPED: a test of matrix units; DVS_TEST_GPU=cuda runs it"
            );
            return;
        };
        let tensor = |shape: [usize; 4], step| {
            let tensor = wave::<Cuda, 4>(shape, step, &device).cast(DType::BF16);
            into_contiguous(tensor.into_primitive().tensor())
        };
        for ([n, height, width], inputs_and_outputs) in [
            ([2, 8, 8], [16, 32]),
            ([3, 10, 6], [24, 40]),
            ([2, 4, 4], [128, 128]),
        ] {
            let [inputs, channels] = inputs_and_outputs;
            let images = [n, height, width, inputs];
            let outputs = [n, height, width, channels];
            let weights = [channels, 3, 3, inputs];
            for (operation, a, b, out, dtype) in [
                (Operation::Forward, images, weights, outputs, DType::BF16),
                (
                    Operation::InputGradient,
                    outputs,
                    weights,
                    images,
                    DType::BF16,
                ),
                (
                    Operation::WeightGradient,
                    images,
                    outputs,
                    weights,
                    DType::F32,
                ),
            ] {
                let (a, b) = (tensor(a, 0.7), tensor(b, 0.3));
                let room = || empty(&a, Shape::new(out), dtype);
                let read = |x: CubeTensor<_>| back::<Cuda, 4>(single(x));
                let plain = room();
                gpu::plain(operation, &a, &b, &plain);
                let plain = read(plain);
                let largest = plain.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
                for (algorithm, tile_kind) in CANDIDATES {
                    let strategy = Strategy::Inferred {
                        algorithm,
                        tile_kind,
                    };
                    let inputs = (operation, a.clone(), b.clone(), room());
                    let found = launch(&strategy, inputs);
                    let refused = match operation {
                        Operation::Forward => false,
                        // CubeCL has no such kernel.
                        Operation::InputGradient => {
                            matches!(algorithm, ConvAlgorithm::SimpleAsyncTma)
                        }
                        Operation::WeightGradient => {
                            inputs_and_outputs != [128, 128]
                                || tile_kind == AcceleratedTileKind::Mma
                        }
                    };
                    assert_eq!(
                        found.is_err(),
                        refused,
                        "{operation:?} {images:?} by {strategy}"
                    );
                    let Ok(found) = found else { continue };
                    let off = distance(&read(found), &plain) / largest;
                    assert!(
                        off < 4e-3,
                        "{operation:?} {images:?} by {strategy}: {off:e}"
                    );
                }
            }
        }
    }
}
