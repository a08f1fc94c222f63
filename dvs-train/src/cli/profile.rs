//! The flags of `profile`.

use clap::Args;

use crate::cli::EvalArgs;

/// Flags of `profile`.
#[derive(Args, Clone, Debug)]
pub struct ProfileArgs {
    // As for eval, because the cost depends on the samples.
    #[command(flatten)]
    pub eval: EvalArgs,

    /// Energy of a multiply-accumulate, in pJ [default: 4.6, for 32-bit floating point in 45 nm]
    #[arg(
        long,
        default_value_t = 4.6,
        hide_default_value = true,
        allow_negative_numbers = true,
        value_name = "PJ"
    )]
    pub mac_pj: f64,

    /// Energy of an accumulate, in pJ [default: 0.9, for 32-bit floating point in 45 nm]
    #[arg(
        long,
        default_value_t = 0.9,
        hide_default_value = true,
        allow_negative_numbers = true,
        value_name = "PJ"
    )]
    pub ac_pj: f64,
}
