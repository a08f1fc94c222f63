//! Extends times of few bits, which wrap around.

/// A minute in microseconds.
pub(super) const MINUTE: i64 = 60_000_000;

/// A clock whose times wrap around.
pub(super) struct Clock {
    /// Microseconds after which times wrap around.
    range: i64,
    /// Microseconds before and after a wrap in which events may be out of order.
    near: i64,
    /// The previous time, as it was read.
    last: i64,
    /// Microseconds lost in wraps.
    lost: i64,
}

impl Clock {
    /// A clock of `bits` bits, at most 62. Up to `near` microseconds before and after a wrap, times
    /// may be out of order.
    pub(super) fn new(bits: u32, near: i64) -> Self {
        Self {
            range: 1 << bits,
            near,
            last: 0,
            lost: 0,
        }
    }

    /// The time whose lower bits are `time`. If it is more than half the range below the previous
    /// time, the bits have wrapped around. If a time from the end of the range follows one from its
    /// beginning after a wrap, the event is from before that wrap and out of order.
    #[inline]
    pub(super) fn time(&mut self, time: i64) -> i64 {
        let near = self.last < self.near && time >= self.range - self.near;
        if time - self.last < -(self.range / 2) {
            self.lost = self.lost.saturating_add(self.range);
        } else if near && self.lost > 0 {
            self.lost -= self.range;
        }
        self.last = time;
        self.lost.saturating_add(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(bits: u32, near: i64, read: &[i64]) -> Vec<i64> {
        let mut clock = Clock::new(bits, near);
        read.iter().map(|&time| clock.time(time)).collect()
    }

    #[test]
    fn continues_times_after_each_wrap() {
        let read = [5, 200, 3, 131, 2, 255, 1];
        assert_eq!(times(8, 0, &read), [5, 200, 259, 387, 514, 767, 769]);
    }

    #[test]
    fn keeps_times_from_before_a_wrap_and_steps_back() {
        assert_eq!(times(8, 4, &[253, 1, 254, 2]), [253, 257, 254, 258]);
        // There was no wrap, so the time has only made a long step.
        assert_eq!(times(8, 4, &[1, 254]), [1, 254]);
        // Half the range is not yet a wrap.
        assert_eq!(times(8, 4, &[200, 72, 70]), [200, 72, 70]);
    }
}
