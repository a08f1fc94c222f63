//! Users held out of the training set, to choose the best network on.
//!
//! Whole users, because samples of one user resemble each other: a network judged on other samples of the users it
//! was trained on looks better than it is. With a validation set the test set is judged once, at the end (accuracy-B
//! of Fang et al., 2021); without one the best network is chosen on the test set itself (accuracy-A).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use dvs_shared::Sample;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// How many users are held out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Validation {
    /// This many.
    Users(usize),
    /// This share of them, rounded, at least one.
    Share(f64),
}

/// The training set, divided. Both lists hold places in it, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldOut {
    /// Samples to train on.
    pub train: Vec<usize>,
    /// Samples to choose on.
    pub validation: Vec<usize>,
    /// The users that are held out, in order.
    pub users: Vec<String>,
}

impl Validation {
    /// Divides `samples`; which users are held out depends on their names and `seed` alone.
    ///
    /// # Errors
    /// Where a name tells no user, or nobody would be left to train on.
    pub fn hold_out(self, samples: &[Sample], seed: u64) -> Result<HeldOut> {
        let owners = samples
            .iter()
            .map(|sample| user(&sample.name))
            .collect::<Result<Vec<_>>>()?;
        let mut users: Vec<&str> = owners
            .iter()
            .copied()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let number = match self {
            Self::Users(number) => number,
            Self::Share(share) => ((users.len() as f64 * share).round() as usize).max(1),
        };
        ensure!(
            number < users.len(),
            "--validation {self} would hold out {number} of the training set's {} users and leave nobody to train \
             on; hold out at most {}",
            users.len(),
            users.len().saturating_sub(1)
        );
        let mut rng = Pcg64::seed_from_u64(seed);
        for place in 0..number {
            let left = users.len() - place;
            let pick = ((u128::from(rng.next_u64()) * left as u128) >> 64) as usize;
            users.swap(place, place + pick);
        }
        users.truncate(number);
        users.sort_unstable();
        let (validation, train) = (0..samples.len()).partition(|&i| users.contains(&owners[i]));
        Ok(HeldOut {
            train,
            validation,
            users: users.into_iter().map(str::to_owned).collect(),
        })
    }
}

/// The user a sample is of: what stands before the light in `user01_led_0`.
fn user(name: &str) -> Result<&str> {
    let user = name.split_once('_').map(|(user, _)| user);
    match user.filter(|user| user.starts_with("user")) {
        Some(user) => Ok(user),
        None => bail!(
            "--validation holds out whole users, but the sample's name {name:?} does not begin with one, as \
             user01_led_0 does"
        ),
    }
}

impl FromStr for Validation {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || format!("{text:?} is neither users:K, as users:4, nor a share, as 0.1");
        if let Some(number) = text.strip_prefix("users:") {
            let number = number.parse().with_context(unknown)?;
            ensure!(number > 0, "users:0 holds nobody out");
            return Ok(Self::Users(number));
        }
        let share: f64 = text.parse().with_context(unknown)?;
        ensure!(
            share > 0.0 && share < 1.0,
            "the share {text} is not between 0 and 1"
        );
        Ok(Self::Share(share))
    }
}

impl fmt::Display for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Users(number) => write!(f, "users:{number}"),
            Self::Share(share) => write!(f, "{share}"),
        }
    }
}

impl From<Validation> for String {
    fn from(validation: Validation) -> Self {
        validation.to_string()
    }
}

impl TryFrom<String> for Validation {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn amounts_are_parsed() {
        let parse = |text: &str| text.parse::<Validation>();
        assert_eq!(parse("users:4").unwrap(), Validation::Users(4));
        assert_eq!(parse("0.1").unwrap(), Validation::Share(0.1));
        for text in [
            "", "users", "users:", "users:0", "users:-1", "0", "1", "4", "nan", "-0.1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_user_is_what_stands_before_the_light() {
        assert_eq!(user("user01_fluorescent_led_0").unwrap(), "user01");
        for name in ["led_0", "user01", ""] {
            let error = user(name).unwrap_err().to_string();
            assert!(error.contains("holds out whole users"), "{error}");
        }
    }
}
