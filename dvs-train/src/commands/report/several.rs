//! The page of several runs: their groups in a table and in curves, and a list of all runs.

use dvs_shared::words::counted;
use maud::{Markup, html};

use super::chart::chart;
use super::page::document;
use crate::commands::compare::groups::{Group, Statistics};
use crate::commands::compare::{Comparison, curves, table};

/// Maximum runs in the list; browsers would struggle with a page of many more.
const MOST_RUNS: usize = 2000;

/// The page of the runs that were compared.
pub fn page(compared: &Comparison) -> Markup {
    let runs = compared.folders().len() as u64;
    let body = html! {
        (verdict(compared))
        @for remark in table::remarks(&compared.groups) { p.note { (remark) } }
        @if !compared.groups.is_empty() {
            h2 { "Groups" }
            (groups(&compared.groups))
            h2 { "Curves" }
            (drawn(compared))
        }
        h2 { "Runs" }
        (list(compared))
        footer {
            p {
                "Reported by dvs-train " (env!("CARGO_PKG_VERSION")) ". This page needs no other file and no network."
            }
        }
    };
    document(&counted(runs, "run"), &body)
}

/// The result in a sentence or two.
fn verdict(compared: &Comparison) -> Markup {
    html! {
        p {
            @if let Some(best) = compared.groups.first() {
                @let Statistics { mean, deviation, .. } = best.statistics();
                @if compared.groups.len() > 1 { "The best of " (compared.groups.len()) " groups, " strong { (best.name()) } ", recognises " }
                @else { "The best networks of these runs recognise " }
                b {
                    (table::percent(mean))
                    @if let Some(deviation) = deviation { " ± " (table::percent(deviation)) }
                }
                " of the test samples, the mean over " (counted(best.runs.len() as u64, "run")) ". "
            }
            @for (number, state) in [(compared.unfinished.len(), "unfinished"), (compared.damaged.len(), "damaged")] {
                @if number > 0 { (counted(number as u64, "run")) " " (if number == 1 { "is" } else { "are" }) " " (state) ", and not counted. " }
            }
        }
    }
}

/// A row for each group.
fn groups(groups: &[Group]) -> Markup {
    let settings = groups.first().map_or(&[][..], |group| &group.settings);
    html! {
        p.note {
            "Test accuracy of each run's best network: mean and standard deviation of n runs that differ only in the seed. \
            With accuracy-A, the best network was chosen on the test set itself; with accuracy-B, on samples held out of training."
        }
        div.scroll {
            table.groups {
                thead {
                    tr {
                        @for setting in settings { th.words scope="col" { (setting.name) } }
                        @for (name, is_text) in table::COLUMNS { th.words[is_text] scope="col" { (name) } }
                    }
                }
                tbody {
                    @for group in groups {
                        tr {
                            @for setting in &group.settings { td.words title=(setting.value) { (setting.short()) } }
                            @for (field, (_, is_text)) in table::fields(group).into_iter().zip(table::COLUMNS) {
                                td.words[is_text] { (field) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The curves of the best groups.
fn drawn(compared: &Comparison) -> Markup {
    let (groups, remark) = compared.drawn();
    html! {
        p.note {
            "The mean over the runs of a group, with a band of one standard deviation, for the epochs that all of them have. "
            @if let Some(remark) = remark { "Here, " (remark) "." }
        }
        div.charts { @for panel in curves::panels(groups) { (chart(&panel)) } }
    }
}

/// Every run with its state, the best group's first.
fn list(compared: &Comparison) -> Markup {
    let finished = compared.groups.iter().flat_map(|group| &group.runs);
    let finished = finished.map(|of| {
        let note = format!("best network of epoch {}", of.summary.best_epoch);
        let note = format!("{}, {note}", table::percent(of.summary.test_acc));
        let seed = of.run.settings.config.seed.to_string();
        (&of.run.folder, seed, "finished", note)
    });
    let unfinished = compared.unfinished.iter().map(|run| {
        let seed = run.settings.config.seed.to_string();
        (&run.folder, seed, "unfinished", table::progress(run))
    });
    let damaged = compared.damaged.iter();
    let damaged = damaged.map(|of| (&of.folder, String::new(), "damaged", of.reason.clone()));
    // Runs that are not counted come first if there are too many to show all.
    let rows: Vec<_> = match compared.finished() > MOST_RUNS {
        true => unfinished.chain(damaged).chain(finished).collect(),
        false => finished.chain(unfinished).chain(damaged).collect(),
    };
    html! {
        div.scroll {
            table.text {
                thead { tr { @for column in ["run", "seed", "state", "test accuracy"] { th.words scope="col" { (column) } } } }
                tbody {
                    @for (folder, seed, state, note) in rows.iter().take(MOST_RUNS) {
                        tr class=(state) {
                            th scope="row" { (table::path(folder)) }
                            td { (seed) }
                            td.state { (state) }
                            td { (note) }
                        }
                    }
                }
            }
        }
        @if rows.len() > MOST_RUNS { p.note { "The first " (MOST_RUNS) " of " (rows.len()) " runs are listed." } }
    }
}
