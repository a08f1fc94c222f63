//! Kernels that pack spikes on the CubeCL backends. The number of spikes in a vector divides
//! [`BITS`].

use cubecl::prelude::*;

use super::BITS;

/// Packs the `vectors` of `x`. Each thread makes one of the numbers.
#[cube(launch_unchecked, address_type = "dynamic")]
pub fn pack_kernel<F: Float, N: Size>(
    x: &Array<Vector<F, N>>,
    numbers: &mut Array<u32>,
    vectors: usize,
    length: usize,
    #[comptime] vector: usize,
    #[define(F)] _dtype: StorageType,
) {
    let at = ABSOLUTE_POS;
    if at >= length {
        terminate!();
    }
    let each = comptime![BITS / vector];
    let mut number = 0u32;
    #[unroll]
    for i in 0..each {
        let place = at * each + i;
        if place < vectors {
            let spikes = x[place];
            #[unroll]
            for lane in 0..vector {
                if spikes[lane] != F::new(0.0) {
                    number |= comptime![1u32 << (i * vector + lane)];
                }
            }
        }
    }
    numbers[at] = number;
}

/// Unpacks the `vectors` of `x`. Each thread writes one of them.
#[cube(launch_unchecked, address_type = "dynamic")]
pub fn unpack_kernel<F: Float, N: Size>(
    numbers: &Array<u32>,
    x: &mut Array<Vector<F, N>>,
    vectors: usize,
    #[comptime] vector: usize,
    #[define(F)] _dtype: StorageType,
) {
    let at = ABSOLUTE_POS;
    if at >= vectors {
        terminate!();
    }
    let each = comptime![BITS / vector];
    let number = numbers[at / each] >> (at % each * vector) as u32;
    let mut spikes = Vector::<F, N>::new(F::new(0.0));
    #[unroll]
    for lane in 0..vector {
        spikes[lane] = F::cast_from(number >> comptime![lane as u32] & 1u32);
    }
    x[at] = spikes;
}
