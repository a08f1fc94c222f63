//! The page's tables.

use dvs_shared::view::short_number;
use maud::{Markup, html};

use crate::commands::profile::Cost;
use crate::commands::run_files::RunFiles;
use crate::config::settings::Settings;
use crate::config::train_config::{TrainConfig, Value};
use crate::console::numbers::{joules, number};
use crate::metrics::confusion::Confusion;

/// Maximum rows in the table of epochs.
const MOST_ROWS: usize = 500;

/// The confusion matrix.
pub fn confusion(confusion: &Confusion, names: &[String]) -> Markup {
    html! {
        p.note { "Test samples by class (row) and the class they were taken for (column, by number)." }
        div.scroll {
            table.confusion {
                thead {
                    tr {
                        th scope="col" { "class" }
                        @for (label, name) in names.iter().enumerate() { th scope="col" title=(name) { (label) } }
                        th scope="col" { "recall" }
                    }
                }
                tbody {
                    @for (label, (name, row)) in names.iter().zip(&confusion.counts).enumerate() {
                        @let samples = row.iter().sum::<u64>().max(1) as f64;
                        tr {
                            th scope="row" { (label) " " (name) }
                            @for &count in row {
                                @let share = count as f64 / samples;
                                td.cell.most[share > 0.5] style={ "--share:" (short_number(share)) } {
                                    @if count > 0 { (count) } @else { span.note aria-label="0" { "·" } }
                                }
                            }
                            td {
                                @match confusion.recall(label) {
                                    Some(recall) => { (percent(recall)) },
                                    None => { "–" },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The cost of the best network, layer by layer.
pub fn cost(cost: &Cost) -> Markup {
    let steps = cost.steps as f64;
    html! {
        p.note { "Means over the test samples, of " (cost.steps) " steps each." }
        div.scroll {
            table {
                thead {
                    tr {
                        @for column in [
                            "layer", "active inputs", "firing rate", "neurons", "parameters", "MAC", "AC", "MAC if dense", "energy",
                        ] { th scope="col" { (column) } }
                    }
                }
                tbody {
                    @for layer in &cost.layers {
                        tr {
                            th scope="row" { (layer.layer) }
                            td { (percent(layer.active_inputs)) }
                            td { (short_number(layer.firing_rate)) }
                            td { (layer.neurons) }
                            td { (layer.parameters) }
                            td { (number(layer.macs)) }
                            td { (number(layer.acs)) }
                            td { (number(layer.dense_macs_per_frame as f64 * steps)) }
                            td { (joules(cost.energy.microjoules(layer.macs, layer.acs))) }
                        }
                    }
                }
                tfoot {
                    tr {
                        th scope="row" { "total" }
                        td {} td {}
                        td { (cost.neurons) }
                        td { (cost.parameters) }
                        td { (number(cost.macs)) }
                        td { (number(cost.acs)) }
                        td { (number(cost.dense_macs_per_frame as f64 * steps)) }
                        td { (joules(cost.energy_uj)) }
                    }
                }
            }
        }
    }
}

/// All options; those that differ from their defaults come first.
pub fn settings(settings: &Settings) -> Markup {
    let options = settings.config.options().into_iter();
    let (chosen, usual): (Vec<_>, Vec<_>) = options
        .zip(TrainConfig::default().options())
        .filter(|(option, _)| option.name != "validation" || option.value != Value::None)
        .partition(|(option, usual)| option.value != usual.value);
    let [height, width] = settings.size;
    let invalid = match settings.keep_invalid {
        true => "kept",
        false => "left out",
    };
    html! {
        p.note { "Bold: not as usual." }
        div.scroll {
            table.text {
                tbody {
                    @for (options, class) in [(&chosen, "chosen"), (&usual, "usual")] {
                        @for (option, _) in options {
                            tr class=(class) {
                                th scope="row" { (option.flag()) }
                                td { (option.value) }
                            }
                        }
                    }
                    tr { th scope="row" { "frames" } td { (height) " x " (width) ", invalid events " (invalid) } }
                    tr { th scope="row" { "data (SHA-256)" } td { code { (settings.source_sha256) } } }
                }
            }
        }
    }
}

/// The metrics of each epoch, or of the last ones if there are too many.
pub fn epochs(run: &RunFiles) -> Markup {
    let there = |numbers: &[Option<f64>]| numbers.iter().any(Option::is_some);
    let columns = run.columns.iter().filter(|(_, numbers)| there(numbers));
    let columns: Vec<_> = columns.collect();
    let number = run.column("epoch").len();
    let from = number.saturating_sub(MOST_ROWS);
    html! {
        details {
            summary {
                "All numbers"
                @if from > 0 { " (the last " (MOST_ROWS) " of " (number) " epochs)" }
            }
            div.scroll {
                table {
                    thead { tr { @for (name, _) in &columns { th scope="col" { (name) } } } }
                    tbody {
                        @for row in from..number {
                            tr {
                                @for (_, numbers) in &columns {
                                    td { @if let Some(value) = numbers.get(row).copied().flatten() { (short_number(value)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Formats a share in percent.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
