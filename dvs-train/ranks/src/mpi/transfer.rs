//! Sums and bytes of all ranks, in parts that MPI can count.

use bytemuck::cast_slice_mut;
use mpi::Count;
use mpi::datatype::{Partition, PartitionMut};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Equivalence};

use crate::exchange::EAGER;
use crate::reduce::{Value, slice_of, sum_in_place};

/// Values that are reduced at a time. MPI counts in 32 bits, and the other ranks' values need
/// memory.
const REDUCED_AT_ONCE: usize = 1 << 21;
/// Bytes of each rank that are gathered at a time, for the same reasons.
const GATHERED_AT_ONCE: usize = 16 << 20;

/// Replaces the values by their sums over all ranks. `scratch` is memory for the values of others.
pub(super) fn reduce<V: Value + Equivalence>(
    world: &SimpleCommunicator,
    values: &mut [V],
    scratch: &mut Vec<u64>,
) {
    let size = index(world.size());
    for part in values.chunks_mut(REDUCED_AT_ONCE) {
        // Everyone sums everything if that costs less than waiting for the sums of others.
        if size_of_val(part) <= EAGER {
            let all = room(scratch, size * part.len());
            world.all_gather_into(&part[..], all);
            sum_in_place(all, part.len());
            part.copy_from_slice(&all[..part.len()]);
        } else {
            reduce_by_slices(world, part, scratch);
        }
    }
}

/// Every rank sums one slice of the values, and sends the sums to everyone.
fn reduce_by_slices<V: Value + Equivalence>(
    world: &SimpleCommunicator,
    values: &mut [V],
    scratch: &mut Vec<u64>,
) {
    let (rank, size) = (index(world.rank()), index(world.size()));
    let slices = (0..size).map(|rank| slice_of(rank, size, values.len()));
    let (counts, starts): (Vec<Count>, Vec<Count>) = slices
        .map(|slice| (count(slice.len()), count(slice.start)))
        .unzip();
    let length = slice_of(rank, size, values.len()).len();
    let all: &mut [V] = room(scratch, size * length);
    let own_counts = vec![count(length); size];
    let own_starts: Vec<Count> = (0..size).map(|rank| count(rank * length)).collect();
    let parts = Partition::new(&*values, &counts[..], &starts[..]);
    let mut contributions = PartitionMut::new(&mut *all, &own_counts[..], &own_starts[..]);
    world.all_to_all_varcount_into(&parts, &mut contributions);
    sum_in_place(all, length);
    let mut sums = PartitionMut::new(values, &counts[..], &starts[..]);
    world.all_gather_varcount_into(&all[..length], &mut sums);
}

/// Returns the bytes of all ranks. `lengths` says how many each rank has.
pub(super) fn gather(world: &SimpleCommunicator, bytes: &[u8], lengths: &[usize]) -> Vec<Vec<u8>> {
    let at_once = GATHERED_AT_ONCE.min(index(Count::MAX) / lengths.len());
    let mut parts: Vec<Vec<u8>> = lengths.iter().map(|n| Vec::with_capacity(*n)).collect();
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let mut all = Vec::new();
    for start in (0..longest).step_by(at_once) {
        let round = |length: usize| start.min(length)..(start + at_once).min(length);
        let (mut counts, mut starts, mut total) = (Vec::new(), Vec::new(), 0);
        for length in lengths {
            let length = round(*length).len();
            counts.push(count(length));
            starts.push(count(total));
            total += length;
        }
        all.resize(total, 0_u8);
        let mut places = PartitionMut::new(&mut all[..], &counts[..], &starts[..]);
        world.all_gather_varcount_into(&bytes[round(bytes.len())], &mut places);
        let mut rest = &all[..];
        for (part, length) in parts.iter_mut().zip(lengths) {
            let (own, after) = rest.split_at(round(*length).len());
            part.extend_from_slice(own);
            rest = after;
        }
    }
    parts
}

/// Memory for so many values. What it holds is of no account.
fn room<V: Value>(scratch: &mut Vec<u64>, values: usize) -> &mut [V] {
    let words = (values * size_of::<V>()).div_ceil(size_of::<u64>());
    if scratch.len() < words {
        scratch.resize(words, 0);
    }
    &mut cast_slice_mut(scratch)[..values]
}

/// A number for MPI, which the limits above keep within its range.
fn count(number: usize) -> Count {
    Count::try_from(number).unwrap_or(Count::MAX)
}

/// A number from MPI, which is never negative.
pub(super) fn index(number: Count) -> usize {
    usize::try_from(number).unwrap_or(0)
}
