//! The HTML page. maud escapes all text that comes from files. Pictures are inlined, and a content
//! security policy blocks all requests.

use dvs_shared::view::short_number;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::chart::chart;
use super::samples::Pictures;
use super::tables::{self, percent};
use crate::commands::profile::{Cost, ENERGY_LIMITS, Profile};
use crate::commands::run_files::RunFiles;
use crate::console::numbers::{bytes, joules, number};
use crate::metrics::statistics::median;
use crate::run_dir::plots::panels::panels;
use crate::train::summary::Summary;

const STYLE: &str = include_str!("style.css");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// A page with this title.
pub fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " - dvs-train" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (title) }
                    (body)
                }
            }
        }
    }
}

/// The page of a run; `samples` are pictures, or the reason why there are none.
pub fn page(
    run: &RunFiles,
    profile: Option<&Profile>,
    samples: Result<&Pictures, &anyhow::Error>,
) -> Markup {
    let body = html! {
        (verdict(run))
        (tiles(run, profile))
        h2 { "Curves" }
        div.charts { @for panel in panels(&run.columns) { (chart(&panel)) } }
        (tables::epochs(run))
        @if let Some(summary) = &run.summary {
            h2 { "Confusion matrix" }
            (tables::confusion(&summary.confusion, &summary.label_names))
        }
        (costs(profile))
        h2 { "Samples" }
        (shown(samples))
        h2 { "Settings" }
        (tables::settings(&run.settings))
        footer {
            p {
                "Trained by " (run.settings.created_by) ", reported by dvs-train " (env!("CARGO_PKG_VERSION"))
                ". This page needs no other file and no network."
            }
        }
    };
    document(&run.name, &body)
}

/// The result of the run in a sentence.
fn verdict(run: &RunFiles) -> Markup {
    let done = run.column("epoch").len();
    html! {
        p {
            @match &run.summary {
                None => { "This run has not ended. Epochs done so far: " (done) "." },
                Some(summary) => {
                    "The best network, of epoch " (summary.best_epoch) ", recognises " b { (percent(summary.test_acc)) }
                    " of " (summary.test_samples) " test samples. " (chosen(summary))
                },
            }
        }
    }
}

fn chosen(summary: &Summary) -> Markup {
    html! {
        @if summary.validation_users.is_empty() {
            "It was chosen on the test set itself, as in the tutorial (the paper's accuracy-A)."
        } @else {
            "It was chosen on " (summary.validation_users.join(", ")) ", held out of training, of whose samples it recognises "
            (percent(summary.chosen_with)) "; the test set was judged once (the paper's accuracy-B)."
        }
    }
}

/// A tile: name, value and note.
type Tile = (&'static str, String, String);

fn tiles(run: &RunFiles, profile: Option<&Profile>) -> Markup {
    let mut tiles: Vec<Tile> = Vec::new();
    if let Some(summary) = &run.summary {
        tiles.push((
            "test accuracy",
            percent(summary.test_acc),
            format!("loss {}", short_number(summary.test_loss)),
        ));
    }
    let epochs = run.column("epoch").len();
    let seconds = run.column("seconds").iter().flatten().sum::<f64>();
    if epochs > 0 {
        tiles.push((
            "epochs",
            epochs.to_string(),
            format!("in {}", time(seconds)),
        ));
    }
    let median = |name: &str| median(run.column(name).iter().flatten().copied());
    if let Some(speed) = median("train_samples_per_s") {
        let testing = median("test_samples_per_s");
        let testing = testing.map_or(String::new(), |speed| format!("; testing {speed:.0}/s"));
        let speed = format!("{speed:.0}/s");
        tiles.push(("training speed", speed, format!("samples{testing}")));
    }
    if let Some(waiting) = median("waiting_for_data") {
        let of = "of the time, without a batch".to_owned();
        tiles.push(("waiting for data", percent(waiting), of));
    }
    if let Some(silent) = run.column("silent_neurons").iter().flatten().next_back() {
        let of = "of the neurons, in the last epoch".to_owned();
        tiles.push(("never fired", percent(*silent), of));
    }
    if let Some(profile) = profile {
        let cost = &profile.cost;
        tiles.push((
            "energy a sample",
            joules(cost.energy_uj),
            format!("dense: {}", joules(cost.dense_energy_uj)),
        ));
        tiles.push((
            "parameters",
            number(cost.parameters as f64),
            bytes(cost.parameter_bytes),
        ));
    }
    html! {
        dl.tiles {
            @for (what, value, note) in &tiles {
                div { dt { (what) } dd { (value) small { (note) } } }
            }
        }
    }
}

fn costs(profile: Option<&Profile>) -> Markup {
    html! {
        h2 { "What it costs" }
        @match profile {
            None => {
                p.note {
                    "Not known: " code { "dvs-train profile RUN" }
                    " finds it out for a run that has ended, and the next report has it."
                }
            },
            Some(profile) => { (tables::cost(&profile.cost)) (assumptions(&profile.cost)) },
        }
    }
}

fn assumptions(cost: &Cost) -> Markup {
    let one = cost
        .energy
        .microjoules(cost.dense_macs_per_frame as f64, 0.0);
    html! {
        p {
            "A sample takes " b { (joules(cost.energy_uj)) } "; the dense network would take " (joules(cost.dense_energy_uj))
            " for all " (cost.steps) " frames, " (joules(one)) " for one. Taken are " (cost.energy.mac_pj)
            " pJ for a multiply-accumulate (MAC) and " (cost.energy.ac_pj) " pJ for an accumulate (AC); 32-bit floating point \
            in 45 nm takes 4.6 and 0.9 (M. Horowitz, ISSCC 2014). It is the " (ENERGY_LIMITS) "."
        }
        p {
            "The first layer's inputs are counts of events: each cell with events is a MAC at every synapse. Event by event it \
            would be " (number(cost.event_acs)) " AC."
        }
        p {
            "Memory: " (bytes(cost.parameter_bytes)) " of parameters, " (bytes(cost.statistics_bytes)) " of batch norm's \
            statistics, " (bytes(cost.potential_bytes)) " of potentials for one sample."
        }
    }
}

fn shown(samples: Result<&Pictures, &anyhow::Error>) -> Markup {
    html! {
        @match samples {
            Err(reason) => { p.note { "None are shown: " (format!("{reason:#}")) "." } },
            Ok(pictures) => {
                p.note { "Test samples of different classes, frame by frame. ON events are blue, OFF events orange." }
                img.moving src=(pictures.animation) alt={ "Animation of the samples " (pictures.names.join(", ")) };
                details {
                    summary { "The same as a contact sheet" }
                    img src=(pictures.sheet) alt={ "Contact sheet of the samples " (pictures.names.join(", ")) };
                }
            },
        }
    }
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 6000.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}
