//! Simulates what an event camera sees of a moving person: ON events along leading edges (skin and
//! sleeves are bright against a dark wall), OFF events along trailing edges, and noise.

use dvs_shared::event::DVS128;
use rand::Rng;
use rand_pcg::Pcg64;

use super::Light;
use super::gesture::{Person, Point, Pose, sine};
use super::random::between;

/// Duration of a step in microseconds. Within a step the scene is static and the event rate is
/// constant.
pub(super) const STEP_US: i64 = 1000;
/// Duration of a step in seconds.
const STEP: f64 = STEP_US as f64 / 1e6;

/// Pixels that fire spontaneously, and their share of the noise.
const HOT_PIXELS: usize = 4;
const HOT_SHARE: f64 = 0.2;
/// Two arms, two hands and the head.
const SHAPES: usize = 5;
/// Number of events with the wrong polarity among 256 events on an edge.
const FLIPS: u64 = 10;

/// How an illuminant affects the events.
struct Look {
    /// Share of the events that are not caused by motion.
    noise: f64,
    /// Half the width of an edge in pixels.
    blur: f32,
    /// Share of ON events among the events on edges.
    on_share: f32,
    /// Relative amplitude of the event rate's oscillation with the mains.
    flicker: f64,
    /// Factor on the event rate.
    rate: f64,
}

/// The camera of one recording.
pub(super) struct Camera {
    random: Pcg64,
    /// Events per second of the whole sensor that are not caused by motion.
    noise: f64,
    hot: [[u32; 2]; HOT_PIXELS],
    /// Events per square pixel that an edge sweeps.
    gain: f64,
    blur: f32,
    on_share: f32,
    flicker: f64,
    arm_radius: f32,
    hand_radius: f32,
    /// Fraction of an event carried over from earlier steps.
    carry: f64,
}

/// A moving edge, prepared for drawing many events from it.
#[derive(Clone, Copy)]
struct Edge {
    /// Square pixels per second that it sweeps.
    sweeps: f64,
    shape: Shape,
}

#[derive(Clone, Copy)]
enum Shape {
    /// The two sides of an arm.
    Sides {
        base: [f32; 2],
        /// Vector from the base to the hand.
        along: [f32; 2],
        normal: [f32; 2],
        /// Signed speeds of the base and of the hand along `normal`.
        speeds: [f32; 2],
        /// The hand's share of the sum of both speeds.
        hand_share: f32,
    },
    /// The rim of a hand or of the head.
    Rim {
        centre: [f32; 2],
        /// Unit vector of its motion.
        heading: [f32; 2],
        radius: f32,
    },
}

impl Camera {
    /// A camera under `light` that sees about `rate` events per second while the edges of `person`
    /// sweep `swept` square pixels per second.
    pub(super) fn new(
        light: Light,
        person: &Person,
        rate: f64,
        swept: f64,
        mut random: Pcg64,
    ) -> Self {
        let look = Look::of(light);
        let rate = rate * look.rate * person.contrast;
        let noise = rate * look.noise * between(&mut random, 0.7, 1.3);
        let hot = std::array::from_fn(|_| {
            [DVS128.width, DVS128.height].map(|n| between(&mut random, 0.0, f64::from(n)) as u32)
        });
        Self {
            noise,
            hot,
            gain: (rate - noise) / swept.max(f64::MIN_POSITIVE),
            blur: look.blur,
            on_share: look.on_share * between(&mut random, 0.95, 1.05) as f32,
            flicker: look.flicker,
            arm_radius: person.arm_radius as f32,
            hand_radius: person.hand_radius as f32,
            carry: 0.0,
            random,
        }
    }

    /// Draws the events of the step at `seconds`, in which the person moves from `before` to
    /// `after`. Calls `emit` for each event, in order of time, with the microseconds since the step
    /// began and with AEDAT's data word.
    pub(super) fn step(
        &mut self,
        seconds: f64,
        before: &Pose,
        after: &Pose,
        mut emit: impl FnMut(i64, u32),
    ) {
        let edges = edges(before, after, f64::from(self.hand_radius));
        let sweeps: f64 = edges.iter().map(|edge| edge.sweeps).sum();
        let total = self.noise + self.gain * sweeps;
        // Lamps pulse at twice the mains frequency, which is 60 Hz where the dataset was recorded.
        let pulse = 1.0 + self.flicker * sine(120.0 * seconds);
        let due = self.carry + total * pulse * STEP;
        let count = due as u32;
        self.carry = due - f64::from(count);

        // Each source has an interval of the 65,536 values of 16 bits: first each edge, then the
        // hot pixels; the rest is background noise.
        let unit = 65_536.0 / total;
        let mut upper = 0.0;
        let ends = edges.map(|edge| {
            upper += self.gain * edge.sweeps * unit;
            upper as u32
        });
        let hot_end = (upper + HOT_SHARE * self.noise * unit) as u32;

        // One time slot per event keeps the events in order without sorting.
        let slot = STEP_US as f32 / count as f32;
        for i in 0..count {
            let bits = self.random.next_u64();
            let us = ((i as f32 + fraction(bits)) * slot) as i64;
            let pick = (bits >> 16) as u32 & 0xffff;
            let seen = if let Some(k) = ends.iter().position(|&end| pick < end) {
                let more = self.random.next_u64();
                self.on_edge(&edges[k].shape, bits >> 32, more)
            } else if pick < hot_end {
                let [x, y] = self.hot[(bits >> 32) as usize % HOT_PIXELS];
                Some((x, y, bits >> 60 != 0))
            } else {
                let (x, y) = ((bits >> 32) as u32, (bits >> 40) as u32);
                Some((x % DVS128.width, y % DVS128.height, bits >> 63 == 1))
            };
            if let Some((x, y, on)) = seen {
                let word = 1 | u32::from(on) << 1 | y << 2 | x << 17;
                emit(us.min(STEP_US - 1), word);
            }
        }
    }

    /// An event of `shape` from 32 and 64 random bits; `None` if it is outside the sensor.
    fn on_edge(&self, shape: &Shape, bits: u64, more: u64) -> Option<(u32, u32, bool)> {
        let leading = fraction(more) < self.on_share;
        // The lowest bits hardly affect `fraction(more)`, so they are used again here.
        let flipped = more & 0xff < FLIPS;
        // The sum of two uniform numbers is densest in the middle of the edge.
        let soft = self.blur * (fraction(more >> 16) + fraction(more >> 32) - 1.0);
        let u = fraction(more >> 48);
        let (x, y) = match *shape {
            Shape::Sides {
                base,
                along,
                normal,
                speeds: [p, q],
                hand_share,
            } => {
                // The speed changes linearly along the arm, and with it the area swept per length.
                let w = fraction(bits);
                let nearer_hand = fraction(bits >> 16) < hand_share;
                let at = if nearer_hand { u.max(w) } else { u.min(w) };
                let to_normal = (p + at * (q - p) >= 0.0) == leading;
                let side = if to_normal {
                    self.arm_radius
                } else {
                    -self.arm_radius
                };
                (
                    base[0] + at * along[0] + (side + soft) * normal[0],
                    base[1] + at * along[1] + (side + soft) * normal[1],
                )
            }
            Shape::Rim {
                centre,
                heading,
                radius,
            } => {
                let across = 2.0 * u - 1.0;
                let ahead = (1.0 - across * across).max(0.0).sqrt();
                let ahead = if leading { ahead } else { -ahead };
                let r = radius + soft;
                (
                    centre[0] + r * (ahead * heading[0] - across * heading[1]),
                    centre[1] + r * (ahead * heading[1] + across * heading[0]),
                )
            }
        };
        let pixel = |v: f32, n: u32| (v >= 0.0 && v < n as f32).then_some(v as u32);
        Some((
            pixel(x, DVS128.width)?,
            pixel(y, DVS128.height)?,
            leading != flipped,
        ))
    }
}

impl Look {
    fn of(light: Light) -> Self {
        let [noise, blur, on_share, flicker, rate] = match light {
            Light::Fluorescent => [0.07, 1.6, 0.46, 0.25, 1.00],
            Light::FluorescentLed => [0.05, 1.3, 0.48, 0.12, 1.10],
            Light::Lab => [0.06, 1.4, 0.47, 0.15, 1.00],
            Light::Led => [0.10, 1.9, 0.44, 0.0, 0.85],
            Light::Natural => [0.04, 1.2, 0.50, 0.0, 1.05],
        };
        Self {
            noise,
            blur: blur as f32,
            on_share: on_share as f32,
            flicker,
            rate,
        }
    }
}

/// Square pixels per second that the edges of `person` sweep in a step from `before` to `after`.
pub(super) fn swept(before: &Pose, after: &Pose, person: &Person) -> f64 {
    let edges = edges(before, after, person.hand_radius);
    edges.iter().map(|edge| edge.sweeps).sum()
}

/// The edges of a person who moves from `before` to `after` in one step.
fn edges(before: &Pose, after: &Pose, hand_radius: f64) -> [Edge; SHAPES] {
    let [right, left] = [0, 1].map(|i| (&before.arms[i], &after.arms[i]));
    let sides = [right, left].map(|(a, b)| {
        let along = [b.hand[0] - b.base[0], b.hand[1] - b.base[1]];
        let length = norm(along);
        let normal = [-along[1] / length, along[0] / length];
        let speeds = [velocity(a.base, b.base), velocity(a.hand, b.hand)]
            .map(|v| v[0] * normal[0] + v[1] * normal[1]);
        let sum = speeds[0].abs() + speeds[1].abs();
        Edge {
            // Two sides, each at the mean of the two speeds.
            sweeps: length * sum,
            shape: Shape::Sides {
                base: single(b.base),
                along: single(along),
                normal: single(normal),
                speeds: single(speeds),
                hand_share: (speeds[1].abs() / sum.max(f64::MIN_POSITIVE)) as f32,
            },
        }
    });
    let rim = |a: Point, b: Point, radius: f64| {
        let v = velocity(a, b);
        let speed = norm(v);
        Edge {
            // Front and back, each as wide as the disc.
            sweeps: 4.0 * radius * speed,
            shape: Shape::Rim {
                centre: single(b),
                heading: single([v[0] / speed, v[1] / speed]),
                radius: radius as f32,
            },
        }
    };
    [
        sides[0],
        sides[1],
        rim(right.0.hand, right.1.hand, hand_radius),
        rim(left.0.hand, left.1.hand, hand_radius),
        rim(before.head, after.head, 1.8 * hand_radius),
    ]
}

fn velocity(a: Point, b: Point) -> Point {
    [(b[0] - a[0]) / STEP, (b[1] - a[1]) / STEP]
}

/// Length of `v`, with a lower bound so that it can be a divisor.
fn norm(v: Point) -> f64 {
    (v[0] * v[0] + v[1] * v[1]).sqrt().max(1e-9)
}

fn single(p: Point) -> [f32; 2] {
    p.map(|v| v as f32)
}

/// The lowest 16 bits of `bits` as a number in `[0, 1)`.
fn fraction(bits: u64) -> f32 {
    f32::from(bits as u16) / 65_536.0
}
