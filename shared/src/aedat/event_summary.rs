//! A summary of consecutive events: their number and times.

/// A summary of the events that count, in file order. Times are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSummary {
    /// Number of events.
    pub kept: u64,
    pub t_min: i64,
    pub t_max: i64,
    /// Time of the first event in file order.
    pub t_first: i64,
    /// Time of the last event in file order.
    pub t_last: i64,
    /// Whether times never decrease.
    pub sorted: bool,
}

impl EventSummary {
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
