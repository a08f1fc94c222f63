//! What some events in file order come to: how many, and their times.

/// What events in file order come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Events that count.
    pub kept: u64,
    /// Smallest time of those, in microseconds.
    pub t_min: i64,
    /// Largest time of those.
    pub t_max: i64,
    /// Time of the first of those.
    pub t_first: i64,
    /// Time of the last of those.
    pub t_last: i64,
    /// Whether their times never decrease.
    pub sorted: bool,
}

impl Stretch {
    /// No events.
    pub const EMPTY: Self = Self {
        kept: 0,
        t_min: i64::MAX,
        t_max: i64::MIN,
        t_first: 0,
        t_last: 0,
        sorted: true,
    };

    /// Appends events that come next in the file.
    pub fn append(&mut self, next: &Self) {
        if next.kept == 0 {
            return;
        }
        if self.kept == 0 {
            *self = *next;
            return;
        }
        self.sorted &= next.sorted && next.t_first >= self.t_last;
        self.t_min = self.t_min.min(next.t_min);
        self.t_max = self.t_max.max(next.t_max);
        self.t_last = next.t_last;
        self.kept += next.kept;
    }
}
