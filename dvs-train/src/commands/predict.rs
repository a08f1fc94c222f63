//! `dvs-train predict`: classifies one sample, and shows the firing rate of each class step by
//! step.

mod input;

use std::fmt::Write;

use anyhow::{Context, Result};
use burn::tensor::{Tensor, TensorData};
use dvs_shared::words::counted;
use serde_json::{Value, json};

use self::input::{Input, Shape};
use crate::cli::PredictArgs;
use crate::console::print;
use crate::device::{self, on_device};
use crate::nn::network::SnnBackend;
use crate::run_dir::loaded_model::LoadedModel;

/// Predicts as `args` ask and prints the result.
///
/// # Errors
/// Returns an error if the checkpoint or the input cannot be used, or the device fails.
pub fn run(args: &PredictArgs) -> Result<()> {
    let device = device::resolve(args.device)?;
    let remedy = "see what else uses it";
    print(&device::guard(&device, remedy, || {
        on_device!(&device, |B, device| run_on::<B>(args, device))
    })?)
}

/// Returns what to print.
fn run_on<B: SnnBackend>(args: &PredictArgs, device: &B::Device) -> Result<String> {
    let trained = LoadedModel::<B>::load(&args.checkpoint, device)?;
    let settings = &trained.state.settings;
    let [height, width] = settings.size;
    let shape = Shape {
        split: trained.split(),
        sensor: settings.sensor(),
        keep_invalid: settings.keep_invalid,
        label_names: &settings.label_names,
    };
    let input = input::read(args, shape, |cache| trained.check(cache))?;
    let steps = trained.split().frames() as usize;
    let frames = TensorData::new(input.counts.clone(), [steps, 1, 2, height, width]);
    let votes = trained
        .network
        .votes(Tensor::from_data(frames, device), &mut ()); // [T, 1, K]
    let votes = votes
        .try_into_data()
        .context("the device failed while it computed")?;
    let votes: Vec<f64> = votes.iter::<f64>().collect();
    let names = &settings.label_names;
    let answer = Answer::new(&votes, names.len());
    Ok(match args.json {
        true => format!("{}\n", answer.to_json(&input, names)),
        false => answer.to_text(&input, names),
    })
}

/// Cumulative firing rates of the classes, step by step; the last are the network's output.
#[derive(Clone, Debug, PartialEq)]
struct Answer {
    rates: Vec<Vec<f64>>,
}

impl Answer {
    /// Computes the rates from votes `[T, classes]`; T is at least 1.
    fn new(votes: &[f64], classes: usize) -> Self {
        let mut sums = vec![0.0; classes];
        let rates = votes.chunks_exact(classes).enumerate().map(|(t, votes)| {
            sums.iter_mut()
                .zip(votes)
                .for_each(|(sum, vote)| *sum += vote);
            sums.iter().map(|sum| sum / (t + 1) as f64).collect()
        });
        Self {
            rates: rates.collect(),
        }
    }

    /// Firing rates after all steps.
    fn last(&self) -> &[f64] {
        self.rates.last().map_or(&[], Vec::as_slice)
    }

    /// The predicted class; `None` if no output neuron fired.
    fn guess(&self) -> Option<usize> {
        leading(self.last())
    }

    /// The step, counted from 1, since which the predicted class has led; `None` if no class is
    /// predicted.
    fn known_from(&self) -> Option<usize> {
        let guess = self.guess()?;
        let unlike = self
            .rates
            .iter()
            .rposition(|rates| leading(rates) != Some(guess));
        Some(unlike.map_or(1, |t| t + 2))
    }

    /// The prediction in words, compared with the label.
    fn verdict(&self, input: &Input, name: impl Fn(usize) -> String) -> String {
        let (Some(guess), Some(step)) = (self.guess(), self.known_from()) else {
            let label = input.label.map_or(String::new(), |label| {
                format!("; its label is {label} {}", name(label.into()))
            });
            return format!("no answer, because no output neuron fired{label} (");
        };
        let label = match input.label {
            Some(label) if usize::from(label) == guess => ", which its label says too".to_owned(),
            Some(label) => format!(", but its label is {label} {}", name(label.into())),
            None => String::new(),
        };
        format!(
            "{guess} {}{label} (firing rate {:.3}, leading from step {step} of {} on; ",
            name(guess),
            self.last()[guess],
            self.rates.len()
        )
    }

    fn to_text(&self, input: &Input, names: &[String]) -> String {
        // A recording may have a label that the network does not know.
        let name = |label: usize| {
            let name = names.get(label);
            name.map_or("of no known class", String::as_str).to_owned()
        };
        let (start, end) = input.window;
        let mut text = format!(
            "{}: {}{} from {start} to {end} us)\n\nfiring rate of each class over the steps so far\n{:>4}",
            input.name,
            self.verdict(input, name),
            counted(input.events, "event"),
            "step"
        );
        // Writing to a string cannot fail.
        for label in 0..names.len() {
            let _ = write!(text, " {label:>5}");
        }
        text += "  leading\n";
        for (t, rates) in self.rates.iter().enumerate() {
            let _ = write!(text, "{:>4}", t + 1);
            for rate in rates {
                let _ = match *rate {
                    0.0 => write!(text, " {:>5}", "."),
                    rate => write!(text, " {rate:>5.2}"),
                };
            }
            let leader = leading(rates).map_or("-".to_owned(), name);
            let _ = writeln!(text, "  {leader}");
        }
        if let Some(recognised) = &input.recognised {
            let _ = writeln!(text, "recognised {recognised}");
        }
        text
    }

    fn to_json(&self, input: &Input, names: &[String]) -> Value {
        let guess = self.guess();
        json!({
            "sample": input.name,
            "label": input.label,
            "start_us": input.window.0,
            "end_us": input.window.1,
            "events": input.events,
            "recognised": input.recognised,
            "gesture": guess,
            "gesture_name": guess.and_then(|guess| names.get(guess)),
            "label_names": names,
            "firing_rates": self.last(),
            "leading_from_step": self.known_from(),
            "firing_rates_by_step": self.rates,
        })
    }
}

/// The class with the highest rate, or the first of several; `None` if no output neuron fired.
fn leading(rates: &[f64]) -> Option<usize> {
    let first = |best: usize, at: usize| if rates[at] > rates[best] { at } else { best };
    let best = (0..rates.len()).fold(0, first);
    rates
        .get(best)
        .is_some_and(|&rate| rate > 0.0)
        .then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computes_cumulative_firing_rates_and_leading_step() {
        const CLASSES: usize = 11;
        let mut votes = vec![0.0; 4 * CLASSES];
        votes[2] = 0.4; // step 1: class 2
        votes[CLASSES + 5] = 0.6; // step 2: class 5 overtakes
        votes[2 * CLASSES + 2] = 0.1;
        votes[3 * CLASSES + 5] = 0.2;
        let answer = Answer::new(&votes, CLASSES);
        assert_eq!((answer.guess(), answer.known_from()), (Some(5), Some(2)));
        assert_eq!(answer.rates[1][2], 0.2);
        assert_eq!(answer.rates[3][5], 0.2);
        let silent = Answer::new(&[0.0; 2 * CLASSES], CLASSES);
        assert_eq!((silent.guess(), silent.known_from()), (None, None));
    }
}
