//! The comparison as text.

use dvs_shared::words::{counted, printable};

use super::Comparison;
use super::groups::{Group, Statistics};
use super::runs::{Damaged, Run};

/// Maximum characters of a path or a protocol.
const MOST_CHARACTERS: usize = 4096;

/// The table, remarks on it, and the runs that are not in it.
pub fn to_text(compared: &Comparison) -> String {
    let groups = &compared.groups;
    let mut text = String::new();
    if !groups.is_empty() {
        text += "test accuracy of each run's best network: mean and standard deviation of n runs that differ only in the seed\n";
        text += &aligned(&rows(groups));
    }
    text + &others(compared)
}

/// Remarks on the table, and the runs that are not in it: a line for each.
pub fn others(compared: &Comparison) -> String {
    let mut text = String::new();
    for remark in remarks(&compared.groups) {
        text += &format!("{remark}\n");
    }
    let runs = |number: usize| counted(number as u64, "run");
    let (unfinished, damaged) = (&compared.unfinished, &compared.damaged);
    if !unfinished.is_empty() {
        text += &format!("unfinished, and not counted: {}\n", runs(unfinished.len()));
    }
    for run in unfinished {
        text += &format!("  {}: {}\n", path(&run.folder), progress(run));
    }
    if !damaged.is_empty() {
        text += &format!("damaged, and not counted: {}\n", runs(damaged.len()));
    }
    for Damaged { folder, reason } in damaged {
        text += &format!("  {}: {reason}\n", path(folder));
    }
    text
}

/// What to know about the groups: that there is one or none, that protocols differ, and seeds that
/// several runs have.
pub fn remarks(groups: &[Group]) -> Vec<String> {
    let mut remarks = Vec::new();
    match groups {
        [] => remarks.push("no run has finished".to_owned()),
        [_] => remarks.push(
            "one group: all finished runs have the same settings but for the seed".to_owned(),
        ),
        _ => {}
    }
    let protocol = groups.first().map(|group| &group.protocol);
    if groups.iter().any(|group| Some(&group.protocol) != protocol) {
        remarks.push("compare groups of one protocol alone: with accuracy-A, the best network was chosen on the test set itself".to_owned());
    }
    let repeated = groups
        .iter()
        .filter_map(|group| Some(format!("{}: {}", group.name(), group.repeated_seeds()?)));
    remarks.extend(repeated);
    remarks
}

/// How far an unfinished run is.
pub fn progress(run: &Run) -> String {
    let (done, of) = (run.done(), run.settings.config.schedule.epochs);
    let set = run.evaluated_on().name();
    match run.best() {
        None => format!("{done} of {of} epochs"),
        Some(best) => format!(
            "{done} of {of} epochs, best {set} accuracy so far {}",
            percent(best)
        ),
    }
}

/// A path in one line.
pub fn path(path: &std::path::Path) -> String {
    printable(&path.display().to_string(), MOST_CHARACTERS)
}

/// The columns after the settings, and whether they are texts.
pub const COLUMNS: [(&str, bool); 6] = [
    ("n", false),
    ("mean ± sd", false),
    ("best", false),
    ("loss", false),
    ("s an epoch", false),
    ("protocol", true),
];

/// The fields of a group in [`COLUMNS`].
pub fn fields(group: &Group) -> [String; 6] {
    let Statistics {
        mean,
        deviation,
        best,
        mean_loss,
        epoch_seconds,
    } = group.statistics();
    let or_dash = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
    [
        group.runs.len().to_string(),
        match deviation {
            Some(deviation) => format!("{:.2} ± {:.2} %", 100.0 * mean, 100.0 * deviation),
            None => percent(mean),
        },
        percent(best),
        or_dash(mean_loss.map(|loss| format!("{loss:.4}"))),
        or_dash(epoch_seconds.map(|seconds| format!("{seconds:.2}"))),
        printable(&group.protocol, MOST_CHARACTERS),
    ]
}

/// A share in percent, to the two digits that papers give.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// A field and whether it is a text, which is aligned on the left.
type Field = (String, bool);

/// The names of the columns, and a row for each group.
fn rows(groups: &[Group]) -> Vec<Vec<Field>> {
    let settings = groups.first().map_or(&[][..], |group| &group.settings);
    let names = settings.iter().map(|of| (of.name.to_owned(), true));
    let names = names.chain(COLUMNS.map(|(name, text)| (name.to_owned(), text)));
    let mut rows = vec![names.collect::<Vec<Field>>()];
    for group in groups {
        let settings = group.settings.iter().map(|of| (of.short(), true));
        let fields = fields(group).into_iter().zip(COLUMNS);
        let fields = fields.map(|(field, (_, text))| (field, text));
        rows.push(settings.chain(fields).collect());
    }
    rows
}

/// The rows as lines, with columns that are as wide as their widest fields.
fn aligned(rows: &[Vec<Field>]) -> String {
    let width = |at: usize| {
        let fields = rows.iter().filter_map(|row| row.get(at));
        let widths = fields.map(|(field, _)| field.chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let fields = row.iter().zip(&widths);
        let fields: Vec<String> = fields
            .map(|((field, is_text), &width)| match is_text {
                true => format!("{field:<width$}"),
                false => format!("{field:>width$}"),
            })
            .collect();
        text += &format!("{}\n", fields.join("  ").trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_aligned_on_the_left_and_numbers_on_the_right() {
        let row = |name: &str, number: &str, end: &str| {
            vec![
                (name.to_owned(), true),
                (number.to_owned(), false),
                (end.to_owned(), true),
            ]
        };
        let rows = [row("opt", "±", "p"), row("sgd", "12.5", "quite long")];
        assert_eq!(aligned(&rows), "opt     ±  p\nsgd  12.5  quite long\n");
        assert_eq!(aligned(&[]), "");
    }
}
