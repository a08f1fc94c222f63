//! `dvs-prep`: prepares, inspects, verifies or generates the DVS128 Gesture archive.

mod cli;
mod commands;
mod signals;

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser};
use dvs_prep::synth::{write_archive, write_classes};
use dvs_shared::CacheFile;
use dvs_shared::manual;

use crate::cli::{
    Cli, Command, CompletionsArgs, ExportArgs, InfoArgs, ManArgs, PrepareArgs, SynthArgs,
    VerifyArgs, options, progress, report,
};

// The system allocator returns large blocks at once, so the same pages are faulted in repeatedly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Milliseconds for which the allocator keeps freed memory before it returns it to the system.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> ExitCode {
    // No delay: the program itself keeps buffers for reuse (`memory_budget`), and a freed copy of
    // the largest recording beside a live one would exceed the memory limit.
    // SAFETY: the documentation only requires that no other thread sets options at the same time.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 0) };
    if let Err(error) = signals::clean_up_on_ending() {
        eprintln!("dvs-prep: cannot watch for signals: {error}");
        return ExitCode::FAILURE;
    }
    let cli = Cli::parse();
    let mut out = io::stdout().lock();
    let result = match cli.command {
        None => prepare(&cli.prepare, &mut out),
        Some(Command::Prepare(args)) => prepare(&args, &mut out),
        Some(Command::Key(args)) => key(&args, &mut out),
        Some(Command::Synth(args)) => synth(args, &mut out),
        Some(Command::Export(args)) => export(&args, &mut out),
        Some(Command::Info(args)) => info(&args, &mut out),
        Some(Command::Verify(args)) => verify(&args, &mut out),
        Some(Command::View(args)) => commands::view::view(&args, &mut out),
        Some(Command::Completions(args)) => completions(&args, &mut out),
        Some(Command::Man(args)) => man(&args, &mut out),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that stops early, such as `head`, is not a failure.
        Err(error)
            if error
                .downcast_ref::<io::Error>()
                .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("dvs-prep: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn prepare(args: &PrepareArgs, out: &mut impl Write) -> Result<()> {
    let options = options::resolve(args)?;
    let summary = commands::prepare::prepare(&options)?;
    Ok(summary.write(out, options.json)?)
}

fn key(args: &PrepareArgs, out: &mut impl Write) -> Result<()> {
    let options = options::resolve(args)?;
    let key = commands::key::key(&options)?;
    Ok(key.write(out, options.json)?)
}

fn export(args: &ExportArgs, out: &mut impl Write) -> Result<()> {
    let exported = commands::export::export(args)?;
    Ok(exported.write(out, args.json)?)
}

fn synth(args: SynthArgs, out: &mut impl Write) -> Result<()> {
    let json = args.json;
    if let Some(options) = options::synth_classes(&args) {
        commands::clear_up_unlocked(&options.output, &[]);
        let summary = write_classes(&options)?;
        return Ok(report::write_synth(out, &options.output, &summary, json)?);
    }
    let options = options::synth(args);
    if let Some(folder) = options.output.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    commands::clear_up_unlocked(&options.output, &[]);
    let bar = progress::synth_bar();
    let summary = write_archive(&options, |done| progress::show_synth(&bar, done))?;
    bar.finish_and_clear();
    Ok(report::write_synth(out, &options.output, &summary, json)?)
}

fn info(args: &InfoArgs, out: &mut impl Write) -> Result<()> {
    let cache = CacheFile::open(&args.file)?;
    Ok(report::Contents::of(&cache).write(out, args.json)?)
}

fn verify(args: &VerifyArgs, out: &mut impl Write) -> Result<()> {
    let jobs = options::jobs(args.jobs);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(jobs)
        .build()
        .context("cannot start threads")?;
    let samples = pool.install(|| commands::verify::verify(&args.file))?;
    Ok(report::write_verified(out, &args.file, samples, args.json)?)
}

fn completions(args: &CompletionsArgs, out: &mut impl Write) -> Result<()> {
    Ok(out.write_all(&manual::completions(Cli::command(), args.shell))?)
}

fn man(args: &ManArgs, out: &mut impl Write) -> Result<()> {
    for page in manual::write_man_pages(Cli::command(), &args.folder)? {
        writeln!(out, "{}", page.display())?;
    }
    Ok(())
}
