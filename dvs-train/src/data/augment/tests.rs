#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use burn::backend::Flex;
use burn::tensor::TensorData;
use burn_snn::testing::{on_gpu, values};
use dvs_shared::labels::gestures;

use super::*;

const IDENTITY: SampleTransform = SampleTransform {
    flip: false,
    degrees: 0.0,
    shift: [0, 0],
    flip_polarity: false,
    drop: 0.0,
    key: 0,
};

/// Makes frames whose cells count up from 1.
fn counting<B: AugmentBackend>(shape: [usize; 5], device: &B::Device) -> Tensor<B, 5> {
    let counts: Vec<f32> = (1..=shape.iter().product())
        .map(|i: usize| i as f32)
        .collect();
    Tensor::from_data(TensorData::new(counts, shape), device)
}

/// Transforms one sample of one 3 x 4 frame.
fn small(transform: SampleTransform) -> Vec<f32> {
    let frames = counting::<Flex>([1, 1, 2, 3, 4], &Default::default());
    values(alter(frames, &Plan::new(vec![0], &[transform], [3, 4])))
}

#[test]
#[rustfmt::skip]
fn flips_and_shifts_move_every_cell() {
    assert_eq!(small(IDENTITY), (1..=24).map(|i| i as f32).collect::<Vec<_>>());
    assert_eq!(small(SampleTransform { flip: true, ..IDENTITY })[..12], [
        4., 3., 2., 1.,
        8., 7., 6., 5.,
        12., 11., 10., 9.,
    ]);
    assert_eq!(small(SampleTransform { shift: [1, -1], ..IDENTITY }), [
        0., 5., 6., 7.,
        0., 9., 10., 11.,
        0., 0., 0., 0.,

        0., 17., 18., 19.,
        0., 21., 22., 23.,
        0., 0., 0., 0.,
    ]);
    let swapped = small(SampleTransform { flip_polarity: true, ..IDENTITY });
    assert_eq!((swapped[0], swapped[11], swapped[12], swapped[23]), (13., 24., 1., 12.));
    // The flip comes before the shift.
    assert_eq!(small(SampleTransform { flip: true, shift: [2, 0], ..IDENTITY })[..4], [0., 0., 4., 3.]);
}

#[test]
fn rotation_moves_each_cell_to_its_rotated_position() {
    let size = [128, 96];
    let middle = size.map(|length| (length - 1) as f64 / 2.0);
    for degrees in [-45.0, -17.3, -0.4, 0.0, 3.0, 10.0, 30.0, 45.0] {
        let transform = SampleTransform {
            degrees,
            ..IDENTITY
        };
        let (sin, cos) = f64::sin_cos(f64::to_radians(degrees));
        let mut seen = HashSet::new();
        for (to, from) in geometry::sources(&transform, size).enumerate() {
            if from == geometry::NOWHERE {
                continue;
            }
            assert!(seen.insert(from), "{degrees}: cell {from} went to two");
            let place = |cell: usize| {
                let (y, x) = (cell / size[1], cell % size[1]);
                (x as f64 - middle[1], y as f64 - middle[0])
            };
            let ((x, y), (to_x, to_y)) = (place(from as usize), place(to));
            // y points down, so the rotation is clockwise on the screen. Each of the three shears
            // rounds by up to half a pixel.
            let off = (cos * x - sin * y - to_x).hypot(sin * x + cos * y - to_y);
            assert!(off < 1.5, "{degrees}: {off} pixels off");
        }
        // Cells inside the largest circle around the middle stay in the frame.
        for y in 0..size[0] {
            for x in 0..size[1] {
                if (x as f64 - middle[1]).hypot(y as f64 - middle[0]) < middle[1] - 1.5 {
                    assert!(seen.contains(&((y * size[1] + x) as u32)), "{degrees}");
                }
            }
        }
        if degrees == 0.0 {
            assert_eq!(seen.len(), size[0] * size[1]);
        }
    }
}

#[test]
fn keeps_the_same_time_steps_of_all_samples() {
    let frames = counting::<Flex>([4, 2, 2, 1, 1], &Default::default());
    let plan = Plan::new(vec![1, 3], &[IDENTITY, IDENTITY], [1, 1]);
    let kept = alter(frames, &plan);
    assert_eq!(kept.dims(), [2, 2, 2, 1, 1]);
    assert_eq!(values(kept), [5., 6., 7., 8., 13., 14., 15., 16.]);
}

#[test]
fn drops_each_event_independently_of_other_transforms() {
    let dropped = SampleTransform {
        drop: 0.3,
        key: 0x1234_5678,
        ..IDENTITY
    };
    let frames = Tensor::<Flex, 1>::full([2 * 3 * 2 * 32 * 32], 4.0, &Default::default());
    let frames = frames.reshape([2, 3, 2, 32, 32]);
    let transforms = [1, 2].map(|key| SampleTransform { key, ..dropped });
    let transforms = [dropped, transforms[0], transforms[1]];
    let kept = values(alter(
        frames.clone(),
        &Plan::new(vec![0, 1], &transforms, [32, 32]),
    ));
    // The number of kept events is binomial: 4 events, each kept with probability 0.7.
    let shares = [0.0081, 0.0756, 0.2646, 0.4116, 0.2401];
    for (number, share) in shares.into_iter().enumerate() {
        let found = kept.iter().filter(|&&count| count == number as f32).count();
        let found = found as f64 / kept.len() as f64;
        // The bound is five standard deviations.
        let bound = 5.0 * (share * (1.0 - share) / kept.len() as f64).sqrt();
        assert!((found - share).abs() < bound, "{number}: {found}");
    }
    // Different samples and frames lose different events.
    let part = |at: usize| &kept[at * 2048..][..2048];
    assert!(part(0) != part(1) && part(0) != part(3));
    // Mirroring the sample or keeping fewer frames does not change which events are lost.
    let mirrored = SampleTransform {
        flip: true,
        ..dropped
    };
    let mirrored = values(alter(
        frames.clone(),
        &Plan::new(vec![1], &[mirrored; 3], [32, 32]),
    ));
    let straight = mirrored
        .chunks(32)
        .flat_map(|row| row.iter().rev().copied());
    assert_eq!(straight.take(2048).collect::<Vec<_>>(), part(3));
    // Above MAX_SEPARATE_EVENTS the expected share is kept.
    let many = Tensor::<Flex, 1>::full([2], 100_000.0, &Default::default());
    let many = many.reshape([1, 1, 2, 1, 1]);
    let many = values(alter(many, &Plan::new(vec![0], &[dropped], [1, 1])));
    assert_eq!(many, [70_000.0; 2]);
}

fn all() -> AugmentConfig {
    AugmentConfig {
        flip: 0.5,
        rotate: 20.0,
        shift: 7,
        flip_polarity: 0.25,
        drop_events: 0.4,
        keep_frames: Some(3),
    }
}

fn epoch(config: &AugmentConfig, epoch: u32) -> EpochTransforms {
    let augmentation = Augmentation::new(config, 8, [32, 64], &gestures())
        .unwrap()
        .unwrap();
    augmentation.epoch(7, epoch)
}

#[test]
fn random_transforms_are_reproducible_and_cover_their_ranges() {
    let transforms = epoch(&all(), 2);
    let drawn: Vec<SampleTransform> = (0..1000).map(|sample| transforms.sample(sample)).collect();
    assert_eq!(drawn[17], epoch(&all(), 2).sample(17));
    assert_ne!(drawn[17], epoch(&all(), 3).sample(17));
    let count = |of: fn(&SampleTransform) -> bool| drawn.iter().filter(|drawn| of(drawn)).count();
    assert!((440..560).contains(&count(|drawn| drawn.flip)));
    assert!((190..310).contains(&count(|drawn| drawn.flip_polarity)));
    assert!((420..580).contains(&count(|drawn| drawn.degrees > 0.0)));
    for place in [0, 1] {
        let shifts: HashSet<i32> = drawn.iter().map(|drawn| drawn.shift[place]).collect();
        assert_eq!(shifts, (-7..=7).collect());
    }
    assert!(
        drawn
            .iter()
            .all(|d| d.degrees.abs() <= 20.0 && (0.0..0.4).contains(&d.drop))
    );
    let keys: HashSet<u32> = drawn.iter().map(|drawn| drawn.key).collect();
    assert!(keys.len() > 990);
    // Other flags do not change the draws.
    let rotated = AugmentConfig {
        rotate: 20.0,
        ..AugmentConfig::default()
    };
    let alone = epoch(&rotated, 2).sample(17);
    assert_eq!(
        (alone.degrees, alone.key),
        (drawn[17].degrees, drawn[17].key)
    );
    assert_eq!(
        alone,
        SampleTransform {
            degrees: alone.degrees,
            key: alone.key,
            ..IDENTITY
        }
    );

    let mut seen = HashSet::new();
    for first in 0..200 {
        let steps = transforms.steps(first);
        assert!(steps.is_sorted_by(|a, b| a < b) && steps.len() == 3 && steps[2] < 8);
        seen.insert(steps);
    }
    assert_eq!(seen.len(), 56, "every choice of 3 of 8");
    assert_eq!(epoch(&rotated, 2).steps(0), (0..8).collect::<Vec<_>>());
}

#[test]
fn flipped_samples_have_mirrored_labels() {
    let flipped = AugmentConfig {
        flip: 1.0,
        ..AugmentConfig::default()
    };
    let mut labels: Vec<u8> = (0..=11).collect();
    let samples: Vec<usize> = (0..12).collect();
    epoch(&flipped, 0).plan(samples[0], &samples, &mut labels);
    assert_eq!(labels, [0, 2, 1, 6, 5, 4, 3, 7, 8, 9, 10, 11]);
    let mut labels = [3];
    let rotated = AugmentConfig { flip: 0.0, ..all() };
    epoch(&rotated, 0).plan(0, &[0], &mut labels);
    assert_eq!(labels, [3]);
}

#[test]
fn errors_name_the_limits_of_each_flag() {
    let refused = |config: AugmentConfig| {
        let error = Augmentation::new(&config, 8, [32, 64], &gestures()).unwrap_err();
        error.to_string()
    };
    let none = AugmentConfig::default();
    assert_eq!(
        Augmentation::new(&none, 8, [32, 64], &gestures()).unwrap(),
        None
    );
    #[rustfmt::skip]
    let cases = [
        (AugmentConfig { flip: 1.1, ..none }, "--flip 1.1 is not within 0 and 1"),
        (AugmentConfig { flip_polarity: f64::NAN, ..none }, "--flip-polarity NaN is not within 0 and 1"),
        (AugmentConfig { rotate: 46.0, ..none }, "--rotate 46 is not within 0 and 45"),
        (AugmentConfig { drop_events: 1.0, ..none }, "--drop-events 1 is not within 0 and 0.95"),
        (AugmentConfig { shift: 32, ..none }, "--shift 32 would move frames of 32 x 64 out of sight"),
        (AugmentConfig { keep_frames: Some(9), ..none }, "--keep-frames 9 is not within 1 and the 8 frames of a sample"),
    ];
    for (config, error) in cases {
        assert_eq!(refused(config), error);
    }
}

#[test]
fn gpu_augmentation_matches_cpu_exactly() {
    on_gpu!(|K, device| {
        let transforms = Augmentation::new(&all(), 5, [33, 47], &gestures())
            .unwrap()
            .unwrap();
        let plan = transforms
            .epoch(1, 4)
            .plan(5, &[5, 0, 9, 2], &mut [0, 1, 2, 3]);
        let shape = [5, 4, 2, 33, 47];
        let counts = (0..shape.iter().product()).map(|i: usize| match i % 1013 {
            0 => 5000.0,
            _ => (i * i % 13 / 5) as f32,
        });
        let frames = TensorData::new(counts.collect::<Vec<f32>>(), shape);
        let here = Tensor::<Flex, 5>::from_data(frames.clone(), &Default::default());
        let there = Tensor::<K, 5>::from_data(frames, &device);
        let expected = values(alter(here, &plan));
        assert!(expected == values(alter(there, &plan)));
        assert!(expected.iter().sum::<f32>() > 1000.0);
    });
}
