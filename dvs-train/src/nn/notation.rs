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
/// Longest notation, in bytes.
const MAX_TEXT: usize = 4096;
/// Characters of a notation that an error shows on each side of the place.
const SHOWN: usize = 60;
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
        let shown = |range: Range<usize>| -> Vec<char> {
            let part = text.get(range).unwrap_or_default().chars();
            // A terminal would obey control characters.
            part.map(|c| if c.is_control() { '\u{fffd}' } else { c })
                .collect()
        };
        let before = shown(0..at.start);
        let (marked, after) = (shown(at.clone()), shown(at.end..text.len()));
        writeln!(
            f,
            "the network's notation, character {}: {why}",
            before.len() + 1
        )?;
        let left_out = before.len().saturating_sub(SHOWN);
        let start = if left_out > 0 { "..." } else { "" };
        let end = if after.len() > SHOWN { "..." } else { "" };
        let marked = &marked[..marked.len().min(SHOWN)];
        let line = before[left_out..].iter().chain(marked);
        let line: String = line.chain(after.iter().take(SHOWN)).collect();
        writeln!(f, "  {start}{line}{end}")?;
        let indent = start.len() + before.len() - left_out;
        write!(
            f,
            "  {}{}",
            " ".repeat(indent),
            "^".repeat(marked.len().max(1))
        )
    }
}

/// Reads the layers of a notation, with all repetitions written out.
///
/// # Errors
/// Returns an error that points at the first place that does not make sense.
pub fn parse(text: &str) -> Result<Vec<Placed>, NotationError> {
    if text.len() > MAX_TEXT {
        let why = format!("it has {} bytes, and {MAX_TEXT} are the most", text.len());
        return Err(NotationError::new(text, 0..0, why));
    }
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
        // This is the limit of voting. Who knows whether this is pooling or voting checks the smaller
        // limit of pooling.
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
mod tests;
