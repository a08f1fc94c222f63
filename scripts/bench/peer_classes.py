#!/usr/bin/env python3
"""Times SpikingJelly 2.0 on files in N-MNIST's form; scripts/bench/classes runs it.

    peer_classes.py FOLDER      seconds of its reader alone, of its way to .npz and on to frames; prints one JSON object
"""
import contextlib
import io
import json
import logging
import sys
import tempfile
import time
from pathlib import Path

from spikingjelly.datasets.n_mnist import NMNIST
from spikingjelly.datasets.utils import load_ATIS_bin

logging.disable(logging.CRITICAL)
FILES = Path(sys.argv[1])
paths = sorted(FILES.rglob("*.bin"))
events = 0
start = time.perf_counter()
for path in paths:
    events += len(load_ATIS_bin(path)["t"])
reading = time.perf_counter() - start

with tempfile.TemporaryDirectory() as root, contextlib.redirect_stdout(io.StringIO()):
    arrays = Path(root) / "events_np"
    arrays.mkdir()
    start = time.perf_counter()
    NMNIST.create_raw_from_extracted(FILES, arrays)
    converting = time.perf_counter() - start
    NMNIST(root, train=True, data_type="frame", frames_number=16, split_by="number")
    whole = time.perf_counter() - start
seconds = {
    "SpikingJelly, load_ATIS_bin": reading,
    "SpikingJelly, files to .npz of events": converting,
    "SpikingJelly, files to frames": whole,
}
print(json.dumps({"events": events, **seconds}))
