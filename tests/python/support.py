"""Caches for the tests, and the program that makes them."""

import atexit
import os
import shutil
import subprocess
import tempfile
import zlib
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np

DATA = Path(__file__).parents[1] / "data"
SPLITS = {
    "number16": ["--frames", "16", "--split", "number"],
    "time16": ["--frames", "16", "--split", "time"],
    "duration100000": ["--duration", "100ms"],
}
"""Options of dvs-prep, by the name that the peer's frames in `tests/data` have."""


def program():
    """The dvs-prep under test: $DVS_PREP, or the one on PATH."""
    found = os.environ.get("DVS_PREP") or shutil.which("dvs-prep")
    if not found:
        raise RuntimeError("these tests run dvs-prep: name it in $DVS_PREP, or put it on PATH")
    return str(Path(found).resolve())


def archive(name="mini"):
    return DATA / f"DvsGesture-{name}.tar.gz"


@lru_cache(maxsize=None)
def folder():
    """A folder that is removed when the tests end."""
    path = tempfile.mkdtemp(prefix="dvs-prep-python-")
    atexit.register(shutil.rmtree, path)
    return Path(path)


@lru_cache(maxsize=None)
def cache(split="number16", name="mini"):
    """The cache of an archive. No test changes it."""
    path = folder() / f"{name}-{split}.h5"
    run("-i", archive(name), "-o", path, *SPLITS[split])
    return path


def run(*arguments):
    """What dvs-prep prints."""
    command = [program(), *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def altered(alter, split="number16"):
    """A copy of a cache that `alter` has changed with h5py."""
    handle, path = tempfile.mkstemp(".h5", dir=folder())
    os.close(handle)
    shutil.copy(cache(split), path)
    with h5py.File(path, "r+") as file:
        alter(file)
    return Path(path)


def replace(group, name, **options):
    """Puts another dataset in the place of a member of a group."""
    del group[name]
    return group.create_dataset(name, **options)


def widen(file, count_type):
    """Stores the frames of both sets in a wider type, as dvs-prep does if a count needs it, with new checksums."""
    for name in ("train", "test"):
        group = file[name]
        frames = group["frames"][:].astype(count_type)
        chunk = (1, *frames.shape[1:])
        replace(group, "frames", data=frames, chunks=chunk, compression="gzip", compression_opts=1, shuffle=True)
        group["checksums"][:] = [zlib.crc32(sample.tobytes()) for sample in frames]
        del group.attrs["rows_crc32"]


@lru_cache(maxsize=None)
def peer_frames(name):
    """SpikingJelly's frames of an archive, by `set|sample@label|split`."""
    with np.load(DATA / f"frames-{name}.npz") as frames:
        return dict(frames)
