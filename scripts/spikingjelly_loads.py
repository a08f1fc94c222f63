"""Shows that SpikingJelly loads what `dvs-prep export` writes, and finds in it what it makes itself.

Run it where SpikingJelly is installed, with a built dvs-prep:

    python scripts/spikingjelly_loads.py target/release/dvs-prep tests/data/DvsGesture-mini.tar.gz

It exports events and frames of the archive and loads both sets of each with DVS128Gesture. The frames must equal those that
SpikingJelly integrates from the exported events, sample for sample.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from spikingjelly.datasets.dvs128_gesture import DVS128Gesture

PROGRAM, ARCHIVE = sys.argv[1:]
SPLITS = [
    (["-T", "16", "--split", "number"], dict(frames_number=16, split_by="number")),
    (["-T", "16", "--split", "time"], dict(frames_number=16, split_by="time")),
    (["--duration", "100ms"], dict(duration=100_000)),
]


def program(*args):
    subprocess.run([PROGRAM, *map(str, args)], check=True, stdout=subprocess.DEVNULL)


with tempfile.TemporaryDirectory() as folder:
    ours, theirs = Path(folder) / "ours", Path(folder) / "theirs"
    program("export", ARCHIVE, "--to", "events-npz", "--keep-invalid", "-o", theirs)
    for train in (True, False):
        events = DVS128Gesture(theirs, train=train, data_type="event")
        number = sum(len(events[i][0]["t"]) for i in range(len(events)))
        print(f"train={train}: {len(events)} samples, {number} events")
    for options, how in SPLITS:
        cache = Path(folder) / "cache.h5"
        program("-i", ARCHIVE, "-o", cache, "--keep-invalid", "--force", *options)
        program("export", cache, "--to", "npz", "-o", ours)
        for train in (True, False):
            exported = DVS128Gesture(ours, train=train, data_type="frame", **how)
            made = DVS128Gesture(theirs, train=train, data_type="frame", **how)
            assert len(exported) == len(made)
            for i in range(len(made)):
                (frames, label), (expected, expected_label) = exported[i], made[i]
                assert label == expected_label and frames.dtype == expected.dtype
                assert np.array_equal(frames, expected), exported.samples[i]
            print(f"{how}, train={train}: {len(made)} samples equal, {frames.shape} {frames.dtype}")
