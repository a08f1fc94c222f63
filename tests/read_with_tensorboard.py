"""A run's event files through Python's tensorboard, against its metrics.csv: read_with_tensorboard.py DVS_PREP DVS_TRAIN"""
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

prep, train = sys.argv[1:]
archive = Path(__file__).parent / "data" / "DvsGesture-mini.tar.gz"
with tempfile.TemporaryDirectory() as folder:
    cache, logs = Path(folder) / "cache.h5", Path(folder) / "logs"
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([prep, "-T", "2", "-i", archive, "-o", cache], **quiet)
    flags = ["--cache", cache, "--channels", "4", "-b", "4", "--neuron", "plif"]
    subprocess.run([train, *flags, "--epochs", "2", "--out-dir", logs], **quiet)
    (run,) = logs.iterdir()
    # Going on writes a second file, whose epochs come after the first one's.
    subprocess.run([train, "--resume", run, "--epochs", "4"], **quiet)
    events = EventAccumulator(str(run))
    events.Reload()
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    columns = {name for name in rows[0] if name != "epoch" and rows[0][name]}
    assert set(events.Tags()["scalars"]) == columns, set(events.Tags()["scalars"]) ^ columns
    for name in columns:
        scalars = events.Scalars(name)
        assert [scalar.step for scalar in scalars] == [0, 1, 2, 3], name
        for scalar, row in zip(scalars, rows):
            # Event files hold single precision.
            assert abs(scalar.value - float(row[name])) <= 1e-6 * abs(float(row[name])), (name, scalar, row[name])
    print(f"tensorboard reads {len(columns)} scalars of {len(rows)} epochs, all equal to those of metrics.csv")
