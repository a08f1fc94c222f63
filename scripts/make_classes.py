"""Makes tests/data/classes.tar.gz: small data in the form of CIFAR10-DVS and of N-MNIST, and what SpikingJelly 2.0 makes of it.

Run it where SpikingJelly is installed:  python scripts/make_classes.py tests/data/classes.tar.gz

cifar10dvs/airplane/cifar10_airplane_0.aedat, ...   3 classes of 4 recordings in AEDAT 2.0, made up here
cifar10dvs-sj/frames_number_4_split_by_number, ...  what SpikingJelly's CIFAR10DVS makes of them
cifar10dvs-sj/split.txt                             how its split_to_train_test_set(0.75, ..) divides them: set and file
nmnist/Train/0/00001.bin, nmnist/Test/...           3 classes of 2 and 2 files with events of 40 bits, made up here
nmnist-sj/...                                       what SpikingJelly's NMNIST makes of them
"""

import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from spikingjelly.datasets.cifar10_dvs import CIFAR10DVS
from spikingjelly.datasets.n_mnist import NMNIST
from spikingjelly.datasets.utils import split_to_train_test_set

ARCHIVE = Path(sys.argv[1])
HEADER = (
    b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n"
    b"# Data format is int32 address, int32 timestamp (8 bytes total), repeated for each event\r\n"
    b"# Timestamps tick is 1 us\r\n# created Thu Nov 26 10:00:00 2026\r\n"
)
# As text, 10 comes before 2.
NUMBERS = [0, 1, 10, 2]
WAYS = [dict(frames_number=4, split_by="number"), dict(frames_number=4, split_by="time"), dict(duration=20_000)]


def events(seed, number, pixels):
    """Times, columns, rows and polarities of events along a line, whose place and slope differ from file to file."""
    random = np.random.default_rng(seed)
    t = np.sort(random.integers(0, 100_000, number))
    along = random.integers(0, pixels, number)
    across = (along // (2 + seed % 3) + seed * 5 + random.integers(0, 3, number)) % pixels
    return t, along, across, random.integers(0, 2, number)


def write_cifar10dvs(folder):
    for label, name in enumerate(["airplane", "bird", "truck"]):
        (folder / name).mkdir(parents=True)
        for number in NUMBERS:
            seed = 100 * label + number
            # Files begin at any time of the camera's clock.
            t, low, high, bit = events(seed, 1_200 + seed, 128)
            address = high << 8 | low << 1 | bit
            words = np.stack([address, t + 7_000_000 * seed], axis=1).astype(">u4")
            (folder / name / f"cifar10_{name}_{number}.aedat").write_bytes(HEADER + words.tobytes())


def write_nmnist(folder):
    for number, (split, label) in enumerate((s, c) for s in ["Train", "Test"] for c in [0, 3, 7]):
        place = folder / split / str(label)
        place.mkdir(parents=True)
        for k in [1, 2]:
            # Both sets have files of the same name.
            t, x, y, p = events(7 * number + k, 900 + number, 34)
            time = p << 23 | t + 100
            columns = [x, y, time >> 16, time >> 8 & 0xFF, time & 0xFF]
            (place / f"{k:05}.bin").write_bytes(np.stack(columns, axis=1).astype(np.uint8).tobytes())


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    write_cifar10dvs(folder / "cifar10dvs")
    root = folder / "cifar10dvs-sj"
    (root / "events_np").mkdir(parents=True)
    CIFAR10DVS.create_raw_from_extracted(folder / "cifar10dvs", root / "events_np")
    for way in WAYS:
        dataset = CIFAR10DVS(str(root), data_type="frame", **way)
    dataset = CIFAR10DVS(str(root), data_type="frame", **WAYS[0])
    sets = zip(["train", "test"], split_to_train_test_set(0.75, dataset, 3))
    files = [(name, Path(dataset.samples[i][0])) for name, part in sets for i in part.indices]
    (root / "split.txt").write_text("".join(f"{name} {file.parent.name}/{file.stem}\n" for name, file in files))

    write_nmnist(folder / "nmnist")
    root = folder / "nmnist-sj"
    (root / "events_np").mkdir(parents=True)
    # Its loader wants a folder for every digit.
    extract = folder / "extract"
    for split in ["Train", "Test"]:
        for label in range(10):
            place = extract / split / str(label)
            place.mkdir(parents=True)
            for file in (folder / "nmnist" / split / str(label)).glob("*.bin"):
                (place / file.name).symlink_to(file)
    NMNIST.create_raw_from_extracted(extract, root / "events_np")
    for label in list((root / "events_np").glob("*/*")):
        if not any(label.iterdir()):
            label.rmdir()
    for way in WAYS:
        NMNIST(str(root), train=True, data_type="frame", **way)

    def plain(info):
        info.mtime = info.uid = info.gid = 0
        info.uname = info.gname = ""
        info.mode = 0o644
        return info

    with tarfile.open(ARCHIVE, "w:gz", compresslevel=9) as archive:
        for name in ["cifar10dvs", "cifar10dvs-sj", "nmnist", "nmnist-sj"]:
            for file in sorted((folder / name).rglob("*")):
                if not file.is_file() or file.name.startswith(".") or "events_np" in file.parts:
                    continue
                if file.suffix == ".npz":
                    # SpikingJelly stores counts as floats.
                    np.savez_compressed(file, frames=np.load(file)["frames"].astype(np.uint16))
                archive.add(file, file.relative_to(folder), filter=plain)
