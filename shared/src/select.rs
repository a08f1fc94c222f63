//! Chooses samples by name, by number, by label, or one of each class.

use thiserror::Error;

use crate::cache_format::Set;
use crate::words::some_of;

/// Maximum number of names in a message.
const LISTED: usize = 12;
/// Maximum number of similar names in a message.
const ALIKE: usize = 3;
/// Maximum number of classes in a message.
const CLASSES: usize = 20;

/// An existing sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSample {
    /// `<recording>_<k>`, or the recording if it has no labels.
    pub name: String,
    /// From 0; `None` if there is no label.
    pub label: Option<u8>,
    /// `None` if the sample is not in a dataset.
    pub set: Option<Set>,
    /// The index among all samples of the set, if known.
    pub index: Option<usize>,
}

/// The requested samples.
#[derive(Clone, Debug)]
pub struct SampleRequest {
    pub set: Option<Set>,
    /// Which of the matching samples.
    pub sample: SampleChoice,
    /// The number or the name of the label.
    pub label: Option<String>,
    /// Whether one sample of each class is requested.
    pub each_class: bool,
}

/// Why no sample can be chosen. The message lists the existing ones.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct SelectError(String);

/// Returns an error with a message.
macro_rules! refuse {
    ($($message:tt)*) => {
        return Err(SelectError(format!($($message)*)))
    };
}

/// Selects one of the matching samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SampleChoice {
    /// The only one.
    Only,
    /// By its index.
    Nth(usize),
    /// By its name.
    Named(String),
}

impl ListedSample {
    /// `<recording>_<k>@<label>`, which is unique.
    pub fn full_name(&self) -> String {
        match self.label {
            Some(label) => format!("{}@{label}", self.name),
            None => self.name.clone(),
        }
    }

    fn recording(&self) -> &str {
        self.name
            .rsplit_once('_')
            .map_or(&self.name, |(name, _)| name)
    }
}

impl SampleChoice {
    /// Parses `text` as a number, or else as a name.
    pub fn parse(text: &str) -> Self {
        text.parse()
            .map_or_else(|_| Self::Named(text.to_owned()), Self::Nth)
    }
}

impl SampleRequest {
    /// The recording of the named sample, if there is one.
    pub fn recording(&self) -> Option<&str> {
        let SampleChoice::Named(name) = &self.sample else {
            return None;
        };
        let name = name.split_once('@').map_or(name.as_str(), |(name, _)| name);
        Some(
            name.rsplit_once('_')
                .map_or(name, |(recording, _)| recording),
        )
    }

    /// The set in which samples are counted: by default the training set. A name is searched for in
    /// both sets.
    fn set(&self) -> Option<Set> {
        let by_number = matches!(self.sample, SampleChoice::Nth(_));
        self.set.or(by_number.then_some(Set::Train))
    }

    /// Returns the indices of the requested samples in `samples`, whose classes have these names.
    ///
    /// # Errors
    /// Returns an error if no sample matches, or if several have the name. The message lists the
    /// existing ones.
    pub fn choose(
        &self,
        samples: &[ListedSample],
        names: &[String],
    ) -> Result<Vec<usize>, SelectError> {
        let label = self.label.as_deref().map(|text| label(text, names));
        let label = label.transpose()?;
        if let (Some(set), true) = (self.set, samples.iter().any(|s| s.set.is_none())) {
            refuse!(
                "a recording or sample alone is of no set; leave --set {} out",
                set.name()
            );
        }
        let fits = |sample: &ListedSample| {
            // A single recording belongs to no set.
            let set = sample.set.is_none() || self.set().is_none_or(|set| sample.set == Some(set));
            set && (label.is_none() || sample.label == label)
        };
        let fitting: Vec<usize> = (0..samples.len())
            .filter(|&at| fits(&samples[at]))
            .collect();
        if self.each_class {
            let SampleChoice::Nth(nth) = self.sample else {
                return Ok(Vec::new());
            };
            let of = |label: usize| {
                let mut of_label = fitting
                    .iter()
                    .filter(|&&at| samples[at].label.map(usize::from) == Some(label));
                of_label.nth(nth).copied()
            };
            let chosen: Vec<usize> = (0..names.len()).filter_map(of).collect();
            if chosen.is_empty() {
                refuse!(
                    "there is no sample number {nth} of any class{}",
                    self.among(samples, label, names)
                );
            }
            return Ok(chosen);
        }
        match &self.sample {
            SampleChoice::Only => match fitting.as_slice() {
                &[at] => Ok(vec![at]),
                [] => refuse!("there is no sample{}", self.among(samples, label, names)),
                several => refuse!(
                    "it holds several samples; name one with --sample: {}",
                    listed(several, samples, names)
                ),
            },
            SampleChoice::Nth(nth) => match fitting.get(*nth) {
                Some(&at) => Ok(vec![at]),
                None => refuse!(
                    "there is no sample number {nth}{}",
                    self.among(samples, label, names)
                ),
            },
            SampleChoice::Named(name) => self.named(name, samples, &fitting, names),
        }
    }

    fn named(
        &self,
        name: &str,
        samples: &[ListedSample],
        fitting: &[usize],
        names: &[String],
    ) -> Result<Vec<usize>, SelectError> {
        let has_name = |at: &usize| samples[*at].name == name || samples[*at].full_name() == name;
        let found: Vec<usize> = fitting.iter().copied().filter(has_name).collect();
        if let [at] = found[..] {
            return Ok(vec![at]);
        }
        let list = |places: &[usize]| listed(places, samples, names);
        if !found.is_empty() {
            refuse!(
                "{} samples are named {name}; name one of {}",
                found.len(),
                list(&found)
            );
        }
        let everywhere: Vec<usize> = (0..samples.len()).collect();
        let elsewhere: Vec<usize> = everywhere.iter().copied().filter(has_name).collect();
        if let [at, ..] = elsewhere[..] {
            let sample = &samples[at];
            let set = sample.set.map_or("", Set::name);
            refuse!(
                "{} is of the set {set}, and is not what --set and --label ask for",
                with_label(sample, names)
            );
        }
        let of_recording = |at: &usize| samples[*at].recording() == name;
        let of_recording: Vec<usize> = fitting.iter().copied().filter(of_recording).collect();
        if !of_recording.is_empty() {
            refuse!(
                "{name} is a recording; name one of its samples: {}",
                list(&of_recording)
            );
        }
        let alike = alike(name, fitting, samples);
        if alike.is_empty() {
            refuse!(
                "no sample is named {name}; those there are have names as {}",
                list(&fitting[..fitting.len().min(3)])
            );
        }
        refuse!(
            "no sample is named {name}; is it one of these? {}",
            list(&alike)
        )
    }

    /// The number of existing samples, as the end of a sentence.
    fn among(&self, samples: &[ListedSample], label: Option<u8>, names: &[String]) -> String {
        let of_label = |s: &&ListedSample| label.is_none() || s.label == label;
        let count = |set| {
            samples
                .iter()
                .filter(|s| s.set == set)
                .filter(of_label)
                .count()
        };
        let of = label.map_or(String::new(), |label| {
            format!(" of {}", name_of(Some(label), names))
        });
        let numbers = |n: usize| match n {
            0 => "none".to_owned(),
            1 => "one, number 0".to_owned(),
            n => format!("{n}, numbers 0 to {}", n - 1),
        };
        if samples.iter().all(|s| s.set.is_none()) {
            return format!(": there are {}{of}", numbers(count(None)));
        }
        let [train, test] = Set::ALL.map(|set| numbers(count(Some(set))));
        format!(": the training set has {train}{of}, the test set (--set test) {test}")
    }
}

/// Parses a label from its number or name.
fn label(text: &str, names: &[String]) -> Result<u8, SelectError> {
    let by_number = text
        .parse::<usize>()
        .ok()
        .filter(|&label| label < names.len());
    let by_name = names
        .iter()
        .position(|name| name.eq_ignore_ascii_case(text));
    if let (Some(number), Some(named)) = (by_number, by_name)
        && number != named
    {
        refuse!(
            "{text} is the name of label {named}, and the number of label {number}, which is called {}; say which with the \
             other's number",
            names[number]
        );
    }
    if let Some(label) = by_number.or(by_name) {
        return Ok(label as u8);
    }
    let lower = text.to_lowercase();
    let near = |name: &&String| {
        let distance = strsim::damerau_levenshtein(&lower, name);
        distance <= 1 + name.len() / 4 || (lower.len() > 2 && name.contains(&lower))
    };
    let near: Vec<&str> = names.iter().filter(near).map(String::as_str).collect();
    let last = names.len().saturating_sub(1);
    match near.as_slice() {
        [] => refuse!(
            "no class is named {text}; they are 0 to {last}: {}",
            some_of(names, CLASSES)
        ),
        near => refuse!(
            "no class is named {text}; is it one of these? {}",
            near.join(", ")
        ),
    }
}

/// The samples whose names are most similar to `name`, best match first.
fn alike(name: &str, places: &[usize], samples: &[ListedSample]) -> Vec<usize> {
    let distance = |at: usize| {
        let sample = &samples[at];
        let to = |other: &str| strsim::damerau_levenshtein(name, other);
        to(&sample.name).min(to(&sample.full_name()))
    };
    let mut alike: Vec<(usize, usize)> = places.iter().map(|&at| (distance(at), at)).collect();
    alike.retain(|(distance, _)| *distance <= 1 + name.chars().count() / 4);
    alike.sort_unstable();
    alike.into_iter().take(ALIKE).map(|(_, at)| at).collect()
}

/// Lists the samples at these indices with their labels.
fn listed(places: &[usize], samples: &[ListedSample], names: &[String]) -> String {
    let words: Vec<String> = places
        .iter()
        .map(|&at| with_label(&samples[at], names))
        .collect();
    some_of(&words, LISTED)
}

/// A sample's full name and class name.
fn with_label(sample: &ListedSample, names: &[String]) -> String {
    match sample.label {
        Some(_) => format!("{} ({})", sample.full_name(), name_of(sample.label, names)),
        None => sample.full_name(),
    }
}

/// The name of a label.
pub fn name_of(label: Option<u8>, names: &[String]) -> String {
    match label {
        None => "no label".to_owned(),
        Some(label) => match names.get(usize::from(label)) {
            Some(name) => name.clone(),
            None => format!("label {label}"),
        },
    }
}

#[cfg(test)]
mod tests;
