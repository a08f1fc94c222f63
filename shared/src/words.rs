//! Parts of messages: numbers of things, and shortened lists.

/// A number of things, as `1 event` or `1200 events`.
pub fn counted(number: u64, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}

/// The first `most` of `names`, and the number of further ones.
pub fn some_of<T: AsRef<str>>(names: &[T], most: usize) -> String {
    let shown: Vec<&str> = names.iter().take(most).map(AsRef::as_ref).collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The first `most` characters of a text from a file, without control characters, which a terminal
/// would obey.
pub fn printable(text: &str, most: usize) -> String {
    let shown = text.chars().take(most);
    shown
        .map(|c| match c.is_control() {
            true => char::REPLACEMENT_CHARACTER,
            false => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_the_singular_only_for_one() {
        assert_eq!(counted(1, "event"), "1 event");
        assert_eq!(counted(0, "event"), "0 events");
    }

    #[test]
    fn printable_replaces_control_characters_and_truncates() {
        assert_eq!(printable("\u{1b}[2JDVS128", 6), "\u{fffd}[2JDV");
    }

    #[test]
    fn long_lists_are_shortened() {
        assert_eq!(some_of(&["tap", "hold"], 2), "tap, hold");
        assert_eq!(some_of(&["tap", "hold", "wave"], 2), "tap, hold and 1 more");
        assert_eq!(some_of::<&str>(&[], 2), "");
    }
}
