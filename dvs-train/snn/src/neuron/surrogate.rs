//! Surrogate gradients, which replace the derivative of a spike with respect to the potential. That
//! derivative is zero or infinite.
//!
//! Names and formulas are SpikingJelly's, with u = h - threshold:
//!
//! ```text
//! atan                 alpha / 2 / (1 + (pi / 2 alpha u)^2)
//! sigmoid              alpha s (1 - s),  s = 1 / (1 + exp(-alpha u))
//! piecewise-quadratic  max(0, alpha - alpha^2 |u|)
//! piecewise-exp        alpha / 2 exp(-alpha |u|)
//! soft-sign            1 / (2 alpha (1 / alpha + |u|)^2)
//! super-spike          alpha / (1 + |u|)^2
//! erf                  alpha / sqrt(pi) exp(-(alpha u)^2)
//! rect                 alpha if |u| < 1 / (2 alpha), else 0
//! ```

use std::f64::consts::{FRAC_PI_2, PI};
use std::fmt;

use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use burn::tensor::backend::Backend;
use serde::{Deserialize, Serialize};

use crate::backend::cpu::{exp, map};

/// A surrogate gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Surrogate {
    /// Form of the curve.
    pub shape: SurrogateShape,
    /// Steepness.
    pub alpha: f64,
}

/// Forms of surrogate gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SurrogateShape {
    /// The derivative of an arc tangent.
    #[serde(rename = "atan")]
    ATan,
    /// The derivative of a logistic function.
    Sigmoid,
    /// A triangle.
    PiecewiseQuadratic,
    /// Falls exponentially on both sides of the threshold.
    PiecewiseExp,
    /// The derivative of a soft sign.
    SoftSign,
    /// The surrogate gradient of SuperSpike (Zenke and Ganguli, 2018).
    SuperSpike,
    /// A Gaussian curve.
    Erf,
    /// A rectangle.
    Rect,
}

impl SurrogateShape {
    /// All forms.
    pub const ALL: [Self; 8] = [
        Self::ATan,
        Self::Sigmoid,
        Self::PiecewiseQuadratic,
        Self::PiecewiseExp,
        Self::SoftSign,
        Self::SuperSpike,
        Self::Erf,
        Self::Rect,
    ];

    /// Returns the name used in configuration files.
    pub fn name(self) -> &'static str {
        match self {
            Self::ATan => "atan",
            Self::Sigmoid => "sigmoid",
            Self::PiecewiseQuadratic => "piecewise-quadratic",
            Self::PiecewiseExp => "piecewise-exp",
            Self::SoftSign => "soft-sign",
            Self::SuperSpike => "super-spike",
            Self::Erf => "erf",
            Self::Rect => "rect",
        }
    }

    /// Returns SpikingJelly's default alpha.
    pub fn default_alpha(self) -> f64 {
        match self {
            Self::Sigmoid => 4.0,
            Self::ATan | Self::SoftSign | Self::Erf => 2.0,
            Self::PiecewiseQuadratic | Self::PiecewiseExp | Self::SuperSpike | Self::Rect => 1.0,
        }
    }
}

impl fmt::Display for SurrogateShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Surrogate {
    /// The derivative of an arc tangent with alpha 2, SpikingJelly's default.
    pub const ATAN: Self = Self {
        shape: SurrogateShape::ATan,
        alpha: 2.0,
    };

    /// Returns the surrogate gradient at `u`, the potential minus the threshold.
    pub fn slope<B: Backend>(&self, u: Tensor<B, 2>) -> Tensor<B, 2> {
        let a = self.alpha;
        match self.shape {
            SurrogateShape::ATan => {
                let z = u.mul_scalar(FRAC_PI_2 * a);
                (z.clone() * z).add_scalar(1.0).recip().mul_scalar(a / 2.0)
            }
            SurrogateShape::Sigmoid => {
                let s = sigmoid(u.mul_scalar(a));
                (s.clone().neg().add_scalar(1.0) * s).mul_scalar(a)
            }
            SurrogateShape::PiecewiseQuadratic => {
                u.abs().mul_scalar(-a * a).add_scalar(a).clamp_min(0.0)
            }
            SurrogateShape::PiecewiseExp => u.abs().mul_scalar(-a).exp().mul_scalar(a / 2.0),
            SurrogateShape::SoftSign => {
                let z = u.abs().add_scalar(1.0 / a);
                (z.clone() * z).mul_scalar(2.0 * a).recip()
            }
            SurrogateShape::SuperSpike => {
                let z = u.abs().add_scalar(1.0);
                (z.clone() * z).recip().mul_scalar(a)
            }
            SurrogateShape::Erf => {
                let z = u.mul_scalar(a);
                (z.clone() * z).neg().exp().mul_scalar(a / PI.sqrt())
            }
            SurrogateShape::Rect => u.abs().lower_elem(0.5 / a).float().mul_scalar(a),
        }
    }

    /// Writes the surrogate gradient at potentials `h` to `slope`, for kernels.
    #[inline(always)]
    pub fn slope_at(&self, h: &[f32], threshold: f32, slope: &mut [f32]) {
        let a = self.alpha as f32;
        match self.shape {
            SurrogateShape::ATan => {
                let (steepness, height) = ((FRAC_PI_2 * self.alpha) as f32, a / 2.0);
                map(slope, h, |h| {
                    let z = (h - threshold) * steepness;
                    height / (1.0 + z * z)
                });
            }
            SurrogateShape::Sigmoid => map(slope, h, |h| {
                let s = 1.0 / (1.0 + exp(-a * (h - threshold)));
                (1.0 - s) * s * a
            }),
            SurrogateShape::PiecewiseQuadratic => {
                map(slope, h, |h| (a - a * a * (h - threshold).abs()).max(0.0))
            }
            SurrogateShape::PiecewiseExp => {
                map(slope, h, |h| a / 2.0 * exp(-a * (h - threshold).abs()))
            }
            SurrogateShape::SoftSign => map(slope, h, |h| {
                let z = 1.0 / a + (h - threshold).abs();
                1.0 / (2.0 * a * z * z)
            }),
            SurrogateShape::SuperSpike => map(slope, h, |h| {
                let z = 1.0 + (h - threshold).abs();
                a / (z * z)
            }),
            SurrogateShape::Erf => {
                let height = (self.alpha / PI.sqrt()) as f32;
                map(slope, h, |h| {
                    let z = a * (h - threshold);
                    height * exp(-z * z)
                });
            }
            SurrogateShape::Rect => {
                let width = 0.5 / a;
                map(slope, h, |h| {
                    if (h - threshold).abs() < width {
                        a
                    } else {
                        0.0
                    }
                });
            }
        }
    }
}
