"""Makes tests/data/prophesee.tar.gz: recordings as faery and expelliarmus write them for Prophesee's cameras.

Run it where these and evlib are installed (pip install faery==0.7.1 expelliarmus==1.1.12 evlib==0.13.2):

    python scripts/make_prophesee.py tests/data/inputs.tar.gz tests/data/prophesee.tar.gz

evt3/, evt2/ and dat/ hold the two recordings of tests/data/inputs.tar.gz, each with label files and trial lists:

evt3/user01_led.raw, evt3/user02_lab.raw   by faery; the second has a line `% t0`, because its times exceed 24 bits
evt2/user01_led.raw                        by expelliarmus, whose header has no size of the sensor
evt2/user02_lab.raw                        by faery
dat/user01_led.dat                         by expelliarmus, whose header has no size of the sensor
dat/user02_lab.dat                         by faery, with a line `% T0`

dense.raw is EVT 3.0 of 1280 x 720 pixels with vectors, single events and triggers, made here. dense.npy holds the events that
faery reads from it, and expelliarmus from the same file without triggers. gap.raw is EVT 3.0 by faery with times that wrap around, and gap.npy its events. evt21.raw is EVT 2.1, made here, and evt21.npy the
events that evlib reads from it.

What was seen of the peers in these versions, and what this script therefore does not use:
- expelliarmus writes EVT 3.0 with no upper part of the time after the first, so its own files lose times. Its reader adds
  4096 us whenever the lower part decreases, even if a word of the upper part stands before it; hence dense.raw ends before
  4096 us. It stops at a word of a trigger.
- faery has neither a writer nor a reader of EVT 2.1, and refuses `% format EVT21`. expelliarmus does not know EVT 2.1.
"""

import io
import struct
import sys
import tarfile
import tempfile
from pathlib import Path

import evlib
import faery
import numpy as np
from expelliarmus import Wizard
from faery.extension import dat, evt

INPUTS, ARCHIVE = sys.argv[1:]
SIZE, LARGE = (128, 128), (1280, 720)
OURS = [("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")]


def events(content):
    """Events of a recording in AEDAT 3.1."""
    end = b"#!END-HEADER\r\n"
    at, found = content.index(end) + len(end), []
    while at < len(content):
        _, _, size, _, overflow, capacity, number, _ = struct.unpack_from("<HHIIIIII", content, at)
        for word, t in struct.iter_unpack("<II", content[at + 28 : at + 28 + number * size]):
            found.append((overflow << 31 | t, word >> 17, word >> 2 & 0x7FFF, word >> 1 & 1))
        at += 28 + capacity * size
    return np.array(found, dtype=OURS)


def converted(array, names, types):
    """The columns t, x, y and p under other names."""
    other = np.zeros(len(array), dtype=list(zip(names, types)))
    for ours, theirs in zip("txyp", names):
        other[theirs] = array[ours]
    return other


def write_faery(path, array, size, version, zero_t0):
    if version == "dat":
        made = converted(array, ["t", "x", "y", "payload"], ["<u8", "<u2", "<u2", "u1"])
        encoder = dat.Encoder(path=path, version="dat2", event_type="cd", zero_t0=zero_t0, dimensions=size)
    else:
        made = np.zeros(len(array), dtype=faery.EVENTS_DTYPE)
        for name, column in zip(["t", "x", "y", "on"], "txyp"):
            made[name] = array[column]
        made = {"events": made}
        encoder = evt.Encoder(path=path, version=version, zero_t0=zero_t0, dimensions=size, enforce_monotonic=True)
    with encoder:
        encoder.write(made)


def read_faery(path):
    with evt.Decoder(path=path, dimensions_fallback=None, version_fallback=None) as decoder:
        read = np.concatenate([packet["events"] for packet in decoder if "events" in packet])
    array = np.zeros(len(read), dtype=OURS)
    for name, column in zip(["t", "x", "y", "on"], "txyp"):
        array[column] = read[name]
    return array


def write_expelliarmus(path, array, encoding):
    Wizard(encoding=encoding).save(fpath=path, arr=converted(array, "txyp", ["<i8", "<i2", "<i2", "u1"]))


def read_expelliarmus(path, encoding):
    return converted(Wizard(encoding=encoding).read(path), "txyp", [kind for _, kind in OURS])


def dense(triggers):
    """A recording in EVT 3.0: rows of vectors and single events, and words of time and triggers."""
    rng = np.random.default_rng(7)
    words = [0x8000, 0x6000]
    for t in range(1000, 4096, 3):
        words += [0x8000 | t >> 12, 0x6000 | t & 0xFFF]
        for _ in range(rng.integers(0, 3)):
            words.append(rng.integers(0, 720))
            polarity = int(rng.integers(0, 2)) << 11
            if rng.random() < 0.5:
                words += [0x2000 | polarity | rng.integers(0, 1280) for _ in range(rng.integers(1, 4))]
            else:
                words.append(0x3000 | polarity | rng.integers(0, 1280 - 64))
                for _ in range(rng.integers(1, 3)):
                    words += [0x4000 | rng.integers(0, 4096), 0x4000 | rng.integers(0, 4096), 0x5000 | rng.integers(0, 256)]
        if rng.random() < 0.1 and triggers:
            words.append(0xA001)
    text = b"% evt 3.0\n% format EVT3;height=720;width=1280\n% geometry 1280x720\n% end\n"
    return text + np.array(words, dtype="<u2").tobytes()


def evt21():
    """A recording in EVT 2.1: words of 32 pixels."""
    rng = np.random.default_rng(9)
    words, high = [], None
    for t in np.cumsum(rng.choice([0, 1, 30, 700], 600)) + 500:
        if t >> 6 != high:
            high = t >> 6
            words.append(8 << 60 | int(high) << 32)
        x, y = int(rng.integers(0, 40)) * 32, int(rng.integers(0, 720))
        mask = int(rng.integers(0, 1 << 32)) & int(rng.integers(0, 1 << 32))
        words.append(int(rng.integers(0, 2)) << 60 | int(t & 63) << 54 | x << 43 | y << 32 | mask)
    text = b"% evt 2.1\n% format EVT21;height=720;width=1280\n% geometry 1280x720\n% end\n"
    return text + np.array(words, dtype="<u8").tobytes()


def read_evlib(path):
    read = evlib.load_events(str(path)).collect()
    array = np.zeros(len(read), dtype=OURS)
    array["t"] = read["t"].dt.total_microseconds().to_numpy()
    array["x"], array["y"] = read["x"].to_numpy(), read["y"].to_numpy()
    array["p"] = read["polarity"].to_numpy() > 0
    return array


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


with tempfile.TemporaryDirectory() as folder, tarfile.open(INPUTS) as inputs, tarfile.open(ARCHIVE, "w:gz") as tar:

    def add(name, content):
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))

    first, second = (
        events(inputs.extractfile(f"recordings/{name}.aedat").read()) for name in ["user01_led", "user02_lab"]
    )
    for kind in ["evt3", "evt2", "dat"]:
        ending = "dat" if kind == "dat" else "raw"
        path = Path(folder) / f"file.{ending}"
        if kind == "evt3":
            write_faery(path, first, SIZE, "evt3", False)
        else:
            write_expelliarmus(path, first, kind)
        add(f"{kind}/user01_led.{ending}", path.read_bytes())
        write_faery(path, second, SIZE, kind, kind != "evt2")
        add(f"{kind}/user02_lab.{ending}", path.read_bytes())

    path = Path(folder) / "file.raw"
    path.write_bytes(dense(triggers=False))
    read = read_expelliarmus(path, "evt3")
    path.write_bytes(dense(triggers=True))
    assert np.array_equal(read_faery(path), read) and len(read) > 9000
    add("dense.raw", path.read_bytes())
    add("dense.npy", npy(read))

    rng = np.random.default_rng(8)
    gap = np.zeros(400, dtype=OURS)
    gap["t"] = np.cumsum(rng.choice([1, 60, 5000, 900_000], 400))
    for column, most in [("x", 1280), ("y", 720), ("p", 2)]:
        gap[column] = rng.integers(0, most, 400)
    write_faery(path, gap, LARGE, "evt3", False)
    assert gap["t"][-1] > 3 * 2**24
    add("gap.raw", path.read_bytes())
    add("gap.npy", npy(gap))

    path.write_bytes(evt21())
    add("evt21.raw", path.read_bytes())
    add("evt21.npy", npy(read_evlib(path)))
