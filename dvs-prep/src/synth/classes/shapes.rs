//! Shapes made of strokes, and what an event camera sees of them while they move.

use rand_pcg::Pcg64;

use super::super::gesture::{Point, sine};
use super::super::random::{between, chance};

/// Ends of the strokes, in a square from -1 to 1 whose y points down.
pub(super) type Shape = &'static [[Point; 2]];

/// Corners of a digit on a display of seven strokes.
const A: Point = [-0.5, -0.9];
const B: Point = [0.5, -0.9];
const C: Point = [-0.5, 0.0];
const D: Point = [0.5, 0.0];
const E: Point = [-0.5, 0.9];
const F: Point = [0.5, 0.9];
/// Ends of the other shapes.
const TOP: Point = [0.0, -0.9];
const BOTTOM: Point = [0.0, 0.9];
const LEFT: Point = [-0.9, 0.0];
const RIGHT: Point = [0.9, 0.0];
const CENTRE: Point = [0.0, 0.0];

/// The shapes of the digits, by value.
pub(super) const DIGITS: [Shape; 10] = [
    &[[A, B], [B, F], [F, E], [E, A]],
    &[[B, F]],
    &[[A, B], [B, D], [D, C], [C, E], [E, F]],
    &[[A, B], [B, F], [C, D], [E, F]],
    &[[A, C], [C, D], [B, F]],
    &[[B, A], [A, C], [C, D], [D, F], [F, E]],
    &[[B, A], [A, E], [E, F], [F, D], [D, C]],
    &[[A, B], [B, F]],
    &[[A, B], [B, F], [F, E], [E, A], [C, D]],
    &[[D, C], [C, A], [A, B], [B, F], [F, E]],
];

/// The classes of CIFAR-10, each with a simple shape.
pub(super) const CIFAR10: [(&str, Shape); 10] = [
    ("airplane", &[[LEFT, RIGHT], [TOP, BOTTOM]]),
    ("automobile", &[[E, F], [C, D], [C, E], [D, F]]),
    ("bird", &[[A, CENTRE], [CENTRE, B]]),
    ("cat", &[[TOP, LEFT], [TOP, RIGHT], [LEFT, RIGHT]]),
    ("deer", &[[A, CENTRE], [CENTRE, B], [CENTRE, BOTTOM]]),
    ("dog", &[[LEFT, RIGHT], [LEFT, E], [RIGHT, F]]),
    (
        "frog",
        &[[TOP, LEFT], [LEFT, BOTTOM], [BOTTOM, RIGHT], [RIGHT, TOP]],
    ),
    ("horse", &[[A, E], [B, F], [C, D]]),
    ("ship", &[[LEFT, E], [E, F], [F, RIGHT], [RIGHT, LEFT]]),
    ("truck", &[[A, F], [B, E], [A, B], [E, F]]),
];

/// Share of events that nothing moving causes.
const NOISE: f64 = 0.05;
/// Events with the wrong polarity, of those on an edge.
const FLIPPED: f64 = 0.04;
/// Turns of the path in a sample.
const TURNS: f64 = 3.0;

/// An event of a sample.
pub(super) struct SeenEvent {
    /// Microseconds since the sample began.
    pub t: u32,
    pub x: u32,
    pub y: u32,
    pub on: bool,
}

/// A shape on its way before the camera.
pub(super) struct Drawing {
    random: Pcg64,
    shape: Shape,
    /// Pixels each way.
    pixels: u32,
    /// Microseconds.
    length: u32,
    centre: Point,
    /// Pixels of half the shape.
    size: f64,
    /// Columns by which the shape leans for each row.
    slant: f64,
    /// Half the width of a stroke in pixels.
    half_width: f64,
    /// Pixels of the path each way.
    reach: f64,
}

impl Drawing {
    /// A `shape` that is seen for `length` microseconds on a sensor of `pixels` pixels each way.
    pub(super) fn new(shape: Shape, pixels: u32, length: u32, mut random: Pcg64) -> Self {
        let side = f64::from(pixels);
        let mut about = |middle: f64, spread: f64| {
            between(&mut random, middle - spread, middle + spread) * side
        };
        let (centre, size) = ([about(0.5, 0.04), about(0.5, 0.04)], about(0.33, 0.04));
        let (half_width, reach) = (about(0.03, 0.006), about(0.06, 0.01));
        let slant = between(&mut random, -0.15, 0.15);
        Self {
            random,
            shape,
            pixels,
            length,
            centre,
            size,
            slant,
            half_width,
            reach,
        }
    }

    /// Calls `event` with about `rate` events per second, in order of time.
    pub(super) fn events(mut self, rate: f64, mut event: impl FnMut(SeenEvent)) {
        let number = (f64::from(self.length) * 1e-6 * rate) as u32;
        // One time slot per event keeps the events in order without sorting.
        let slot = f64::from(self.length) / f64::from(number.max(1));
        for i in 0..number {
            let at = f64::from(i) + between(&mut self.random, 0.0, 1.0);
            let t = ((at * slot) as u32).min(self.length - 1);
            let seen = match chance(&mut self.random, NOISE) {
                true => self.noise(),
                false => self.on_edge(f64::from(t) / f64::from(self.length) * TURNS),
            };
            let inside = |v: f64| (0.0..f64::from(self.pixels)).contains(&v);
            if let ([x, y], on) = seen
                && inside(x)
                && inside(y)
            {
                let (x, y) = (x as u32, y as u32);
                event(SeenEvent { t, x, y, on });
            }
        }
    }

    fn noise(&mut self) -> (Point, bool) {
        let side = f64::from(self.pixels);
        let place = [0; 2].map(|_| between(&mut self.random, 0.0, side));
        (place, chance(&mut self.random, 0.5))
    }

    /// An event on an edge of the shape after so many turns of its path: ON ahead of the motion, OFF
    /// behind it.
    fn on_edge(&mut self, turns: f64) -> (Point, bool) {
        let (cosine, sine) = (sine(turns + 0.25), sine(turns));
        let place = [self.reach * cosine, self.reach * sine];
        let heading = [-sine, cosine];
        let strokes = self.shape.len() as f64;
        let stroke = (between(&mut self.random, 0.0, strokes) as usize).min(self.shape.len() - 1);
        let [from, to] = self.shape[stroke];
        let along = between(&mut self.random, 0.0, 1.0);
        let is_ahead = chance(&mut self.random, 0.5);
        let across = if is_ahead {
            self.half_width
        } else {
            -self.half_width
        };
        let [x, y] = [0, 1].map(|i| from[i] + along * (to[i] - from[i]));
        let pixel = [
            self.centre[0] + self.size * (x - self.slant * y) + place[0] + across * heading[0],
            self.centre[1] + self.size * y + place[1] + across * heading[1],
        ];
        (pixel, is_ahead != chance(&mut self.random, FLIPPED))
    }
}
