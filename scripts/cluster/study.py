#!/usr/bin/env python3
"""Searches for good settings with Optuna, and ends runs early that promise little.

    study.py TRIALS [OPTIONS of dvs-train]      needs: pip install optuna

Start it several times to use several GPUs: all share study.db and learn from each other's trials. If it is stopped, the trial
of that moment counts as failed.
"""
import json
import os
import signal
import subprocess
import sys

import optuna
from optuna.trial import TrialState

if len(sys.argv) < 2 or not sys.argv[1].isdecimal():
    sys.exit(__doc__)
run, stopped = None, False


# Several copies of this script, started by one srun, are not ranks of one run.
ALONE = os.environ | {"RANK": "0", "WORLD_SIZE": "1"}


def stop(*_):
    """Ends the run on SIGTERM. The trial is then told as failed."""
    global stopped
    stopped = True
    if run:
        run.terminate()


signal.signal(signal.SIGTERM, stop)
study = optuna.create_study(
    study_name="dvs", storage="sqlite:///study.db", load_if_exists=True, direction="maximize",
    pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=2))
for _ in range(int(sys.argv[1])):
    trial = study.ask()
    options = {"--lr": trial.suggest_float("lr", 1e-4, 2e-2, log=True), "--tau": trial.suggest_float("tau", 1.2, 4.0)}
    command = ["dvs-train", *sys.argv[2:], *(str(word) for option in options.items() for word in option),
               "--out-dir", f"study/{trial.number}", "--json"]
    run, state, acc = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ALONE), TrialState.FAIL, None
    if stopped:
        run.terminate()
    for line in map(json.loads, run.stdout):
        if line["event"] == "end":
            state = TrialState.COMPLETE if line["status"] == "finished" else TrialState.PRUNED
            continue
        acc = line["max_acc"]
        trial.report(line["acc"], line["epoch"])
        if state != TrialState.PRUNED and trial.should_prune():
            state = TrialState.PRUNED
            run.terminate()
    run.wait()
    if stopped:
        state = TrialState.FAIL
    study.tell(trial, acc if state == TrialState.COMPLETE else None, state=state)
    if state == TrialState.FAIL:
        sys.exit(143 if stopped else f"trial {trial.number} failed: {' '.join(command)}")
best = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
print(f"best: {study.best_value:.4f} with {study.best_params}" if best else "no trial has ended")
