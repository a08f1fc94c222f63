"""The cache through plain h5py, as the README shows, against the peer's frames: read_with_h5py.py DVS_PREP"""
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

data = Path(__file__).parent / "data"
for fixture, split in [("mini", ["--frames", "16", "--split", "number"]), ("edge", ["--duration", "100ms"])]:
    key = "number16" if "--frames" in split else "duration100000"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cache.h5"
        archive = data / f"DvsGesture-{fixture}.tar.gz"
        subprocess.run([sys.argv[1], "-i", archive, "-o", path, *split], check=True, stdout=subprocess.DEVNULL)
        peer = np.load(data / f"frames-{fixture}.npz")
        with h5py.File(path) as cache:
            assert cache.attrs["format"] == "dvs-frame-cache" and cache.attrs["format_version"] == 1
            assert cache.attrs["complete"] == 1 and cache.attrs["split_by"] == ("number" if "--frames" in split else "duration")
            assert len(cache["label_names"].asstr()[:]) == 11
            read = 0
            for name in ("train", "test"):
                group = cache[name]
                offsets = group["offsets"][:] if "offsets" in group else None
                for i, (sample, label) in enumerate(zip(group["names"].asstr()[:], group["labels"][:])):
                    frames = group["frames"][i] if offsets is None else group["frames"][offsets[i] : offsets[i + 1]]
                    expected = peer[f"{name}|{sample}@{label}|{key}"]
                    assert frames.shape == expected.shape and (frames == expected).all(), (name, sample, label)
                    assert frames.sum() == group["events"][i]
                    read += 1
            print(f"h5py reads {read} samples of {archive.name} ({' '.join(split)}), all equal to the peer's")
