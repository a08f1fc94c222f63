#![allow(clippy::unwrap_used)]

use super::*;
use crate::interop::named::{Named, Values};

fn tensor(shape: &[usize], strides: &[usize], kind: Kind, bytes: &[u8]) -> Vec<f32> {
    let tensor = Tensor {
        shape: shape.to_vec(),
        strides: strides.to_vec(),
        kind,
        bytes,
    };
    tensor.values().unwrap()
}

#[test]
fn tensor_values_follow_strides_and_types() {
    let bytes: Vec<u8> = (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let transposed = tensor(&[2, 3], &[1, 2], Kind::F32, &bytes);
    assert_eq!(transposed, [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
    assert_eq!(tensor(&[], &[], Kind::F64, &2.5_f64.to_le_bytes()), [2.5]);
    assert_eq!(tensor(&[0, 3], &[3, 1], Kind::F32, &[]), [0.0; 0]);
    let half = f16::from_f32(-0.5).to_le_bytes();
    assert_eq!(tensor(&[1], &[1], Kind::F16, &half), [-0.5]);
    let brain = bf16::from_f32(1.0e30).to_le_bytes();
    assert_eq!(
        tensor(&[1], &[1], Kind::Bf16, &brain)[0],
        bf16::from_f32(1.0e30).to_f32()
    );
}

#[test]
fn reach_returns_none_on_overflow() {
    assert_eq!(reach(&[2, 3], &[3, 1]), Some(6));
    assert_eq!(reach(&[0, usize::MAX], &[1, 1]), Some(0));
    assert_eq!(reach(&[usize::MAX, 2], &[usize::MAX, 1]), None);
}

/// Replaces bytes in the file of a state dict with one tensor. Returns the tensor's shape or the
/// error.
fn read_altered(from: &[u8], to: &[u8]) -> String {
    let named = Named {
        name: "w".to_owned(),
        shape: vec![2, 3],
        values: Values::Floats(vec![1.0; 6]),
    };
    let mut bytes = write::state_dict(&[named]).unwrap();
    let whole = Pth::read(&bytes).unwrap();
    assert_eq!(whole.tensors["w"].values().unwrap(), [1.0; 6]);
    let at = bytes
        .windows(from.len())
        .position(|window| window == from)
        .unwrap();
    bytes[at..][..to.len()].copy_from_slice(to);
    // The reader checks the CRC-32s first, unless they are 0.
    for (signature, sum) in [(b"PK\x03\x04", 14), (b"PK\x01\x02", 16)] {
        for place in 0..bytes.len() {
            if bytes[place..].starts_with(signature) {
                bytes[place + sum..][..4].fill(0);
            }
        }
    }
    match Pth::read(&bytes) {
        Ok(pth) => format!("{:?}", pth.tensors["w"].shape),
        Err(error) => format!("{error:#}"),
    }
}

#[test]
fn refuses_tensors_beyond_their_storage_and_unknown_types() {
    let shape = b"(J\x02\0\0\0J\x03\0\0\0t";
    assert_eq!(read_altered(shape, b"(J\x02\0\0\0J\x02\0\0\0t"), "[2, 2]");
    let beyond = read_altered(shape, b"(J\x02\0\0\0J\xff\xff\xff\x7ft");
    assert!(
        beyond.contains("does not fit into its storage of 6 numbers"),
        "{beyond}"
    );
    let negative = read_altered(shape, b"(J\x02\0\0\0J\xff\xff\xff\xfft");
    assert!(negative.contains("not a whole number"), "{negative}");
    // With stride 0, all rows are the same three numbers, so the tensor fits into the storage.
    let strides = b"(J\x03\0\0\0J\x01\0\0\0t";
    assert_eq!(read_altered(strides, b"(J\0\0\0\0J\x01\0\0\0t"), "[2, 3]");
    let named = read_altered(b"FloatStorage", b"EvilyStorage");
    assert!(
        named.contains("torch.EvilyStorage holds numbers of a kind that is not read"),
        "{named}"
    );
}
