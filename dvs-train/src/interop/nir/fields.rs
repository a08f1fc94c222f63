//! Reads the fields of a node, and collects what is wrong with nodes.

use std::ops::RangeInclusive;

use anyhow::{Context, Result, bail, ensure};
use dvs_shared::words::printable;

use super::stored::{Field, Numbers, Precision, StoredLayer};

/// Maximum number of problems that an error lists; the others are counted.
const SHOWN: usize = 12;
/// Maximum characters of a name in a message.
const NAME: usize = 60;

/// A node of the chain.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    name: String,
    layer: &'a StoredLayer,
}

/// What is wrong with the nodes of a graph, one text for each fault.
#[derive(Debug, Default)]
pub struct Problems(Vec<String>);

impl Problems {
    pub fn add(&mut self, problem: String) {
        self.0.push(printable(&problem, 800));
    }

    /// The value, unless it is a problem of `node`.
    pub fn of<T>(&mut self, node: &Node<'_>, result: Result<T>) -> Option<T> {
        result
            .map_err(|error| self.add(format!("{}: {error:#}", node.shown())))
            .ok()
    }

    /// # Errors
    /// Returns an error with all problems, if there are any.
    pub fn finish(self) -> Result<()> {
        let count = self.0.len();
        if count == 0 {
            return Ok(());
        }
        let shown: Vec<String> = self.0.into_iter().take(SHOWN).collect();
        let more = match count.saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        bail!("{}{more}", shown.join("; "))
    }
}

impl<'a> Node<'a> {
    pub fn new(name: String, layer: &'a StoredLayer) -> Self {
        Self { name, layer }
    }

    pub fn kind(&self) -> &'a str {
        &self.layer.kind
    }

    /// The name, for the list of rounded weights.
    pub fn name(&self) -> String {
        printable(&self.name, NAME)
    }

    /// The name and the type, for a message.
    pub fn shown(&self) -> String {
        format!("node '{}' ({})", self.name(), printable(self.kind(), NAME))
    }

    /// The fields that have one value, for a message.
    pub fn values(&self) -> String {
        let fields = self.layer.fields.iter().filter_map(|(name, field)| {
            let Field::Numbers(numbers) = field else {
                return None;
            };
            Some(format!("{name}={}", numbers.same().ok()?))
        });
        fields.take(8).collect::<Vec<_>>().join(", ")
    }

    /// # Errors
    /// Returns an error if the node has a field that is not among `known`: it could mean anything.
    pub fn check_fields(&self, known: &[&str]) -> Result<()> {
        let unknown = self.layer.fields.keys();
        let unknown: Vec<&str> = unknown
            .map(String::as_str)
            .filter(|name| !known.contains(name))
            .collect();
        ensure!(
            unknown.is_empty(),
            "its field {} is unknown; known are {}",
            unknown.join(", "),
            known.join(", ")
        );
        Ok(())
    }

    /// The field of this name, if the node has it.
    ///
    /// # Errors
    /// Returns an error if it is text.
    pub fn optional(&self, name: &str) -> Result<Option<&'a Numbers>> {
        match self.layer.fields.get(name) {
            None => Ok(None),
            Some(Field::Numbers(numbers)) => Ok(Some(numbers)),
            Some(Field::Text(text)) => bail!("{name} is {text:?}, not a number"),
        }
    }

    /// # Errors
    /// Returns an error if the node has no such field, or if it is text.
    pub fn numbers(&self, name: &str) -> Result<&'a Numbers> {
        self.optional(name)?
            .with_context(|| format!("{name} is missing"))
    }

    /// Whether the field is this text.
    pub fn is_text(&self, name: &str, text: &str) -> bool {
        self.layer.fields.get(name) == Some(&Field::Text(text.to_owned()))
    }

    /// A list of whole numbers that are not negative, such as a shape.
    ///
    /// # Errors
    /// Returns an error if the field is another one.
    pub fn list(&self, name: &str) -> Result<Vec<usize>> {
        let numbers = self.numbers(name)?;
        ensure!(
            numbers.shape().len() == 1 && numbers.count() <= 16,
            "{name} has the shape {:?} where a short list is expected",
            numbers.shape()
        );
        let values = numbers.values();
        values
            .map(|value| {
                ensure!(
                    value.fract() == 0.0 && (0.0..=1e9).contains(&value),
                    "{name} has the number {value}, which is no size"
                );
                Ok(value as usize)
            })
            .collect()
    }

    /// Checks that a field is `expected`, once or for both directions.
    ///
    /// # Errors
    /// Returns an error with what it is instead.
    pub fn check(&self, name: &str, expected: &[f64]) -> Result<()> {
        let numbers = self.numbers(name)?;
        let few = numbers.count() <= 2 && numbers.count() > 0;
        if few && numbers.values().all(|value| expected.contains(&value)) {
            return Ok(());
        }
        let found: Vec<f64> = numbers.values().take(4).collect();
        let expected = expected.iter().map(f64::to_string).collect::<Vec<_>>();
        bail!(
            "{name} is {found:?} where {} is expected",
            expected.join(" or ")
        )
    }

    /// A whole number within `limits`, once or for both directions.
    ///
    /// # Errors
    /// Returns an error with what it is instead.
    pub fn side(&self, name: &str, limits: RangeInclusive<usize>) -> Result<usize> {
        let numbers = self.numbers(name)?;
        let few = numbers.count() <= 2;
        let side = numbers
            .same()
            .ok()
            .filter(|side| few && side.fract() == 0.0);
        let (least, most) = (*limits.start(), *limits.end());
        match side {
            Some(side) if (least as f64..=most as f64).contains(&side) => Ok(side as usize),
            _ => {
                let found: Vec<f64> = numbers.values().take(4).collect();
                bail!(
                    "{name} is {found:?} where a number from {least} to {most} is expected, the same in both directions"
                )
            }
        }
    }

    /// The weights in a field of this shape, and whether they had to be rounded to 32 bits.
    ///
    /// # Errors
    /// Returns an error if the field has another shape, or if one of its values is no number.
    pub fn weights(&self, name: &str, shape: &[usize]) -> Result<(Vec<f32>, bool)> {
        let numbers = self.numbers(name)?;
        ensure!(
            numbers.shape() == shape,
            "{name} has the shape {:?} where {shape:?} is expected",
            numbers.shape()
        );
        let weights: Vec<f32> = numbers.values().map(|value| value as f32).collect();
        if let Some(at) = weights.iter().position(|value| !value.is_finite()) {
            let value = numbers.values().nth(at).unwrap_or(f64::NAN);
            bail!("{name} has the value {value} at place {at}, which is no weight");
        }
        let exact = numbers
            .values()
            .zip(&weights)
            .all(|(value, weight)| value == f64::from(*weight));
        Ok((weights, !exact))
    }

    /// A parameter that all neurons of a layer of this shape share, and how it is stored.
    ///
    /// # Errors
    /// Returns an error if it differs between the neurons, is for another number of neurons, or is
    /// no number.
    pub fn parameter(&self, name: &str, shape: &[usize]) -> Result<(f64, Precision)> {
        let numbers = self.numbers(name)?;
        let found = numbers.shape();
        ensure!(
            found.is_empty() || found == [1] || found == shape,
            "{name} has the shape {found:?} where {shape:?}, or one number, is expected"
        );
        match numbers.same() {
            Ok(value) if value.is_finite() => Ok((value, numbers.precision())),
            Ok(value) => bail!("{name} is {value}, which is no number"),
            Err([one, other]) => bail!(
                "{name} is {one} for some neurons and {other} for others; in this program the neurons of a layer share it"
            ),
        }
    }
}
