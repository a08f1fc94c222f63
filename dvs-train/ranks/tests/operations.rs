//! All-reduce, gather, barrier: results, and calls that do not fit each other.

#![allow(clippy::panic, clippy::unwrap_used)]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{PATIENT, errors, launches, run, short};
use dvs_ranks::{Alone, Limits, RankError, Ranks};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Values of very different size, whose sum depends on the order.
fn values(rank: usize, length: usize) -> Vec<f32> {
    let mut random = Pcg64Mcg::seed_from_u64(rank as u64 + 1);
    (0..length)
        .map(|_| (random.random::<f32>() - 0.5) * 2_f32.powi(random.random_range(-20..20)))
        .collect()
}

/// The sum in the order of the ranks.
fn serial(size: usize, length: usize) -> Vec<f32> {
    let mut sums = values(0, length);
    for rank in 1..size {
        let terms = values(rank, length);
        sums.iter_mut()
            .zip(terms)
            .for_each(|(sum, term)| *sum += term);
    }
    sums
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn sums_equal_the_serial_sum_bit_for_bit() {
    for size in [2, 3, 4, 7] {
        let lengths = [0, 1, 5, 1000, 4096, 4097, 50_021, 1_000_003];
        let expected: Vec<Vec<u32>> = lengths.iter().map(|l| bits(&serial(size, *l))).collect();
        let results = run(&launches(size), PATIENT, |world| {
            for (length, expected) in lengths.into_iter().zip(&expected) {
                let mut sums = values(world.rank(), length);
                world.all_reduce(&mut sums)?;
                assert!(bits(&sums) == *expected, "{size} ranks, {length} values");
                let mut doubles: Vec<f64> = values(world.rank(), length)
                    .into_iter()
                    .map(f64::from)
                    .collect();
                world.all_reduce_f64(&mut doubles)?;
                let mut serial: Vec<f64> = vec![-0.0; length];
                for rank in 0..size {
                    let terms = values(rank, length);
                    serial
                        .iter_mut()
                        .zip(terms)
                        .for_each(|(s, t)| *s += f64::from(t));
                }
                assert!(doubles == serial, "{size} ranks, {length} doubles");
            }
            world.finish()
        });
        assert_eq!(results, vec![Ok(()); size]);
    }
}

#[test]
fn the_order_of_the_ranks_matters_to_these_values() {
    // Otherwise the test above would not notice another order.
    let mut backwards = values(2, 1000);
    for rank in [1, 0] {
        let terms = values(rank, 1000);
        backwards
            .iter_mut()
            .zip(terms)
            .for_each(|(sum, term)| *sum += term);
    }
    assert_ne!(bits(&backwards), bits(&serial(3, 1000)));
}

#[test]
fn gather_keeps_the_order_of_ranks_and_lengths_may_differ() {
    for size in [2, 3, 7] {
        let of = |rank: usize| vec![rank as u8; rank * rank * 30_000];
        let results = run(&launches(size), PATIENT, |world| {
            let first = world.gather(&of(world.rank()))?;
            let second = world.gather(format!("rank {}", world.rank()).as_bytes())?;
            world.finish()?;
            Ok((first, second))
        });
        for result in results {
            let (first, second) = result.unwrap();
            assert!(first == (0..size).map(of).collect::<Vec<_>>());
            let texts: Vec<Vec<u8>> = (0..size)
                .map(|r| format!("rank {r}").into_bytes())
                .collect();
            assert_eq!(second, texts);
        }
    }
}

#[test]
fn nobody_leaves_a_barrier_before_all_have_come() {
    let come = AtomicUsize::new(0);
    let results = run(&launches(3), PATIENT, |world| {
        thread::sleep(Duration::from_millis(60 * world.rank() as u64));
        come.fetch_add(1, Ordering::SeqCst);
        world.barrier()?;
        let seen = come.load(Ordering::SeqCst);
        world.finish()?;
        Ok(seen)
    });
    assert_eq!(results, vec![Ok(3); 3]);
}

#[test]
fn a_rank_alone_changes_nothing() {
    let mut sums = [1.0, 2.0];
    Alone.all_reduce(&mut sums).unwrap();
    assert_eq!(sums, [1.0, 2.0]);
    assert_eq!(Alone.gather(b"x").unwrap(), [b"x"]);
    assert_eq!((Alone.rank(), Alone.size()), (0, 1));
}

#[test]
fn different_lengths_are_named_to_all() {
    // One that is sent at once, and one that waits for the other's call.
    for length in [10, 100_000] {
        let results = run(&launches(3), PATIENT, |world| {
            world.barrier()?;
            let own = length + usize::from(world.rank() == 1) * 2;
            world.all_reduce(&mut vec![0.0; own])
        });
        for error in errors(results) {
            assert!(
                error.contains(&format!("all-reduce of {length} f32 (operation 2)")),
                "{error}"
            );
            let other = format!("all-reduce of {} f32 (operation 2)", length + 2);
            assert!(
                error.contains(&other) && error.contains("rank 1 on "),
                "{error}"
            );
        }
    }
}

#[test]
fn different_operations_are_named_to_all() {
    let results = run(&launches(3), PATIENT, |world| match world.rank() {
        0 => world.gather(b"abc").map(|_| ()),
        1 => world.barrier(),
        _ => world.gather(b"abcd").map(|_| ()),
    });
    for error in errors(results) {
        assert!(
            error.contains("rank 1 on ") && error.contains("barrier (operation 1)"),
            "{error}"
        );
        assert!(error.contains("called gather of "), "{error}");
    }
    let results = run(&launches(2), PATIENT, |world| match world.rank() {
        0 => world.all_reduce(&mut [0.0; 2]),
        _ => world.all_reduce_f64(&mut [0.0; 2]),
    });
    for error in errors(results) {
        assert!(error.contains("all-reduce of 2 f32"), "{error}");
        assert!(error.contains("all-reduce of 2 f64"), "{error}");
    }
}

#[test]
fn one_that_finishes_while_others_go_on_is_a_mismatch() {
    let results = run(&launches(2), PATIENT, |world| match world.rank() {
        0 => world.finish(),
        _ => world.barrier(),
    });
    for error in errors(results) {
        assert!(error.contains("finish (operation 1)"), "{error}");
        assert!(error.contains("barrier (operation 1)"), "{error}");
    }
}

#[test]
fn nothing_follows_finish() {
    let results = run(&launches(2), PATIENT, |world| {
        world.finish()?;
        world.barrier()
    });
    for error in errors(results) {
        assert!(
            error.contains("called barrier (operation 2) after it had finished"),
            "{error}"
        );
    }
}

#[test]
fn a_slow_rank_is_waited_for_beyond_the_timeout() {
    let start = Instant::now();
    let results = run(&launches(3), short(400), |world| {
        if world.rank() == 1 {
            thread::sleep(Duration::from_millis(1500));
        }
        // More than sockets hold: nobody may take this for a connection that stands still.
        let mut sums = vec![1.0; 8_000_000];
        world.all_reduce(&mut sums)?;
        assert_eq!(sums[7_999_999], 3.0);
        world.finish()
    });
    assert_eq!(results, vec![Ok(()); 3]);
    assert!(start.elapsed() >= Duration::from_millis(1500));
}

#[test]
fn a_rank_that_stays_away_is_not_waited_for_forever() {
    let limits = Limits {
        longest_wait: Duration::from_millis(300),
        ..PATIENT
    };
    let results = run(&launches(3), limits, |world| {
        if world.rank() == 2 {
            thread::sleep(Duration::from_millis(1200));
        }
        world.barrier()
    });
    for error in errors(results) {
        assert!(error.contains("rank 2 on "), "{error}");
        assert!(
            error.contains("is alive but has not moved for 0.3 s"),
            "{error}"
        );
    }
}

#[test]
fn the_reason_for_giving_up_reaches_all() {
    // Rank 0 tells everyone itself, and passes on what another rank says.
    for failing in [0, 2] {
        let results = run(&launches(4), PATIENT, |world| {
            world.barrier()?;
            if world.rank() == failing {
                world.abort("cannot write the checkpoint: disk full");
            }
            world.all_reduce(&mut [1.0])
        });
        for error in errors(results) {
            let name = format!("rank {failing} on ");
            assert!(error.starts_with(&name), "{error}");
            assert!(
                error.ends_with("gave up: cannot write the checkpoint: disk full"),
                "{error}"
            );
        }
    }
}

#[test]
fn a_rank_that_is_dropped_early_ends_the_others() {
    let results = run(&launches(3), PATIENT, |world| match world.rank() {
        1 => Ok(()),
        _ => world.all_reduce(&mut vec![0.0; 100_000]),
    });
    for (rank, result) in results.into_iter().enumerate() {
        match result {
            Ok(()) => assert_eq!(rank, 1),
            Err(RankError::Aborted { peer, reason }) => {
                assert_eq!(peer.rank, 1);
                assert_eq!(reason, "it ended before the job was finished");
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn after_a_failure_every_operation_names_it() {
    let results = run(&launches(2), PATIENT, |world| {
        if world.rank() == 0 {
            world.abort("enough");
        }
        let first = world.barrier().unwrap_err();
        let second = world.gather(b"").unwrap_err();
        assert_eq!(first, second);
        Ok(first.to_string())
    });
    for result in results {
        assert!(result.unwrap().ends_with("gave up: enough"));
    }
}
