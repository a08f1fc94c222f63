//! The times of frames, as far as they are known, and their captions.

/// The times of frames, counted from the sample's first event, at which the first frame begins.
#[derive(Clone, Debug, PartialEq)]
pub enum Timing {
    /// First and last time of each frame, in microseconds; `None` for frames without events.
    Spans(Vec<Option<(i64, i64)>>),
    /// Each frame has this fixed duration in microseconds.
    Fixed(u64),
    /// All frames have the same duration, at most this many microseconds.
    AtMost(f64),
    /// Frames differ in duration, but their times are unknown.
    Unknown,
}

impl Timing {
    /// Start and end of frame `at`, in microseconds after the sample's first event.
    pub fn span_us(&self, at: usize) -> Option<(i64, i64)> {
        match self {
            Self::Spans(spans) => *spans.get(at)?,
            Self::Fixed(us) => {
                let edge = |at: usize| i64::try_from(u128::from(*us) * at as u128).ok();
                Some((edge(at)?, edge(at + 1)?))
            }
            Self::AtMost(_) | Self::Unknown => None,
        }
    }

    /// Duration of frame `at` in microseconds; for [`Timing::AtMost`] an upper limit.
    pub fn duration_us(&self, at: usize) -> Option<f64> {
        match self {
            Self::AtMost(us) => Some(*us),
            _ => {
                let (start, end) = self.span_us(at)?;
                Some(end as f64 - start as f64)
            }
        }
    }

    /// A note to show with the durations.
    pub fn note(&self) -> Option<String> {
        match self {
            Self::Spans(_) => None,
            Self::Fixed(us) => Some(format!("each {}", duration(*us as f64))),
            Self::AtMost(us) => Some(format!(
                "all equal, at most {}: a cache does not hold the time of the last event",
                duration(*us)
            )),
            Self::Unknown => {
                Some("a cache does not hold them: view the recording to see them".to_owned())
            }
        }
    }
}

/// The caption of frame `at` of `frames`: its number, its events and, if known, its time.
pub fn caption(at: usize, frames: usize, events: u64, timing: &Timing) -> Vec<String> {
    let unit = if events == 1 { "event" } else { "events" };
    let mut parts = vec![format!("{}/{frames}", at + 1), format!("{events} {unit}")];
    if let Some((start, end)) = timing.span_us(at) {
        let seconds = |us: i64| us as f64 / 1e6;
        parts.push(format!("{:.3}-{:.3} s", seconds(start), seconds(end)));
    }
    parts
}

/// Formats a duration in a suitable unit.
pub fn duration(us: f64) -> String {
    match us {
        ..1e3 => format!("{us:.0} us"),
        ..1e6 => format!("{} ms", decimals(us / 1e3, 1)),
        _ => format!("{} s", decimals(us / 1e6, 3)),
    }
}

/// Formats a number with `most` decimals, or none if they are all 0.
fn decimals(value: f64, most: usize) -> String {
    let text = format!("{value:.most$}");
    match text.split_once('.') {
        Some((whole, decimals)) if decimals.bytes().all(|digit| digit == b'0') => whole.to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_omit_unknown_times() {
        let caption_text = |timing: &Timing| caption(1, 3, 1, timing).join(", ");
        let spans = Timing::Spans(vec![Some((0, 5)), Some((1_500, 22_000))]);
        assert_eq!(caption_text(&spans), "2/3, 1 event, 0.002-0.022 s");
        assert_eq!(
            caption_text(&Timing::Fixed(100_000)),
            "2/3, 1 event, 0.100-0.200 s"
        );
        for timing in [Timing::Unknown, Timing::AtMost(10.0), Timing::Spans(vec![])] {
            assert_eq!(caption_text(&timing), "2/3, 1 event");
        }
        assert_eq!(Timing::AtMost(10.0).duration_us(7), Some(10.0));
        assert_eq!(Timing::Fixed(u64::MAX).span_us(1), None);
        assert_eq!(duration(999.4), "999 us");
        assert_eq!(duration(375_250.0), "375.2 ms");
        assert_eq!(duration(100_000.0), "100 ms");
        assert_eq!(duration(6_012_345.0), "6.012 s");
    }
}
