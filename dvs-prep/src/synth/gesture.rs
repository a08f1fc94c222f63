//! Computes where a person's arms are at every moment of each of the eleven gestures.
//!
//! Positions are in pixels of a person of scale 1 at the origin who faces the camera: x grows to
//! the right of the image and y downwards, so the person's right hand is at negative x.

use rand_pcg::Pcg64;

use super::random::{between, chance};

/// x and y in pixels.
pub(super) type Point = [f64; 2];

/// Side of the image with the person's right or left arm.
const RIGHT: f64 = -1.0;
const LEFT: f64 = 1.0;

/// An arm or a forearm: `base` is the shoulder or the elbow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arm {
    pub base: Point,
    pub hand: Point,
}

/// All moving parts of a person that the camera sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pose {
    /// The person's right arm and left arm.
    pub arms: [Arm; 2],
    pub head: Point,
}

/// Body and habits of a user, the same in all recordings of the user.
#[derive(Clone, Debug)]
pub(super) struct Person {
    /// Position in pixels of the sensor.
    place: Point,
    scale: f64,
    /// Factor on every frequency.
    tempo: f64,
    /// Factor on the size of every movement.
    reach: f64,
    sway_phase: f64,
    /// Half the width of an arm in pixels.
    pub arm_radius: f64,
    /// Radius of a hand in pixels.
    pub hand_radius: f64,
    /// Factor on the number of events, because clothes and skin differ in contrast.
    pub contrast: f64,
}

/// One performance of a gesture.
#[derive(Clone, Debug)]
pub(super) struct Motion {
    class: u8,
    tempo: f64,
    /// Circles of an arm per second. Their number in the performance is whole, so that both
    /// directions pass every place equally often and differ only in the order.
    circling: f64,
    reach: f64,
    /// Phase of the cycle in turns when the performance begins.
    phase: f64,
    shift: Point,
    wander: [Option<Wander>; 2],
}

/// A smooth random walk around a point: three sines per axis, each (pixels, hertz, turns).
#[derive(Clone, Debug)]
struct Wander {
    around: Point,
    waves: [[[f64; 3]; 3]; 2],
}

impl Person {
    pub(super) fn new(random: &mut Pcg64) -> Self {
        let scale = between(random, 0.85, 1.1);
        Self {
            place: [between(random, 59.0, 69.0), between(random, 59.0, 68.0)],
            scale,
            tempo: between(random, 0.88, 1.14),
            reach: between(random, 0.88, 1.1),
            sway_phase: between(random, 0.0, 1.0),
            arm_radius: scale * between(random, 2.5, 3.5),
            hand_radius: scale * between(random, 4.0, 6.0),
            contrast: between(random, 0.8, 1.2),
        }
    }

    /// `pose` on the sensor at `seconds` of the recording. A small sway gives limbs at rest the few
    /// events that they have in real recordings.
    pub(super) fn stand(&self, pose: Pose, seconds: f64) -> Pose {
        let sway = [
            0.5 * sine(0.31 * seconds + self.sway_phase),
            0.3 * sine(0.23 * seconds + 2.0 * self.sway_phase),
        ];
        pose.map(|p| std::array::from_fn(|i| self.place[i] + self.scale * (p[i] + sway[i])))
    }
}

impl Pose {
    /// Hands down.
    pub(super) const REST: Self = Self {
        arms: [rest(RIGHT), rest(LEFT)],
        head: [0.0, -28.0],
    };

    /// The pose at `share` of the way from `self` to `to`, with zero speed at both ends.
    pub(super) fn towards(self, to: Self, share: f64) -> Self {
        let s = share * share * (3.0 - 2.0 * share);
        let mix = |a: Point, b: Point| std::array::from_fn(|i| a[i] + s * (b[i] - a[i]));
        Self {
            arms: std::array::from_fn(|i| Arm {
                base: mix(self.arms[i].base, to.arms[i].base),
                hand: mix(self.arms[i].hand, to.arms[i].hand),
            }),
            head: mix(self.head, to.head),
        }
    }

    fn map(self, f: impl Fn(Point) -> Point) -> Self {
        Self {
            arms: self.arms.map(|arm| Arm {
                base: f(arm.base),
                hand: f(arm.hand),
            }),
            head: f(self.head),
        }
    }
}

impl Motion {
    /// A performance of `class` (0 to 10, as in [`dvs_shared::labels::LABEL_NAMES`]) by `person`
    /// that lasts `seconds`.
    pub(super) fn new(class: u8, seconds: f64, person: &Person, random: &mut Pcg64) -> Self {
        let mut wander = [None, None];
        if class >= 10 {
            let both = chance(random, 0.5);
            let first = usize::from(chance(random, 0.5));
            for (i, side) in [RIGHT, LEFT].into_iter().enumerate() {
                if both || i == first {
                    wander[i] = Some(Wander::new(side, random));
                }
            }
        }
        let tempo = person.tempo * between(random, 0.95, 1.05);
        Self {
            class,
            tempo,
            circling: (0.6 * tempo * seconds).round().max(1.0) / seconds,
            reach: person.reach * between(random, 0.93, 1.07),
            // All performances begin at nearly the same phase, from rest.
            phase: between(random, -0.06, 0.06),
            shift: [between(random, -1.5, 1.5), between(random, -1.5, 1.5)],
            wander,
        }
    }

    /// The pose `seconds` after the performance began.
    ///
    /// The arm circles (3 to 6) come in pairs of the same poses in opposite order, clockwise as the
    /// camera sees it or counterclockwise: only the direction in time distinguishes them.
    pub(super) fn pose(&self, seconds: f64) -> Pose {
        // Turns completed at a frequency, including the initial phase.
        let turns = |hertz: f64| hertz * self.tempo * seconds + self.phase;
        let circle = self.circling * seconds + self.phase;
        let arms = match self.class {
            0 => {
                let gap = 3.0 + self.reach * 8.0 * (1.0 + cosine(turns(1.8)));
                both(|s| arm([s * 22.0, 22.0], [s * gap, 2.0]))
            }
            1 => self.wave(RIGHT, turns(1.4)),
            2 => self.wave(LEFT, turns(1.4)),
            3 => self.circle(RIGHT, circle),
            4 => self.circle(RIGHT, -circle),
            5 => self.circle(LEFT, circle),
            6 => self.circle(LEFT, -circle),
            7 => {
                let (x, y) = (10.0 * self.reach, 9.0 * self.reach);
                let (c, s) = (cosine(turns(1.2)), sine(turns(1.2)));
                both(|side| arm([side * 21.0, 16.0], [side * x * c, 6.0 + side * y * s]))
            }
            8 => {
                let beat = 11.0 * self.reach * sine(turns(1.7));
                both(|s| arm([s * 20.0, 6.0], [s * 17.0, 24.0 + s * beat]))
            }
            9 => {
                let slide = 1.5 * sine(turns(0.7));
                let strum = 9.0 * self.reach * sine(turns(2.5));
                [
                    arm([-22.0, 4.0], [-5.0 + 0.3 * strum, 17.0 + strum]),
                    arm([22.0, 4.0], [36.0 + slide, -10.0 - slide]),
                ]
            }
            _ => [(0, RIGHT), (1, LEFT)].map(|(i, side)| match &self.wander[i] {
                Some(wander) => arm([side * 21.0, 4.0], wander.at(seconds * self.tempo)),
                None => rest(side),
            }),
        };
        let pose = Pose { arms, ..Pose::REST };
        pose.map(|p| std::array::from_fn(|i| p[i] + self.shift[i]))
    }

    /// The forearm of one side swings about its raised elbow.
    fn wave(&self, side: f64, turns: f64) -> [Arm; 2] {
        let angle = side * 0.03 + 0.1 * self.reach * sine(turns);
        let elbow = [side * 27.0, 10.0];
        let hand = [
            elbow[0] + 27.0 * sine(angle),
            elbow[1] - 27.0 * cosine(angle),
        ];
        one(side, arm(elbow, hand))
    }

    /// The stretched arm of one side turns about its shoulder, starting at the bottom. The angle
    /// grows clockwise.
    fn circle(&self, side: f64, turns: f64) -> [Arm; 2] {
        let shoulder = [side * 20.0, -2.0];
        let length = 29.0 * self.reach;
        let hand = [
            shoulder[0] - length * sine(turns),
            shoulder[1] + length * cosine(turns),
        ];
        one(side, arm(shoulder, hand))
    }
}

impl Wander {
    fn new(side: f64, random: &mut Pcg64) -> Self {
        let around = [
            side * between(random, 8.0, 26.0),
            between(random, -14.0, 16.0),
        ];
        let waves = std::array::from_fn(|_| {
            [13.0, 9.0, 6.0].map(|pixels| {
                [
                    pixels * between(random, 0.6, 1.3),
                    between(random, 0.2, 1.0),
                    between(random, 0.0, 1.0),
                ]
            })
        });
        Self { around, waves }
    }

    fn at(&self, seconds: f64) -> Point {
        std::array::from_fn(|i| {
            let walk: f64 = self.waves[i]
                .iter()
                .map(|[pixels, hertz, turns]| pixels * sine(hertz * seconds + turns))
                .sum();
            self.around[i] + walk
        })
    }
}

const fn arm(base: Point, hand: Point) -> Arm {
    Arm { base, hand }
}

const fn rest(side: f64) -> Arm {
    arm([side * 22.0, 8.0], [side * 24.0, 36.0])
}

fn both(f: impl Fn(f64) -> Arm) -> [Arm; 2] {
    [f(RIGHT), f(LEFT)]
}

fn one(side: f64, moving: Arm) -> [Arm; 2] {
    both(|s| if s == side { moving } else { rest(s) })
}

/// Sine of an angle in turns, to within 4e-6. The C library's sine differs in the last bits between
/// platforms, which would change the archive.
pub(super) fn sine(turns: f64) -> f64 {
    let turn = turns - (turns + 0.5).floor();
    let quarter = if turn > 0.25 {
        0.5 - turn
    } else if turn < -0.25 {
        -0.5 - turn
    } else {
        turn
    };
    let z = quarter * std::f64::consts::TAU;
    let z2 = z * z;
    z * (1.0 - z2 / 6.0 * (1.0 - z2 / 20.0 * (1.0 - z2 / 42.0 * (1.0 - z2 / 72.0))))
}

fn cosine(turns: f64) -> f64 {
    sine(turns + 0.25)
}

#[cfg(test)]
mod tests {
    use super::super::random::generator;
    use super::*;

    #[test]
    fn sine_matches_the_standard_library() {
        for i in -4000..4000 {
            let turns = f64::from(i) / 999.0;
            assert!((sine(turns) - (turns * std::f64::consts::TAU).sin()).abs() < 4e-6);
        }
    }

    #[test]
    fn counter_clockwise_circles_reverse_clockwise_circles() {
        let person = Person::new(&mut generator(1, [0; 3]));
        for class in [3, 5] {
            let mut motion = Motion::new(class, 6.0, &person, &mut generator(2, [0; 3]));
            motion.phase = 0.0;
            let mut opposite = motion.clone();
            opposite.class += 1;
            for i in 0..100 {
                let t = f64::from(i) / 20.0;
                let (a, b) = (motion.pose(-t).arms, opposite.pose(t).arms);
                for (a, b) in a.iter().zip(&b) {
                    assert_eq!(a.hand, b.hand);
                }
            }
        }
    }

    #[test]
    fn hands_stay_within_the_sensor() {
        for seed in 0..40 {
            let mut random = generator(seed, [0; 3]);
            let person = Person::new(&mut random);
            for class in 0..10 {
                let motion = Motion::new(class, 6.0, &person, &mut random);
                for i in 0..200 {
                    let t = f64::from(i) / 50.0;
                    for arm in person.stand(motion.pose(t), t).arms {
                        for p in arm.hand {
                            assert!((0.0..128.0).contains(&p), "class {class}: {p}");
                        }
                    }
                }
            }
        }
    }
}
