//! The frames of one sample, and their brightness at a given scale.

use super::ViewError;
use super::colours::{cell, level, level_of_square};
use super::scale::Scale;
use crate::event::{POLARITIES, SensorSize};

/// Percentage of the cells with events that are drawn at full strength, so that a few hot pixels do
/// not dim all others.
const FULL_PERCENT: u64 = 1;
/// Number of distinct counts in the histogram that determines the full-strength count. No camera
/// reaches it within a frame.
const HISTOGRAM_BINS: usize = 1 << 16;

/// Frames of one sample, with a title and captions.
#[derive(Clone, Debug)]
pub struct Clip<'a, C> {
    counts: &'a [C],
    size: SensorSize,
    pub(super) title: Vec<String>,
    captions: Vec<Vec<String>>,
}

/// A clip at one scale, ready to be drawn.
#[derive(Debug)]
pub struct Scaled<'a, 'c, C> {
    clip: &'c Clip<'a, C>,
    scale: Scale,
    /// The count drawn at full strength. It is the same for all frames, so that they are
    /// comparable.
    top: u32,
}

impl<'a, C: Copy + Into<u32>> Clip<'a, C> {
    /// Creates a clip of frames `[T, 2, H, W]` of a sensor of this size, in which polarity 0 is
    /// OFF. `title` holds the parts of the title; `captions` holds those of each frame's caption,
    /// or is empty.
    ///
    /// # Errors
    /// Returns an error if the counts are not whole frames, or if the number of captions differs
    /// from that of frames.
    pub fn new(
        counts: &'a [C],
        size: SensorSize,
        title: Vec<String>,
        captions: Vec<Vec<String>>,
    ) -> Result<Self, ViewError> {
        let cells = size.frame_cells();
        if cells == 0 || !counts.len().is_multiple_of(cells) {
            let counts = counts.len();
            return Err(ViewError::Shape { counts, cells });
        }
        let frames = counts.len() / cells;
        if !captions.is_empty() && captions.len() != frames {
            let captions = captions.len();
            return Err(ViewError::Captions { captions, frames });
        }
        Ok(Self {
            counts,
            size,
            title,
            captions,
        })
    }

    /// Number of frames, T.
    pub fn frames(&self) -> usize {
        self.counts.len() / self.size.frame_cells()
    }

    /// Size of the sensor.
    pub fn size(&self) -> SensorSize {
        self.size
    }

    /// The parts of the caption of frame `at`.
    pub(super) fn caption(&self, at: usize) -> &[String] {
        self.captions.get(at).map_or(&[], Vec::as_slice)
    }

    /// Prepares the clip for drawing at `scale`.
    pub(super) fn scaled(&self, scale: Scale) -> Scaled<'a, '_, C> {
        let mut scaled = Scaled {
            clip: self,
            scale,
            top: 1,
        };
        // Histogram of counts; the last place is for all larger counts.
        let mut cells = vec![0_u64; HISTOGRAM_BINS];
        for frame in 0..self.frames() {
            for count in scaled.binned(frame) {
                cells[(count as usize).min(HISTOGRAM_BINS - 1)] += 1;
            }
        }
        let with_events: u64 = cells[1..].iter().sum();
        let mut left = with_events * FULL_PERCENT / 100;
        let top = (1..HISTOGRAM_BINS).rev().find(|&count| {
            let here = cells[count];
            let found = here > left;
            left = left.saturating_sub(here);
            found
        });
        scaled.top = top.unwrap_or(1) as u32;
        scaled
    }
}

impl<C: Copy + Into<u32>> Scaled<'_, '_, C> {
    /// Size of a frame after its pixels are binned and before they are repeated.
    pub fn bins(&self) -> SensorSize {
        Scale::Down(self.scale.binned()).apply(self.clip.size)
    }

    /// Size of a frame in the picture.
    pub fn size(&self) -> SensorSize {
        self.scale.apply(self.clip.size)
    }

    /// How often each pixel is repeated in each direction.
    pub fn repeated(&self) -> u32 {
        self.scale.repeated()
    }

    pub fn clip(&self) -> &Clip<'_, C> {
        self.clip
    }

    /// Palette indices of the colours of frame `at`, `[y, x]` of [`Scaled::bins`].
    pub fn cells(&self, at: usize) -> Vec<u8> {
        let counts = self.binned(at);
        let (off, on) = counts.split_at(counts.len() / POLARITIES as usize);
        let level = match self.scale.binned() {
            1 => level,
            _ => level_of_square,
        };
        let level = |count: &u32| level(*count, self.top);
        off.iter()
            .zip(on)
            .map(|(off, on)| cell(level(off), level(on)))
            .collect()
    }

    /// Counts of frame `at`, `[2, y, x]` of [`Scaled::bins`].
    fn binned(&self, at: usize) -> Vec<u32> {
        let SensorSize { width, height } = self.clip.size;
        let cells = self.clip.size.frame_cells();
        let frame = self.clip.counts[at * cells..][..cells].iter();
        let bin = self.scale.binned() as usize;
        if bin == 1 {
            return frame.map(|&count| count.into()).collect();
        }
        let (width, height) = (width as usize, height as usize);
        let bins = self.bins();
        let mut counts = vec![0_u32; bins.frame_cells()];
        for (place, &count) in frame.enumerate() {
            let (row, x) = (place / width, place % width);
            let (polarity, y) = (row / height, row % height);
            let row = polarity * bins.height as usize + y / bin;
            let sum = &mut counts[row * bins.width as usize + x / bin];
            *sum = sum.saturating_add(count.into());
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::colours::{LEVELS, levels};
    use super::*;

    fn clip<C: Copy + Into<u32>>(counts: &[C], width: u32, height: u32) -> Clip<'_, C> {
        Clip::new(counts, SensorSize { width, height }, vec![], vec![]).unwrap()
    }

    #[test]
    fn clip_accepts_only_whole_frames() {
        let size = SensorSize {
            width: 2,
            height: 2,
        };
        assert!(Clip::new(&[0_u8; 15], size, vec![], vec![]).is_err());
        assert!(Clip::new(&[0_u8; 16], size, vec![], vec![vec![]]).is_err());
        assert!(Clip::new(&[0_u8; 0], SensorSize { width: 0, ..size }, vec![], vec![]).is_err());
        let empty = Clip::new(&[0_u8; 0], size, vec![], vec![]).unwrap();
        assert_eq!(empty.frames(), 0);
    }

    #[test]
    fn count_type_does_not_change_cells() {
        let counts = [0_u8, 1, 2, 0, 9, 0, 2, 0];
        let wide = counts.map(u32::from);
        let (a, b) = (clip(&counts, 2, 2), clip(&wide, 2, 2));
        let cells = a.scaled(Scale::Up(3)).cells(0);
        assert_eq!(cells, b.scaled(Scale::Up(3)).cells(0));
        assert_eq!(cells[0], cell(0, LEVELS - 1));
        assert_eq!(levels(cells[1]), (1, 0));
        assert_eq!(cells[3], cell(0, 0));
    }

    #[test]
    fn downscaling_sums_squares_including_partial_edges() {
        // The OFF plane has a whole square with 1 + 2 + 4 + 5 events. At the edge, it has half a
        // square with 3 + 6 events.
        let counts: Vec<u16> = [1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 7].to_vec();
        let clip = clip(&counts, 3, 2);
        let scaled = clip.scaled(Scale::Down(2));
        assert_eq!(scaled.binned(0), [12, 9, 0, 7]);
        assert_eq!((scaled.bins().width, scaled.bins().height), (2, 1));
    }

    #[test]
    fn hot_pixels_do_not_dim_the_others() {
        let mut counts = vec![1_u32; 2 * 32 * 32];
        counts[..20].fill(100_000);
        assert_eq!(clip(&counts, 32, 32).scaled(Scale::Up(1)).top, 1);
        counts[..40].fill(100_000);
        let top = clip(&counts, 32, 32).scaled(Scale::Up(1)).top;
        assert_eq!(top as usize, HISTOGRAM_BINS - 1);
        assert_eq!(clip(&[0_u8; 8], 2, 2).scaled(Scale::Up(1)).top, 1);
    }
}
