//! Numbers with units, for people.

/// Formats a number of operations, to three digits.
pub fn number(count: f64) -> String {
    scaled(count, &["", " k", " M", " G", " T"], 1000.0)
}

/// Formats an energy in microjoules, to three digits.
pub fn joules(micro: f64) -> String {
    match micro {
        0.0 => "0".to_owned(),
        small if small < 1.0 => scaled(small * 1e6, &[" pJ", " nJ"], 1000.0),
        large => scaled(large, &[" uJ", " mJ", " J"], 1000.0),
    }
}

/// Formats a number of bytes, to three digits.
pub fn bytes(number: u64) -> String {
    scaled(number as f64, &[" B", " KiB", " MiB", " GiB"], 1024.0)
}

fn scaled(mut number: f64, units: &[&str], step: f64) -> String {
    let mut unit = 0;
    // A number that would round to four digits takes the next unit.
    while number >= step - 0.5 && unit + 1 < units.len() {
        number /= step;
        unit += 1;
    }
    let digits = match number {
        n if n == n.trunc() && unit == 0 => 0,
        n if n < 10.0 => 2,
        n if n < 100.0 => 1,
        _ => 0,
    };
    format!("{number:.digits$}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_numbers_with_three_digits_and_a_unit() {
        for (count, text) in [
            (0.0, "0"),
            (7.0, "7"),
            (7.5, "7.50"),
            (999.0, "999"),
            (999.7, "1.00 k"),
            (1234.0, "1.23 k"),
            (45_600_000.0, "45.6 M"),
            (1e13, "10.0 T"),
            (1e17, "100000 T"),
        ] {
            assert_eq!(number(count), text);
        }
        assert_eq!(joules(0.0), "0");
        assert_eq!(joules(0.000_9), "900 pJ");
        assert_eq!(joules(0.25), "250 nJ");
        assert_eq!(joules(1234.0), "1.23 mJ");
        assert_eq!(bytes(1536), "1.50 KiB");
    }
}
