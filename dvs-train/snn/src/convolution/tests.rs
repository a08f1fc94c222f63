#![allow(clippy::unwrap_used)]

use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Tensor, TensorData};
use pulp::Arch;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg32;
use rayon::ThreadPoolBuilder;

use super::{ConvolutionBackend, Geometry, Weights, convolve, convolve_half, cpu, weight_gradient};
use crate::backend::primitive::primitive;
use crate::testing::{distance, on_gpu, values, wave};

/// The inputs and weights of a layer, and the gradient of its outputs.
struct Case {
    x: Vec<f32>,
    w: Vec<f32>,
    grad: Vec<f32>,
    channels: [usize; 2],
    images: [usize; 3],
}

impl Case {
    /// Creates random data. An input is `value` with probability `density`, and otherwise 0.
    fn new(
        channels: [usize; 2],
        images: [usize; 3],
        density: f64,
        value: fn(&mut Pcg32) -> f32,
    ) -> Self {
        let [outputs, inputs] = channels;
        let cells: usize = images.iter().product();
        let mut random = Pcg32::seed_from_u64(1);
        let mut sparse_values = |n, density: f64, value: fn(&mut Pcg32) -> f32| -> Vec<f32> {
            (0..n)
                .map(|_| match random.random_bool(density) {
                    true => value(&mut random),
                    false => 0.0,
                })
                .collect()
        };
        Self {
            x: sparse_values(inputs * cells, density, value),
            w: sparse_values(outputs * inputs * 9, 1.0, real),
            grad: sparse_values(outputs * cells, 1.0, real),
            channels,
            images,
        }
    }

    /// Computes the outputs and the gradients of the inputs and the weights with the kernels.
    fn by_kernels(&self, arch: Arch) -> [Vec<f32>; 3] {
        let Self { x, w, grad, .. } = self;
        let [outputs, inputs] = self.channels;
        let forth = Weights::forth(w, outputs, inputs);
        let back = Weights::back(w, outputs, inputs);
        [
            cpu::convolve(arch, x, &forth, self.images),
            cpu::convolve(arch, grad, &back, self.images),
            weight_gradient::weight_gradient(arch, x, grad, self.channels, self.images),
        ]
    }

    /// Computes the same from the definition of a convolution, in double precision.
    fn by_definition(&self) -> [Vec<f32>; 3] {
        let ([outputs, inputs], [n, height, width]) = (self.channels, self.images);
        let mut out = vec![0.0_f64; self.grad.len()];
        let mut dx = vec![0.0_f64; self.x.len()];
        let mut dw = vec![0.0_f64; self.w.len()];
        let taps = (0..9).map(|tap| (tap / 3, tap % 3));
        for image in 0..n {
            for (output, input) in (0..outputs).flat_map(|o| (0..inputs).map(move |i| (o, i))) {
                for (tap, (ky, kx)) in taps.clone().enumerate() {
                    let w = (output * inputs + input) * 9 + tap;
                    for y in (1_usize.saturating_sub(ky))..(height + 1 - ky).min(height) {
                        for x in (1_usize.saturating_sub(kx))..(width + 1 - kx).min(width) {
                            let to = ((image * outputs + output) * height + y) * width + x;
                            let row = (image * inputs + input) * height + y + ky - 1;
                            let from = row * width + x + kx - 1;
                            let [value, weight, grad] =
                                [self.x[from], self.w[w], self.grad[to]].map(f64::from);
                            out[to] += value * weight;
                            dx[from] += grad * weight;
                            dw[w] += value * grad;
                        }
                    }
                }
            }
        }
        [out, dx, dw].map(|values| values.into_iter().map(|value| value as f32).collect())
    }
}

fn spike(_: &mut Pcg32) -> f32 {
    1.0
}

fn count(random: &mut Pcg32) -> f32 {
    random.random_range(1..40) as f32
}

fn real(random: &mut Pcg32) -> f32 {
    random.random_range(-1.0..1.0)
}

/// Returns the instruction sets to test: the widest vectors of this processor, no vectors, and, if
/// the processor has them, narrower vectors.
fn instruction_sets() -> Vec<Arch> {
    #[cfg(target_arch = "x86_64")]
    let narrower = pulp::x86::V3::try_new().map(Arch::V3);
    #[cfg(not(target_arch = "x86_64"))]
    let narrower = None;
    [Arch::new(), Arch::Scalar]
        .into_iter()
        .chain(narrower)
        .collect()
}

const SIZES: [([usize; 2], [usize; 3]); 14] = [
    ([1, 1], [1, 1, 1]),
    ([3, 2], [2, 1, 7]),
    ([2, 1], [3, 7, 1]),
    ([8, 3], [3, 5, 3]),
    ([9, 5], [2, 17, 33]),
    ([17, 24], [9, 8, 8]),
    ([24, 2], [2, 16, 16]),
    ([130, 24], [1, 4, 2]),
    ([16, 130], [2, 3, 5]),
    ([9, 19], [2, 17, 33]),
    ([3, 16], [1, 3, 700]),
    ([11, 17], [2, 6, 32]),
    ([24, 18], [3, 10, 64]),
    ([2, 16], [1, 2, 352]),
];

#[test]
fn outputs_and_gradients_match_the_definition() {
    for (channels, images) in SIZES {
        let densities = [0.0, 0.02, 0.2, 0.5, 1.0];
        let kinds = densities.map(|density| (density, spike as fn(&mut Pcg32) -> f32));
        let others = [
            (0.1, count as fn(&mut Pcg32) -> f32),
            (0.2, real),
            (1.0, real),
        ];
        for (density, value) in kinds.into_iter().chain(others) {
            let case = Case::new(channels, images, density, value);
            let plain = case.by_definition();
            for arch in instruction_sets() {
                let fast = case.by_kernels(arch);
                let names = ["outputs", "x", "w"];
                for (name, (fast, plain)) in names.iter().zip(fast.iter().zip(&plain)) {
                    let largest = plain.iter().fold(1e-3_f32, |max, x| max.max(x.abs()));
                    let off = distance(fast, plain) / largest;
                    assert!(
                        off < 3e-6,
                        "{name} of {channels:?}, {images:?}, {density}, {arch:?}: {off:e}"
                    );
                }
            }
        }
    }
}

#[test]
fn mixed_zero_and_dense_blocks_match_the_definition() {
    let mut case = Case::new([5, 18], [6, 30, 40], 1.0, real);
    let half = case.x.len() / 2;
    case.x[..half - 700].fill(0.0);
    let plain = case.by_definition();
    for arch in instruction_sets() {
        let [out, _, dw] = case.by_kernels(arch);
        assert!(distance(&out, &plain[0]) < 3e-5);
        assert!(distance(&dw, &plain[2]) < 1e-3);
    }
}

#[test]
fn outputs_and_gradients_match_burn() {
    type B = Autodiff<Flex>;
    let device = Default::default();
    let case = Case::new([6, 3], [4, 9, 12], 0.3, count);
    let ([outputs, inputs], [n, height, width]) = (case.channels, case.images);
    let tensor = |values: &[f32], shape: [usize; 4]| {
        Tensor::<B, 4>::from_data(TensorData::new(values.to_vec(), shape), &device)
    };
    let grad = tensor(&case.grad, [n, outputs, height, width]);
    let run = |f: fn(Tensor<B, 4>, Tensor<B, 4>) -> Tensor<B, 4>| {
        let x = tensor(&case.x, [n, inputs, height, width]).require_grad();
        let w = tensor(&case.w, [outputs, inputs, 3, 3]).require_grad();
        let out = f(x.clone(), w.clone());
        let grads = (out.clone() * grad.clone()).sum().backward();
        [
            values(out),
            values(x.grad(&grads).unwrap()),
            values(w.grad(&grads).unwrap()),
        ]
    };
    let ours = run(|x, w| convolve(x, w, Geometry::SAME));
    let expected = run(|x, w| burn::tensor::module::conv2d(x, w, None, Geometry::SAME.options()));
    for (a, b) in ours.iter().zip(&expected) {
        let largest = b.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
        assert!(distance(a, b) < 1e-5 * largest);
    }
}

/// Returns the outputs and the gradients of the inputs and the weights. `half` computes in 16 bits.
fn on_backend<K: ConvolutionBackend>(case: &Case, device: &K::Device, half: bool) -> [Vec<f32>; 3] {
    let ([outputs, inputs], [n, height, width]) = (case.channels, case.images);
    let tensor = |values: &[f32], shape: [usize; 4]| {
        Tensor::<Autodiff<K>, 4>::from_data(TensorData::new(values.to_vec(), shape), device)
    };
    let x = tensor(&case.x, [n, inputs, height, width]).require_grad();
    let w = tensor(&case.w, [outputs, inputs, 3, 3]).require_grad();
    let out = match half {
        false => convolve(x.clone(), w.clone(), Geometry::SAME),
        true => {
            let of_w = primitive(w.clone().detach().cast(DType::F16));
            convolve_half(x.clone().cast(DType::F16), w.clone(), of_w, Geometry::SAME)
                .cast(DType::F32)
        }
    };
    let grad = tensor(&case.grad, [n, outputs, height, width]);
    let grads = (out.clone() * grad).sum().backward();
    let dw = w.grad(&grads).unwrap();
    assert_eq!(dw.dtype(), DType::F32);
    [values(out), values(x.grad(&grads).unwrap()), values(dw)]
}

#[test]
fn gpu_kernels_match_the_definition() {
    on_gpu!(|K, device| {
        for (channels, images) in [
            ([1, 1], [1, 1, 1]),
            ([3, 2], [2, 5, 7]),
            ([8, 4], [3, 6, 10]),
            ([66, 34], [2, 9, 8]),
            ([12, 68], [5, 16, 16]),
            ([4, 2], [3, 40, 33]),
        ] {
            let case = Case::new(channels, images, 0.4, real);
            let plain = case.by_definition();
            for (half, tolerance) in [(false, 3e-6), (true, 2e-3)] {
                let found = on_backend::<K>(&case, &device, half);
                for (name, (found, plain)) in
                    ["outputs", "x", "w"].iter().zip(found.iter().zip(&plain))
                {
                    let largest = plain.iter().fold(1e-3_f32, |max, x| max.max(x.abs()));
                    let off = distance(found, plain) / largest;
                    assert!(
                        off < tolerance,
                        "{name} of {channels:?}, {images:?}, 16 bits: {half}: {off:e}"
                    );
                }
            }
        }
    });
}

/// Returns the outputs and the gradients of the inputs and the weights of a convolution whose kernel
/// has `size` rows and columns.
fn strided<K: ConvolutionBackend>(
    size: usize,
    geometry: Geometry,
    half: bool,
    device: &K::Device,
) -> [Vec<f32>; 3] {
    let x = wave::<Autodiff<K>, 4>([3, 4, 11, 14], 0.7, device).require_grad();
    let w = wave::<Autodiff<K>, 4>([5, 4, size, size], 0.3, device).require_grad();
    let out = match half {
        false => convolve(x.clone(), w.clone(), geometry),
        true => {
            let of_w = primitive(w.clone().detach().cast(DType::F16));
            let x = x.clone().cast(DType::F16);
            convolve_half(x, w.clone(), of_w, geometry).cast(DType::F32)
        }
    };
    let grad = wave::<Autodiff<K>, 4>(out.dims(), 0.9, device);
    let grads = (out.clone() * grad).sum().backward();
    let dw = w.grad(&grads).unwrap();
    assert_eq!(dw.dtype(), DType::F32);
    [values(out), values(x.grad(&grads).unwrap()), values(dw)]
}

/// Kernels, strides and paddings that have no kernels of their own.
const OTHERS: [(usize, [usize; 2]); 5] = [
    (1, [1, 0]),
    (3, [2, 1]),
    (4, [1, 1]),
    (5, [2, 2]),
    (7, [1, 3]),
];

#[test]
fn gradients_of_other_kernels_match_their_outputs() {
    let device = Default::default();
    for (size, [stride, padding]) in OTHERS {
        let geometry = Geometry { stride, padding };
        let [out, dx, dw] = strided::<Flex>(size, geometry, false, &device);
        let sides = [11, 14].map(|side| (side + 2 * padding - size) / stride + 1);
        assert_eq!(out.len(), 3 * 5 * sides[0] * sides[1], "kernel {size}");
        // The sum of out times grad is linear in x and in w, so x dx = w dw = out grad.
        let shape = [3, 5, sides[0], sides[1]];
        let grad = values(wave::<Flex, 4>(shape, 0.9, &device));
        let x = values(wave::<Flex, 4>([3, 4, 11, 14], 0.7, &device));
        let w = values(wave::<Flex, 4>([5, 4, size, size], 0.3, &device));
        let product = |a: &[f32], b: &[f32]| -> f64 {
            let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
            products.sum()
        };
        let expected = product(&out, &grad);
        for found in [product(&x, &dx), product(&w, &dw)] {
            assert!(
                (found - expected).abs() < 1e-4 * expected.abs().max(1.0),
                "kernel {size}: {found} and {expected}"
            );
        }
    }
}

#[test]
fn other_kernels_match_on_gpu() {
    on_gpu!(|K, device| {
        for (size, [stride, padding]) in OTHERS {
            let geometry = Geometry { stride, padding };
            let plain = strided::<Flex>(size, geometry, false, &Default::default());
            // burn sums the gradient of the weights in 16 bits.
            for (half, tolerance) in [(false, 1e-5), (true, 2e-2)] {
                let found = strided::<K>(size, geometry, half, &device);
                for (name, (found, plain)) in
                    ["outputs", "x", "w"].iter().zip(found.iter().zip(&plain))
                {
                    let largest = plain.iter().fold(1e-3_f32, |max, x| max.max(x.abs()));
                    let off = distance(found, plain) / largest;
                    assert!(
                        off < tolerance,
                        "{name}, kernel {size}, 16 bits: {half}: {off:e}"
                    );
                }
            }
        }
    });
}

#[test]
fn results_are_bitwise_identical_for_any_thread_count() {
    let run = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(|| {
            let sizes = [[7, 19, 31], [5, 20, 64]];
            let cases =
                |images| [0.1, 1.0].map(|density| Case::new([20, 18], images, density, real));
            let cases = sizes.into_iter().flat_map(cases);
            cases
                .map(|case| case.by_kernels(Arch::new()))
                .collect::<Vec<_>>()
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(5));
}

#[test]
fn empty_inputs_give_empty_outputs_and_zero_gradients() {
    for images in [[0, 4, 4], [2, 0, 4], [2, 4, 0]] {
        let case = Case::new([3, 2], images, 1.0, real);
        for arch in instruction_sets() {
            let [out, dx, dw] = case.by_kernels(arch);
            assert!(out.is_empty() && dx.is_empty());
            assert_eq!(dw, vec![0.0; 3 * 2 * 9]);
        }
    }
}
