#!/usr/bin/env python3
"""Makes recordings of Prophesee's cameras, and times faery and expelliarmus on them; scripts/bench/prophesee runs it.

    peer_prophesee.py --make FOLDER --rows 3000000       make dense.raw and sparse.raw
    peer_prophesee.py FILE --encoding evt3               wall and processor seconds of each peer

Needs faery (0.7.1), expelliarmus (1.1.12) and numpy. Prints one JSON object.
"""
import argparse
import json
import time
from pathlib import Path

import numpy as np
from expelliarmus import Wizard
from faery.extension import evt

WIDTH, HEIGHT = 1280, 720


def evt3(rng, rows):
    """Words of EVT 3.0: of each row its time, two single events, and a vector of 32 pixels, of which about 8 are set.
    Returns also the number of events."""
    t = np.arange(rows) * 2
    masks = rng.integers(0, 1 << 32, rows, dtype=np.uint64) & rng.integers(0, 1 << 32, rows, dtype=np.uint64)
    words = np.empty((rows, 9), dtype="<u2")
    words[:, 0] = 0x8000 | t >> 12 & 0xFFF
    words[:, 1] = 0x6000 | t & 0xFFF
    words[:, 2] = rng.integers(0, HEIGHT, rows)
    words[:, 3] = 0x2000 | rng.integers(0, WIDTH, rows)
    words[:, 4] = 0x2800 | rng.integers(0, WIDTH, rows)
    words[:, 5] = 0x3000 | rng.integers(0, 2, rows) << 11 | rng.integers(0, WIDTH - 32, rows)
    words[:, 6] = 0x4000 | masks & 0xFFF
    words[:, 7] = 0x4000 | masks >> 12 & 0xFFF
    words[:, 8] = 0x5000 | masks >> 24
    return words, 2 * rows + int(np.bitwise_count(masks).sum())


def evt2(rng, events):
    """Words of EVT 2.0: a word of time before every seven events."""
    rows = events // 7
    t = np.arange(rows) * 2
    words = np.empty((rows, 8), dtype="<u4")
    words[:, 0] = 8 << 28 | t >> 6
    places = rng.integers(0, WIDTH, (rows, 7)) << 11 | rng.integers(0, HEIGHT, (rows, 7))
    words[:, 1:] = rng.integers(0, 2, (rows, 7)) << 28 | (t[:, None] & 63) << 22 | places
    return words, 7 * rows


def make(folder, rows):
    rng = np.random.default_rng(1)
    made = {}
    dense, number = evt3(rng, rows)
    sparse, fewer = evt2(rng, number)
    for name, encoding, version, words, count in [
        ("dense.raw", "evt3", "3.0", dense, number),
        ("sparse.raw", "evt2", "2.0", sparse, fewer),
    ]:
        header = f"% evt {version}\n% format {encoding.upper()};height={HEIGHT};width={WIDTH}\n% geometry {WIDTH}x{HEIGHT}\n% end\n"
        (folder / name).write_bytes(header.encode() + words.tobytes())
        made[encoding] = [name, count]
    return made


def faery(path, encoding):
    with evt.Decoder(path=path, dimensions_fallback=None, version_fallback=encoding) as decoder:
        return sum(len(packet["events"]) for packet in decoder if "events" in packet)


def expelliarmus(path, encoding):
    return len(Wizard(encoding=encoding).read(path))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", nargs="?", type=Path)
    parser.add_argument("--encoding")
    parser.add_argument("--make", type=Path)
    parser.add_argument("--rows", type=int)
    args = parser.parse_args()
    if args.make:
        print(json.dumps(make(args.make, args.rows)))
        return
    seconds, numbers = {}, set()
    for name, peer in [("expelliarmus, one array", expelliarmus), ("faery, packet by packet", faery)]:
        wall, processor = time.perf_counter(), time.process_time()
        numbers.add(peer(args.recording, args.encoding))
        seconds[name] = (time.perf_counter() - wall, time.process_time() - processor)
    assert len(numbers) == 1, numbers
    print(json.dumps(seconds))


main()
