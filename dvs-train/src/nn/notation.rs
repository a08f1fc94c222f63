//! The literature's notation of networks, such as
//! `{c128k3s1-BN-LIF-MPk2s2}*5-DP-FC512-LIF-DP-FC110-LIF-APk10s10`.
//!
//! ```text
//! c128k3s1   convolution with 128 channels, kernel 3 x 3, stride 1; padding (k - 1) / 2, or p as in c128k3s1p0
//! BN         batch norm
//! LIF        neurons: LIF, PLIF or IF
//! MPk2s2     max pooling with kernel 2 x 2 and stride 2
//! APk2s2     average pooling; after the last neurons, voting by groups of k outputs
//! DP         dropout with probability 0.5, or another as in DP0.2
//! FC512      linear layer with 512 outputs
//! {A-B}*5    A-B-A-B-A-B-A-B-A-B; braces nest
//! ```
//!
//! Source: Fang et al., [Incorporating Learnable Membrane Time Constant to Enhance Learning of
//! Spiking Neural Networks](https://arxiv.org/abs/2007.05785) (2021), and SpikingJelly's tutorial on
//! DVS128 Gesture.

use std::fmt;
use std::ops::{Range, RangeInclusive};

use serde::{Deserialize, Serialize};

/// Most layers of a network, batch norm, neurons and pooling included.
const MAX_LAYERS: usize = 1024;
/// Most braces around a layer.
const MAX_DEPTH: usize = 8;
/// Probability of a dropout without a number.
const DROPOUT: f64 = 0.5;
/// Largest kernel and stride.
pub const MAX_KERNEL: usize = 7;
/// Most channels or outputs of a layer.
const MAX_OUTPUTS: usize = 1 << 16;

/// A layer as it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WrittenLayer {
    Convolution {
        channels: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    },
    BatchNorm,
    Neurons(NeuronName),
    Pool(Pool),
    /// Dropout with this probability.
    Dropout(f64),
    /// A linear layer with this number of outputs.
    Linear(usize),
}

/// Neuron models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NeuronName {
    /// Leaky integrate-and-fire
    Lif,
    /// Parametric LIF: each layer learns its time constant
    Plif,
    /// Integrate-and-fire, without leak
    If,
}

impl fmt::Display for NeuronName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lif => "lif",
            Self::Plif => "plif",
            Self::If => "if",
        })
    }
}

/// Pooling over square windows, without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    pub kind: PoolKind,
    /// Height and width of a window.
    pub kernel: usize,
    /// Distance between windows.
    pub stride: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    Max,
    Average,
}

/// A layer and the bytes of the text that it was read from.
pub type Placed = (WrittenLayer, Range<usize>);

/// A place in a notation that does not make sense, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotationError {
    text: String,
    at: Range<usize>,
    why: String,
}

impl NotationError {
    /// Points at the bytes `at` of `text`.
    pub fn new(text: &str, at: Range<usize>, why: impl Into<String>) -> Self {
        Self {
            text: text.to_owned(),
            at,
            why: why.into(),
        }
    }

    /// What does not make sense, without the place.
    pub fn why(&self) -> &str {
        &self.why
    }
}

impl std::error::Error for NotationError {}

impl fmt::Display for NotationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, at, why } = self;
        let before = text.get(..at.start).map_or(0, |text| text.chars().count());
        let marked = text.get(at.clone()).map_or(0, |text| text.chars().count());
        writeln!(f, "the network's notation, character {}: {why}", before + 1)?;
        writeln!(f, "  {text}")?;
        write!(f, "  {}{}", " ".repeat(before), "^".repeat(marked.max(1)))
    }
}

/// Reads the layers of a notation, with all repetitions written out.
///
/// # Errors
/// Returns an error that points at the first place that does not make sense.
pub fn parse(text: &str) -> Result<Vec<Placed>, NotationError> {
    let mut reader = Reader { text, at: 0 };
    let layers = reader.sequence(0)?;
    match reader.rest().chars().next() {
        None => Ok(layers),
        Some('}') => Err(reader.error("there is no { that this } closes")),
        Some(_) => Err(reader.error("a - is expected between two layers")),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// An error at the next character.
    fn error(&self, why: impl Into<String>) -> NotationError {
        let length = self.rest().chars().next().map_or(0, char::len_utf8);
        NotationError::new(self.text, self.at..self.at + length, why)
    }

    fn take(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        if found {
            self.at += prefix.len();
        }
        found
    }

    /// Reads layers and groups with a - between them.
    fn sequence(&mut self, depth: usize) -> Result<Vec<Placed>, NotationError> {
        let mut layers = Vec::new();
        loop {
            let start = self.at;
            let more = match self.take("{") {
                true => self.group(start, depth)?,
                false => vec![self.layer()?],
            };
            layers.extend(more);
            if layers.len() > MAX_LAYERS {
                let why = format!("the network has more than {MAX_LAYERS} layers");
                return Err(NotationError::new(self.text, start..self.at, why));
            }
            if !self.take("-") {
                return Ok(layers);
            }
        }
    }

    /// Reads the rest of a group, from behind its brace at `start`.
    fn group(&mut self, start: usize, depth: usize) -> Result<Vec<Placed>, NotationError> {
        let brace = start..start + 1;
        if depth == MAX_DEPTH {
            let why = format!("more than {MAX_DEPTH} braces are nested");
            return Err(NotationError::new(self.text, brace, why));
        }
        let layers = self.sequence(depth + 1)?;
        if !self.take("}") {
            return Err(match self.rest() {
                "" => NotationError::new(self.text, brace, "no } closes this brace"),
                _ => self.error("a - or a } is expected here"),
            });
        }
        if !self.take("*") {
            return Ok(layers);
        }
        let number = self.at;
        let times = self.number("the number of repetitions", 1..=MAX_LAYERS)?;
        if times * layers.len() > MAX_LAYERS {
            let why = format!("the network has more than {MAX_LAYERS} layers");
            return Err(NotationError::new(self.text, number..self.at, why));
        }
        Ok(std::iter::repeat_n(layers, times).flatten().collect())
    }

    fn layer(&mut self) -> Result<Placed, NotationError> {
        let start = self.at;
        let layer = if self.take("c") {
            self.convolution()?
        } else if self.take("BN") {
            WrittenLayer::BatchNorm
        } else if self.take("PLIF") {
            WrittenLayer::Neurons(NeuronName::Plif)
        } else if self.take("LIF") {
            WrittenLayer::Neurons(NeuronName::Lif)
        } else if self.take("IF") {
            WrittenLayer::Neurons(NeuronName::If)
        } else if self.take("MP") {
            WrittenLayer::Pool(self.pool(PoolKind::Max)?)
        } else if self.take("AP") {
            WrittenLayer::Pool(self.pool(PoolKind::Average)?)
        } else if self.take("DP") {
            WrittenLayer::Dropout(self.probability()?)
        } else if self.take("FC") {
            WrittenLayer::Linear(self.number("the number of outputs", 1..=MAX_OUTPUTS)?)
        } else {
            return Err(self.error(
                "a layer is expected here: c128k3s1 (convolution), BN, LIF, PLIF, IF, MPk2s2 or APk2s2 (pooling), DP \
                 (dropout), FC512 (linear), or a { before several",
            ));
        };
        Ok((layer, start..self.at))
    }

    fn convolution(&mut self) -> Result<WrittenLayer, NotationError> {
        let channels = self.number("the number of channels", 1..=MAX_OUTPUTS)?;
        let (kernel, stride) = self.kernel_and_stride()?;
        let padding = match self.take("p") {
            true => self.number("the padding", 0..=kernel - 1)?,
            false => (kernel - 1) / 2,
        };
        Ok(WrittenLayer::Convolution {
            channels,
            kernel,
            stride,
            padding,
        })
    }

    fn pool(&mut self, kind: PoolKind) -> Result<Pool, NotationError> {
        if !self.take("k") {
            return Err(self.error("k and the size of a window are expected here, as in MPk2s2"));
        }
        // Voting has more outputs in a group than a window has rows; what follows tells them apart.
        let kernel = self.number("the size of a window", 1..=MAX_OUTPUTS)?;
        if !self.take("s") {
            return Err(self.error("s and the stride are expected here, as in MPk2s2"));
        }
        let stride = self.number("the stride", 1..=MAX_OUTPUTS)?;
        Ok(Pool {
            kind,
            kernel,
            stride,
        })
    }

    fn kernel_and_stride(&mut self) -> Result<(usize, usize), NotationError> {
        if !self.take("k") {
            return Err(
                self.error("k and the size of the kernel are expected here, as in c128k3s1")
            );
        }
        let kernel = self.number("the size of the kernel", 1..=MAX_KERNEL)?;
        if !self.take("s") {
            return Err(self.error("s and the stride are expected here, as in c128k3s1"));
        }
        Ok((kernel, self.number("the stride", 1..=MAX_KERNEL)?))
    }

    fn number(
        &mut self,
        what: &str,
        limits: RangeInclusive<usize>,
    ) -> Result<usize, NotationError> {
        let start = self.at;
        let digits = self.rest().find(|c: char| !c.is_ascii_digit());
        self.at += digits.unwrap_or(self.rest().len());
        let Some(digits) = self
            .text
            .get(start..self.at)
            .filter(|digits| !digits.is_empty())
        else {
            return Err(self.error(format!("{what} is expected here")));
        };
        let number = digits.parse().ok().filter(|number| limits.contains(number));
        number.ok_or_else(|| {
            let why = format!(
                "{what} is {digits}, which is not within {} and {}",
                limits.start(),
                limits.end()
            );
            NotationError::new(self.text, start..self.at, why)
        })
    }

    /// Reads the probability behind `DP`, if there is one.
    fn probability(&mut self) -> Result<f64, NotationError> {
        let start = self.at;
        let end = self
            .rest()
            .find(|c: char| !(c.is_ascii_digit() || c == '.'));
        self.at += end.unwrap_or(self.rest().len());
        let Some(text) = self
            .text
            .get(start..self.at)
            .filter(|text| !text.is_empty())
        else {
            return Ok(DROPOUT);
        };
        let number = text.parse().ok().filter(|p| (0.0..1.0).contains(p));
        number.ok_or_else(|| {
            let why = format!(
                "the probability of dropout is {text}, which is not within 0 and 1 (exclusive)"
            );
            NotationError::new(self.text, start..self.at, why)
        })
    }
}

impl fmt::Display for WrittenLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Convolution {
                channels,
                kernel,
                stride,
                padding,
            } => {
                write!(f, "c{channels}k{kernel}s{stride}")?;
                match padding == (kernel - 1) / 2 {
                    true => Ok(()),
                    false => write!(f, "p{padding}"),
                }
            }
            Self::BatchNorm => f.write_str("BN"),
            Self::Neurons(NeuronName::Lif) => f.write_str("LIF"),
            Self::Neurons(NeuronName::Plif) => f.write_str("PLIF"),
            Self::Neurons(NeuronName::If) => f.write_str("IF"),
            Self::Pool(pool) => write!(f, "{pool}"),
            Self::Dropout(DROPOUT) => f.write_str("DP"),
            Self::Dropout(probability) => write!(f, "DP{probability}"),
            Self::Linear(outputs) => write!(f, "FC{outputs}"),
        }
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            kernel,
            stride,
        } = self;
        let kind = match kind {
            PoolKind::Max => "MP",
            PoolKind::Average => "AP",
        };
        write!(f, "{kind}k{kernel}s{stride}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The layers of `text`, written out.
    fn layers(text: &str) -> String {
        let layers = parse(text).unwrap();
        let layers: Vec<String> = layers.iter().map(|(layer, _)| layer.to_string()).collect();
        layers.join("-")
    }

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn writes_repetitions_out() {
        assert_eq!(
            layers("{{c4k3s1-BN-PLIF}*2-MPk2s2}*2-DP0.25-FC20-IF-APk10s10"),
            "c4k3s1-BN-PLIF-c4k3s1-BN-PLIF-MPk2s2-c4k3s1-BN-PLIF-c4k3s1-BN-PLIF-MPk2s2-DP0.25-FC20-IF-APk10s10"
        );
        assert_eq!(layers("{DP}"), "DP");
        assert_eq!(layers("c1k5s2p0-c1k4s1-DP0.5"), "c1k5s2p0-c1k4s1-DP");
    }

    #[test]
    fn errors_point_at_the_place() {
        let text = error("{c4k3s1-BN-XY}*2");
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].starts_with("the network's notation, character 12: a layer is expected here"),
            "{text}"
        );
        assert_eq!(lines[1..], ["  {c4k3s1-BN-XY}*2", "             ^"]);
        for (text, expected) in [
            ("", "character 1: a layer is expected here"),
            ("BN-", "character 4: a layer is expected here"),
            ("BN,LIF", "character 3: a - is expected between two layers"),
            ("BN}", "character 3: there is no { that this } closes"),
            ("BN-{LIF", "character 4: no } closes this brace"),
            ("{BN LIF}", "character 4: a - or a } is expected here"),
            (
                "{BN}*",
                "character 6: the number of repetitions is expected here",
            ),
            ("{BN}*0", "character 6: the number of repetitions is 0"),
            (
                "{{BN}*1000}*1000",
                "character 13: the network has more than 1024 layers",
            ),
            (
                "{{{{{{{{{BN}}}}}}}}}",
                "character 9: more than 8 braces are nested",
            ),
            (
                "c4",
                "character 3: k and the size of the kernel are expected here",
            ),
            (
                "c4k8s1",
                "character 4: the size of the kernel is 8, which is not within 1 and 7",
            ),
            (
                "c4k3s99999999999999999999",
                "character 6: the stride is 99999999999999999999",
            ),
            (
                "c4k3s1p3",
                "character 8: the padding is 3, which is not within 0 and 2",
            ),
            (
                "MP2",
                "character 3: k and the size of a window are expected here",
            ),
            ("DP1.0", "character 3: the probability of dropout is 1.0"),
            (
                "DP0.1.2",
                "character 3: the probability of dropout is 0.1.2",
            ),
            ("FC", "character 3: the number of outputs is expected here"),
            ("FCé", "character 3: the number of outputs is expected here"),
            ("BN-é", "character 4: a layer is expected here"),
        ] {
            let found = error(text);
            assert!(found.contains(expected), "{text:?}: {found}");
        }
    }
}
