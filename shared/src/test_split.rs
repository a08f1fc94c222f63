//! Divides a dataset that has no split of its own into a training and a test set.
//!
//! The rule is that of SpikingJelly 2.0's `split_to_train_test_set` without `random_split`: of the
//! n samples of a class, in their order, the first ceil(n * (1 - share)) are for training and the
//! others for testing. The share is exact to a millionth, while SpikingJelly multiplies in binary
//! fractions, which can round to the next sample. With a seed, the samples of each class are put in
//! random order first.

use std::fmt;
use std::str::FromStr;

/// A share of 1 in the unit of [`TestSplit::millionths`].
const WHOLE: u32 = 1_000_000;
/// Decimals of a share.
const DECIMALS: usize = 6;

/// The part of a dataset that is the test set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestSplit {
    /// The share of each class, in millionths.
    millionths: u32,
    /// Seed of the random order; without it, samples stay in the order of their names.
    pub seed: Option<u64>,
}

/// The share of [`TestSplit`], as text has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestShare(u32);

impl TestSplit {
    pub fn new(share: TestShare, seed: Option<u64>) -> Self {
        let TestShare(millionths) = share;
        Self { millionths, seed }
    }

    pub fn share(&self) -> TestShare {
        TestShare(self.millionths)
    }

    /// The number of training samples among `samples` of a class.
    pub fn train_samples(&self, samples: usize) -> usize {
        let train = u128::from(WHOLE - self.millionths) * samples as u128;
        train.div_ceil(u128::from(WHOLE)) as usize
    }

    /// Chooses the test samples of the class `label`, which has `samples` samples. Element i of the
    /// result says whether sample i is for testing.
    pub fn test_samples(&self, label: u8, samples: usize) -> Vec<bool> {
        let mut order: Vec<usize> = (0..samples).collect();
        if let Some(seed) = self.seed {
            shuffle(&mut order, seed, label);
        }
        let mut is_test = vec![true; samples];
        for &sample in order.iter().take(self.train_samples(samples)) {
            if let Some(is_test) = is_test.get_mut(sample) {
                *is_test = false;
            }
        }
        is_test
    }
}

/// Fisher and Yates's shuffle with SplitMix64, the same on every machine. The generator starts at
/// `seed`, and its first number, XORed with the label, starts the generator of that class. A place
/// below n is the upper half of the 128-bit product of n and a number of 64 bits.
fn shuffle(order: &mut [usize], seed: u64, label: u8) {
    let mut state = split_mix(&mut { seed }) ^ u64::from(label);
    for last in (1..order.len()).rev() {
        let places = last as u128 + 1;
        let place = (u128::from(split_mix(&mut state)) * places) >> 64;
        order.swap(last, place as usize);
    }
}

/// The next number of SplitMix64.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl fmt::Display for TestShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:0DECIMALS$}", self.0);
        write!(f, "0.{}", decimals.trim_end_matches('0'))
    }
}

impl FromStr for TestShare {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no share; write a number between 0 and 1, such as 0.1, with at most {DECIMALS} decimals"
            )
        };
        let (whole, decimals) = text.split_once('.').ok_or_else(wrong)?;
        let is_number = !decimals.is_empty() && decimals.bytes().all(|b| b.is_ascii_digit());
        if !["", "0"].contains(&whole) || !is_number || decimals.len() > DECIMALS {
            return Err(wrong());
        }
        let millionths = format!("{decimals:0<DECIMALS$}").parse();
        match millionths {
            Ok(millionths) if millionths > 0 => Ok(Self(millionths)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for TestSplit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = self.share();
        match self.seed {
            None => write!(
                f,
                "the last samples of each class in the order of their names are for testing, a share of {share}"
            ),
            Some(seed) => write!(
                f,
                "samples of each class in random order with the seed {seed} are for testing, a share of {share}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn split(share: &str, seed: Option<u64>) -> TestSplit {
        TestSplit::new(share.parse().unwrap(), seed)
    }

    #[test]
    fn shares_are_exact_decimals() {
        for (text, canonical) in [("0.1", "0.1"), (".25", "0.25"), ("0.100000", "0.1")] {
            let share: TestShare = text.parse().unwrap();
            assert_eq!(share.to_string(), canonical);
        }
        assert_eq!("0.000001".parse(), Ok(TestShare(1)));
        for wrong in [
            "0",
            "1",
            "0.0",
            "1.0",
            "0.1234567",
            "-0.1",
            "0.",
            "10%",
            "0.1 ",
        ] {
            assert!(wrong.parse::<TestShare>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn training_gets_the_first_samples_of_a_class_rounded_up() {
        for (share, samples, train) in [
            ("0.1", 1000, 900),
            ("0.1", 4, 4),
            ("0.25", 4, 3),
            ("0.3", 10, 7),
            ("0.5", 5, 3),
            ("0.999999", 1, 1),
            ("0.5", 0, 0),
        ] {
            let split = split(share, None);
            assert_eq!(split.train_samples(samples), train, "{share} of {samples}");
            let is_test = split.test_samples(3, samples);
            let expected: Vec<bool> = (0..samples).map(|i| i >= train).collect();
            assert_eq!(is_test, expected);
        }
    }

    #[test]
    fn seeds_choose_other_samples_but_as_many() {
        let all = |seed, label| split("0.2", seed).test_samples(label, 50);
        let number = |chosen: &[bool]| chosen.iter().filter(|&&test| test).count();
        let (plain, one, two) = (all(None, 0), all(Some(1), 0), all(Some(2), 0));
        assert_eq!([&plain, &one, &two].map(|c| number(c)), [10; 3]);
        assert!(plain != one && one != two && one != all(Some(1), 1));
        assert_eq!(one, all(Some(1), 0));
        // The order must never change, because caches depend on it. Another program computed it.
        let chosen = split("0.5", Some(7)).test_samples(2, 8);
        let chosen: Vec<usize> = (0..8).filter(|&i| chosen[i]).collect();
        assert_eq!(chosen, [0, 2, 6, 7]);
    }
}
