//! The table as CSV, as RFC 4180 quotes it. Accuracies are shares, not percentages.

use std::borrow::Cow;

use super::groups::{Group, Statistics};

/// The columns after the settings.
const COLUMNS: [&str; 8] = [
    "n",
    "seeds",
    "mean",
    "sd",
    "best",
    "mean_loss",
    "median_epoch_s",
    "protocol",
];

/// The names of the columns, and a row for each group.
pub fn to_csv(groups: &[Group]) -> String {
    let settings = groups.first().map_or(&[][..], |group| &group.settings);
    let names = settings.iter().map(|of| of.name).chain(COLUMNS);
    let mut csv = line(names.map(str::to_owned));
    for group in groups {
        let settings = group.settings.iter().map(|of| of.value.to_string());
        csv += &line(settings.chain(fields(group)));
    }
    csv
}

/// The fields of a group in [`COLUMNS`]. A number that it does not have is empty.
fn fields(group: &Group) -> [String; 8] {
    let Statistics {
        mean,
        deviation,
        best,
        mean_loss,
        epoch_seconds,
    } = group.statistics();
    let number = |number: Option<f64>| number.map_or(String::new(), |number| number.to_string());
    let seeds: Vec<String> = group.seeds().keys().map(u64::to_string).collect();
    [
        group.runs.len().to_string(),
        seeds.join(" "),
        number(Some(mean)),
        number(deviation),
        number(Some(best)),
        number(mean_loss),
        number(epoch_seconds),
        group.protocol.clone(),
    ]
}

fn line(fields: impl Iterator<Item = String>) -> String {
    let fields: Vec<String> = fields.map(|field| quoted(&field).into_owned()).collect();
    fields.join(",") + "\n"
}

/// The field in quotes, if a reader would mistake it without.
fn quoted(field: &str) -> Cow<'_, str> {
    match field.contains([',', '"', '\n', '\r']) {
        true => Cow::Owned(format!("\"{}\"", field.replace('"', "\"\""))),
        false => Cow::Borrowed(field),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_with_separators_are_quoted() {
        for (field, written) in [
            ("0.5", "0.5"),
            ("", ""),
            ("users:anna,ben", "\"users:anna,ben\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            ("two\nlines", "\"two\nlines\""),
        ] {
            assert_eq!(quoted(field), written);
        }
        let fields = ["a,b", "c"].map(str::to_owned).into_iter();
        assert_eq!(line(fields), "\"a,b\",c\n");
    }
}
