//! Mirroring, rotating and shifting of frames.
//!
//! Every cell moves as a whole to one other cell, so only events that leave the frame are lost, and
//! none is doubled. A rotation is three shears, each of which moves rows or columns by whole pixels
//! (A. W. Paeth, A Fast Algorithm for General Raster Rotation, Graphics Interface 1986).

use super::SampleTransform;

/// Source of a cell whose events would come from outside the frame.
pub const NOWHERE: u32 = u32::MAX;

/// Returns the source cell of each cell of a frame of this size (height and width), row by row.
pub fn sources(
    transform: &SampleTransform,
    [height, width]: [usize; 2],
) -> impl Iterator<Item = u32> {
    let (height, width) = (height as i64, width as i64);
    let radians = transform.degrees.to_radians();
    let along_x = Shear::new(-(radians / 2.0).tan(), height);
    let along_y = Shear::new(radians.sin(), width);
    let ([right, down], flip) = (transform.shift.map(i64::from), transform.flip);
    // The inverse, from target to source: the shift, the three shears, the mirror.
    (0..height).flat_map(move |y| {
        let y = y - down;
        let first = right + along_x.at(y);
        (0..width).map(move |x| {
            let x = x - first;
            let y = y - along_y.at(x);
            let x = x - along_x.at(y);
            let x = if flip { width - 1 - x } else { x };
            let inside = (0..height).contains(&y) && (0..width).contains(&x);
            if inside {
                (y * width + x) as u32
            } else {
                NOWHERE
            }
        })
    })
}

/// A shear moves the row or column at each place by a number of pixels.
#[derive(Clone, Copy)]
struct Shear {
    factor: f64,
    middle: f64,
}

impl Shear {
    fn new(factor: f64, length: i64) -> Self {
        Self {
            factor,
            middle: (length - 1) as f64 / 2.0,
        }
    }

    fn at(self, place: i64) -> i64 {
        if self.factor == 0.0 {
            return 0;
        }
        (self.factor * (place as f64 - self.middle)).round() as i64
    }
}
