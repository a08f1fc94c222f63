"""Makes tests/data/inputs.tar.gz: the same few gestures as recordings and as SpikingJelly 2.0 and figshare keep them.

Run it where SpikingJelly is installed:  python scripts/make_inputs.py tests/data/inputs.tar.gz

recordings/                        two recordings in AEDAT 3.1 with label files and trial lists, made up here
sj/events_np/                      what SpikingJelly's own DVS128Gesture makes of them
sj/frames_number_4_split_by_.../   what it makes of those, by number and by time
sj/duration_20000/                 the same by duration
figshare/ibmGestureTrain, ...Test  the same events as [events, 4] arrays of x, y, p and milliseconds, as tonic reads them:
                                   in 64 bits for training, in 32 bits and Fortran's order for testing
"""

import struct
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from spikingjelly.datasets.dvs128_gesture import DVS128Gesture

ARCHIVE = Path(sys.argv[1])
# Recording, first time in us (the second is beyond 31 bits), rows of class, start and end relative to it.
RECORDINGS = {
    "user01_led": (1_000, [(3, 10_000, 60_000), (1, 70_000, 120_000), (3, 130_000, 200_000), (11, 190_000, 200_001)]),
    "user02_lab": (2_147_400_000, [(2, 5_000, 90_000), (9, 80_000, 190_000)]),
}


def recording(name, start):
    """2,000 events, some 100 us apart, in packets of 128."""
    random = np.random.default_rng(len(name) + start)
    t = start + np.sort(random.integers(0, 200_000, 2_000))
    t[-1] = start + 200_000
    x, y = random.integers(0, 128, (2, 2_000))
    p = random.integers(0, 2, 2_000)
    content = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
    high = t >> 31
    cuts = sorted({0, 2_000, *range(0, 2_000, 128), *(np.flatnonzero(np.diff(high)) + 1).tolist()})
    for first, last in zip(cuts, cuts[1:]):
        number = last - first
        content += struct.pack("<HHIIIIII", 1, 0, 8, 4, high[first], number, number, number)
        for i in range(first, last):
            word = 1 | p[i] << 1 | y[i] << 2 | x[i] << 17
            content += struct.pack("<II", word, t[i] & 0x7FFFFFFF)
    return content


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    recordings = folder / "recordings"
    recordings.mkdir()
    for name, (start, rows) in RECORDINGS.items():
        (recordings / f"{name}.aedat").write_bytes(recording(name, start))
        lines = [f"{c},{start + a},{start + b}\n" for c, a, b in rows]
        (recordings / f"{name}_labels.csv").write_text("class,startTime_usec,endTime_usec\n" + "".join(lines))
    (recordings / "trials_to_train.txt").write_text("user01_led.aedat\n")
    (recordings / "trials_to_test.txt").write_text("user02_lab.aedat\n")

    root = folder / "sj"
    extract = folder / "extract"
    extract.mkdir()
    (extract / "DvsGesture").symlink_to(recordings)
    (root / "events_np").mkdir(parents=True)
    DVS128Gesture.create_raw_from_extracted(extract, root / "events_np")
    # A folder is made for every class, and loading refuses those without samples.
    for label in list((root / "events_np").glob("*/*")):
        if not any(label.iterdir()):
            label.rmdir()
    for how in [dict(frames_number=4, split_by="number"), dict(frames_number=4, split_by="time"), dict(duration=20_000)]:
        DVS128Gesture(root, train=True, data_type="frame", **how)

    for number, (name, split) in enumerate([("ibmGestureTrain", "train"), ("ibmGestureTest", "test")]):
        for file in sorted((root / "events_np" / split).glob("*/*_0.npz")):
            events = np.load(file)
            columns = [events["x"], events["y"], events["p"], events["t"] / 1000]
            array = np.stack(columns, axis=1).astype([np.float64, np.float32][number])
            place = folder / "figshare" / name / file.stem.removesuffix("_0")
            place.mkdir(parents=True, exist_ok=True)
            np.save(place / f"{file.parent.name}.npy", [np.ascontiguousarray, np.asfortranarray][number](array))

    def plain(info):
        info.mtime = info.uid = info.gid = 0
        info.uname = info.gname = ""
        info.mode = 0o755 if info.isdir() else 0o644
        return info

    with tarfile.open(ARCHIVE, "w:gz", compresslevel=9) as tar:
        for part in ["recordings", "sj", "figshare"]:
            tar.add(folder / part, part, filter=plain)
