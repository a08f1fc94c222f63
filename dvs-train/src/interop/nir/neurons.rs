//! The discrete neurons that NIR's differential equations are in steps of dt seconds; the equations
//! are in [`super`].

use anyhow::{Result, bail, ensure};

use super::fields::Node;
use super::stored::Precision;

/// Largest relative difference between numbers that should be equal: other programs compute them in
/// 32 bits.
const CLOSE: f64 = 1e-6;

/// The parameters of a node.
#[derive(Clone, Copy, Debug)]
pub struct Equation {
    r: (f64, Precision),
    /// Tau and the leak potential of LIF neurons.
    leak: Option<((f64, Precision), f64)>,
    v_threshold: f64,
    v_reset: (f64, Precision),
}

/// The neurons as this program computes them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Discrete {
    /// Tau in steps, and whether the input is divided by it too; `None` for IF neurons.
    pub leak: Option<(f64, bool)>,
    /// The threshold of the file.
    pub v_threshold: f64,
    pub v_reset: f64,
}

impl Equation {
    /// Reads the neurons of a layer of this shape.
    ///
    /// # Errors
    /// Returns an error if a parameter is missing, differs between neurons or is no number.
    pub fn read(node: &Node<'_>, shape: &[usize]) -> Result<Self> {
        let parameter = |name| node.parameter(name, shape);
        let known: &[&str] = match node.kind() {
            "IF" => &["r", "v_threshold", "v_reset"],
            _ => &["tau", "r", "v_leak", "v_threshold", "v_reset"],
        };
        node.check_fields(known)?;
        Ok(Self {
            r: parameter("r")?,
            leak: match node.kind() {
                "IF" => None,
                _ => Some((parameter("tau")?, parameter("v_leak")?.0)),
            },
            v_threshold: parameter("v_threshold")?.0,
            // The files of older versions of NIR do not have it.
            v_reset: match node.optional("v_reset")? {
                Some(_) => parameter("v_reset")?,
                None => (0.0, Precision::Double),
            },
        })
    }

    /// The duration of a step, if r says it: r is 1 / dt for IF neurons, and for LIF neurons tau /
    /// dt, or 1 if the input decays.
    pub fn dt(&self) -> Option<f64> {
        let dt = match self.leak {
            None => 1.0 / self.r.0,
            Some(_) if is_close(self.r.0, 1.0) => return None,
            Some((tau, _)) => tau.0 / self.r.0,
        };
        (dt.is_finite() && dt > 0.0).then_some(dt)
    }

    /// The neurons in steps of `dt` seconds.
    ///
    /// # Errors
    /// Returns an error if this program cannot compute them.
    pub fn discrete(&self, dt: f64) -> Result<Discrete> {
        let r = self.r.0;
        let leak = match self.leak {
            None => {
                ensure!(
                    is_close(r * dt, 1.0),
                    "r is {r}, where 1 / dt = {} is expected, with dt {dt:.6e} s; another factor would have to be in the weights",
                    1.0 / dt
                );
                None
            }
            Some((tau, v_leak)) => {
                ensure!(
                    v_leak == self.v_reset.0,
                    "v_leak is {v_leak} and v_reset {}; in this program the potential decays to v_reset",
                    self.v_reset.0
                );
                let steps = tau.0 / dt;
                ensure!(
                    steps > 1.0 + CLOSE && steps.is_finite(),
                    "tau is {} s, which is {steps} steps of {dt:.6e} s; tau has to be above one step",
                    tau.0
                );
                Some(if is_close(r, 1.0) {
                    (tidy((steps, tau.1)), true)
                } else if is_close(r, steps) {
                    (tidy(self.r), false)
                } else {
                    bail!(
                        "r is {r}, where 1 or tau / dt = {steps} is expected, with dt {dt:.6e} s; another factor would \
                         have to be in the weights"
                    )
                })
            }
        };
        Ok(Discrete {
            leak,
            v_threshold: self.v_threshold,
            v_reset: tidy(self.v_reset),
        })
    }
}

impl Discrete {
    /// The smallest 32-bit potential at which the neurons spike. NIR's spike above the threshold,
    /// and with `at_threshold` these spike at it too.
    pub fn threshold(&self, at_threshold: bool) -> f64 {
        let near = self.v_threshold as f32;
        let is_above = f64::from(near) > self.v_threshold;
        shortest(match at_threshold || is_above {
            true => near,
            false => near.next_up(),
        })
    }

    /// Checks that the neurons make max pooling of binary spikes out of a pooling that is 0 without
    /// spikes and `least` with one: they spike at once, and keep no potential.
    ///
    /// `least` may be no number of 32 bits, as 1/9 is none. Then the other program has rounded it, and
    /// a threshold that is close to it counts as equal.
    ///
    /// # Errors
    /// Returns an error with the threshold that would do.
    pub fn check_max_pooling(&self, least: f64, at_threshold: bool) -> Result<()> {
        let (threshold, one) = match self.leak {
            // The quotient may have been rounded.
            Some((tau, true)) => (self.v_threshold * (1.0 + CLOSE), least / tau),
            _ => (self.v_threshold, least),
        };
        let is_rounded = f64::from(least as f32) != least;
        let is_equal = one == threshold || one == least && is_rounded && is_close(threshold, one);
        let spikes = |potential: f64, is_equal: bool| match is_equal {
            true => at_threshold,
            false => potential > threshold,
        };
        ensure!(
            self.v_reset == 0.0,
            "v_reset is {}, where neurons that make max pooling have 0",
            self.v_reset
        );
        let advice = match !at_threshold && is_equal {
            true => {
                ", or --spike-at-threshold if its program's neurons spike at the threshold, as SpikingJelly's"
            }
            false => "",
        };
        ensure!(
            spikes(one, is_equal) && !spikes(0.0, threshold == 0.0),
            "v_threshold is {}; to make max pooling of the pooling before, it has to be between 0 and {one}, the potential \
             after one spike{advice}",
            self.v_threshold
        );
        Ok(())
    }
}

/// Whether two numbers are equal but for rounding.
pub fn is_close(one: f64, other: f64) -> bool {
    (one - other).abs() <= CLOSE * other.abs()
}

/// The number without the last digits, which computing dt and back has rounded.
fn tidy((value, precision): (f64, Precision)) -> f64 {
    match precision {
        Precision::Single => shortest(value as f32),
        Precision::Whole | Precision::Double => format!("{value:.14e}").parse().unwrap_or(value),
    }
}

/// The shortest decimal number that is rounded to this one.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Whether IF neurons with this threshold make max pooling of means over `kernel` x `kernel`.
    fn check(kernel: u8, v_threshold: f64, at_threshold: bool) -> Result<()> {
        let neurons = Discrete {
            leak: None,
            v_threshold,
            v_reset: 0.0,
        };
        let cells = f64::from(kernel * kernel);
        neurons.check_max_pooling(1.0 / cells, at_threshold)
    }

    #[test]
    fn a_rounded_share_counts_as_the_threshold() {
        for kernel in [2, 3, 4, 5, 6, 7] {
            let share = 1.0 / f64::from(kernel * kernel);
            let single = f64::from(share as f32);
            for threshold in [share, single] {
                check(kernel, threshold, true).unwrap();
                let error = check(kernel, threshold, false).unwrap_err().to_string();
                assert!(error.contains("or --spike-at-threshold if"), "{error}");
            }
            for at_threshold in [false, true] {
                check(kernel, 0.99 * share, at_threshold).unwrap();
                let error = check(kernel, 1.01 * share, at_threshold).unwrap_err();
                assert!(!error.to_string().contains("--spike-at-threshold"));
            }
        }
    }

    #[test]
    fn a_share_of_32_bits_is_compared_exactly() {
        let below = f64::from(0.25_f32.next_down());
        check(2, below, false).unwrap();
        let above = f64::from(0.25_f32.next_up());
        assert!(check(2, above, true).is_err());
        assert!(check(3, 0.0, true).is_err());
    }
}
