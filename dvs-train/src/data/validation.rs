//! The validation set: samples held out of the training set to choose the best network.
//!
//! Whole users are held out because samples of one user resemble each other: accuracy on users seen
//! in training is too high. If there is only one user, whole recordings can be held out, because
//! windows of one recording resemble each other even more. With a validation set the test set is
//! evaluated once, at the end (accuracy-B of Fang et al., 2021). Without it the best network is
//! chosen on the test set itself (accuracy-A).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use dvs_shared::Sample;
use dvs_shared::words::{counted, some_of};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// Maximum number of names in a message.
const SHOWN: usize = 10;

/// Choice of the validation set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Validation {
    /// This many users.
    Users(usize),
    /// The users with these names.
    Named(Vec<String>),
    /// This share of the users, rounded, but at least one.
    Share(f64),
    /// This share of the recordings, rounded, but at least one.
    Recordings(f64),
}

/// The divided training set. Both lists hold sorted indices into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldOut {
    /// Samples to train on.
    pub train: Vec<usize>,
    /// Samples to choose the best network on.
    pub validation: Vec<usize>,
    /// Sorted names of the users or recordings that are held out.
    pub names: Vec<String>,
}

impl Validation {
    /// Divides `samples`. The result depends only on their names and `seed`.
    ///
    /// # Errors
    /// Returns an error if nothing would be left to train on or a user does not exist.
    pub fn hold_out(&self, samples: &[Sample], seed: u64) -> Result<HeldOut> {
        let owner = match self {
            Self::Recordings(_) => recording,
            _ => user,
        };
        let owners: Vec<&str> = samples.iter().map(|sample| owner(&sample.name)).collect();
        let all: BTreeSet<&str> = owners.iter().copied().collect();
        let all: Vec<&str> = all.into_iter().collect();
        self.more_than_one(&all)?;
        let held_out = match self {
            Self::Named(names) => self.named(names, &all)?,
            Self::Users(number) => {
                let name = number.to_string();
                ensure!(
                    !all.contains(&name.as_str()),
                    "--validation {self} may mean {number} of the users or the user called {name}; write users:{name}, (with \
                     a comma) for that user, or a share such as 0.2"
                );
                self.drawn(*number, all, seed)?
            }
            Self::Share(share) | Self::Recordings(share) => {
                let number = ((all.len() as f64 * share).round() as usize).max(1);
                self.drawn(number, all, seed)?
            }
        };
        let (validation, train) = (0..samples.len()).partition(|&i| held_out.contains(&owners[i]));
        Ok(HeldOut {
            train,
            validation,
            names: held_out.into_iter().map(str::to_owned).collect(),
        })
    }

    /// Returns the unit that is held out.
    fn what(&self) -> &'static str {
        match self {
            Self::Recordings(_) => "recording",
            _ => "user",
        }
    }

    /// Returns an error if the training set has only one user or recording.
    fn more_than_one(&self, all: &[&str]) -> Result<()> {
        match (all, self) {
            ([only], Self::Recordings(_)) => bail!(
                "--validation {self} holds out whole recordings, and all training samples are of one, {only:?}: windows of \
                 one recording resemble each other too much to choose a network on. Record more, or leave --validation out"
            ),
            ([only], _) => bail!(
                "--validation {self} holds out whole users, and all training samples are of one, {only:?} (what stands before \
                 the first _ of a recording's name is its user); hold out some of the recordings instead, as with \
                 --validation recordings:0.2"
            ),
            _ => Ok(()),
        }
    }

    /// Draws `number` of `all` with `seed` and sorts them.
    fn drawn<'a>(&self, number: usize, mut all: Vec<&'a str>, seed: u64) -> Result<Vec<&'a str>> {
        ensure!(
            number < all.len(),
            "--validation {self} would hold out {number} of the training set's {} and leave nothing to train on; hold out at \
             most {}",
            counted(all.len() as u64, self.what()),
            all.len().saturating_sub(1)
        );
        let mut rng = Pcg64::seed_from_u64(seed);
        for place in 0..number {
            let left = all.len() - place;
            let pick = ((u128::from(rng.next_u64()) * left as u128) >> 64) as usize;
            all.swap(place, place + pick);
        }
        all.truncate(number);
        all.sort_unstable();
        Ok(all)
    }

    /// Returns the users with these `names`, sorted.
    fn named<'a>(&self, names: &[String], all: &[&'a str]) -> Result<Vec<&'a str>> {
        let unknown = names.iter().find(|name| !all.contains(&name.as_str()));
        if let Some(name) = unknown {
            bail!(
                "--validation {self}: the training set has no samples of a user {name}; it has those of {}",
                some_of(all, SHOWN)
            );
        }
        let named = all.iter().copied();
        let named: Vec<&str> = named
            .filter(|user| names.iter().any(|n| n == user))
            .collect();
        ensure!(
            named.len() < all.len(),
            "--validation {self} would hold out every user of the training set and leave nothing to train on"
        );
        Ok(named)
    }
}

/// Returns the user of a sample: the part of its name before the first `_`, as in `user01_led_0`.
fn user(name: &str) -> &str {
    name.split_once('_').map_or(name, |(user, _)| user)
}

/// Returns the recording of a sample: its name without the number at the end, if it has one.
fn recording(name: &str) -> &str {
    let numbered = |(_, number): &(&str, &str)| {
        !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
    };
    let parts = name.rsplit_once('_').filter(numbered);
    parts.map_or(name, |(recording, _)| recording)
}

impl FromStr for Validation {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || {
            format!(
                "{text:?} is neither users:K, as users:4, nor users:NAME,NAME, nor a share of the users, as 0.1, nor one of \
                 the recordings, as recordings:0.2"
            )
        };
        let share = |text: &str| -> Result<f64> {
            let share: f64 = text.parse().with_context(unknown)?;
            ensure!(
                share > 0.0 && share < 1.0,
                "the share {text} is not between 0 and 1"
            );
            Ok(share)
        };
        if let Some(share_of) = text.strip_prefix("recordings:") {
            return Ok(Self::Recordings(share(share_of)?));
        }
        let Some(users) = text.strip_prefix("users:") else {
            return Ok(Self::Share(share(text)?));
        };
        if let Ok(number) = users.parse() {
            ensure!(number > 0, "users:0 holds nobody out");
            return Ok(Self::Users(number));
        }
        // A comma after the last name distinguishes a user called 4 from four users.
        let users = users.strip_suffix(',').unwrap_or(users);
        let names: Vec<String> = users
            .split(',')
            .map(|name| name.trim().to_owned())
            .collect();
        let is_name = |name: &String| !name.is_empty() && !name.chars().any(char::is_control);
        ensure!(
            names.iter().all(is_name) && !users.starts_with('-'),
            unknown()
        );
        Ok(Self::Named(names))
    }
}

impl fmt::Display for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Users(number) => write!(f, "users:{number}"),
            // Without the comma, a name that is a number would be parsed as a number of users.
            Self::Named(names) if names.len() == 1 && names[0].parse::<usize>().is_ok() => {
                write!(f, "users:{},", names[0])
            }
            Self::Named(names) => write!(f, "users:{}", names.join(",")),
            Self::Share(share) => write!(f, "{share}"),
            Self::Recordings(share) => write!(f, "recordings:{share}"),
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
    fn validation_option_parses_users_shares_and_recordings() {
        let parse = |text: &str| text.parse::<Validation>();
        assert_eq!(parse("users:4").unwrap(), Validation::Users(4));
        assert_eq!(parse("0.1").unwrap(), Validation::Share(0.1));
        assert_eq!(
            parse("recordings:0.2").unwrap(),
            Validation::Recordings(0.2)
        );
        let named = Validation::Named(vec!["anna".to_owned(), "ben".to_owned()]);
        assert_eq!(parse("users:anna, ben").unwrap(), named);
        assert_eq!(named.to_string(), "users:anna,ben");
        let one = Validation::Named(vec!["4".to_owned()]);
        assert_eq!(parse("users:4,").unwrap(), one);
        assert_eq!(parse(&one.to_string()).unwrap(), one);
        for text in [
            "",
            "users",
            "users:",
            "users:0",
            "users:-1",
            "users:a,,b",
            "0",
            "1",
            "4",
            "nan",
            "-0.1",
            "recordings:",
            "recordings:1",
            "recordings:3",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_user_and_recording_from_sample_names() {
        assert_eq!(user("user01_fluorescent_led_0"), "user01");
        assert_eq!(
            recording("user01_fluorescent_led_0"),
            "user01_fluorescent_led"
        );
        assert_eq!((user("p00_3"), recording("p00_3")), ("p00", "p00"));
        assert_eq!(user("alone"), "alone");
        assert_eq!(recording("anna_walk"), "anna_walk");
    }

    #[test]
    fn holds_out_users_and_refuses_impossible_choices() {
        let all = ["a_x", "a_y", "b_x", "c_x"];
        let how = |text: &str| text.parse::<Validation>().unwrap();
        let drawn = |text: &str| how(text).drawn(2, all.to_vec(), 3).unwrap().len();
        assert_eq!(drawn("users:2"), 2);
        assert!(how("users:4").drawn(4, all.to_vec(), 3).is_err());
        assert_eq!(
            how("users:b,a")
                .named(&["b".into(), "a".into()], &["a", "b", "c"])
                .unwrap(),
            ["a", "b"]
        );
        let said = |error: Result<Vec<&str>>| error.unwrap_err().to_string();
        let unknown = said(how("users:d").named(&["d".into()], &["a", "b"]));
        assert!(
            unknown.contains("no samples of a user d; it has those of a, b"),
            "{unknown}"
        );
        let every = said(how("users:a,b").named(&["b".into(), "a".into()], &["a", "b"]));
        assert!(every.contains("leave nothing"), "{every}");
        let said = |how: &str, all: &[&str]| {
            let how: Validation = how.parse().unwrap();
            how.more_than_one(all).unwrap_err().to_string()
        };
        let one = said("users:anna", &["anna"]);
        assert!(
            one.contains("are of one, \"anna\"") && one.contains("recordings:0.2"),
            "{one}"
        );
        let one = said("recordings:0.5", &["anna_1"]);
        assert!(one.contains("windows of one recording"), "{one}");
    }
}
