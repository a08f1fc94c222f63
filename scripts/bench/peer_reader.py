#!/usr/bin/env python3
"""Times FrameCache and SpikingJelly's dataset in one process; scripts/bench/reader runs it.

    peer_reader.py CACHE --root FOLDER --make                make SpikingJelly's frames of the events in FOLDER
    peer_reader.py CACHE --peer NAME=FOLDER ... --workers 2 --runs 5 --samples 480

Needs torch, spikingjelly (2.0.0) and dvs_prep. Checks that all datasets have the same items. Prints one JSON object:
the samples a second of each dataset, run by run.
"""
import argparse
import json
import time

import numpy as np
import torch
from dvs_prep import FrameCache
from spikingjelly.datasets.dvs128_gesture import DVS128Gesture
from torch.utils.data import DataLoader

HOW = {"train": True, "frames_number": 16, "split_by": "number"}
BATCH = 16


def check_equal(dataset, expected):
    assert len(dataset) == len(expected)
    for (frames, label), (expected_frames, expected_label) in zip(dataset, expected):
        assert label == expected_label and frames.dtype == expected_frames.dtype
        assert np.array_equal(frames, expected_frames)


def loader(dataset, args):
    indices = [i % len(dataset) for i in range(args.samples)]
    return DataLoader(dataset, BATCH, sampler=indices, num_workers=args.workers, persistent_workers=args.workers > 0)


def samples_per_second(batches):
    start = time.perf_counter()
    read = sum(len(labels) for _, labels in batches)
    return read / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache")
    parser.add_argument("--root")
    parser.add_argument("--make", action="store_true")
    parser.add_argument("--peer", action="append", default=[])
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--samples", type=int, default=480)
    args = parser.parse_args()
    if args.make:
        DVS128Gesture(args.root, data_type="frame", **HOW)
        return
    torch.set_num_threads(1)
    ours = {
        "FrameCache": FrameCache(args.cache, **HOW),
        "FrameCache, checksums": FrameCache(args.cache, **HOW, checksums=True),
        "FrameCache, the cache's own type": FrameCache(args.cache, **HOW, dtype=None),
    }
    peers = {}
    for peer in args.peer:
        name, folder = peer.split("=", 1)
        peers[name] = DVS128Gesture(folder, data_type="frame", **HOW)
        check_equal(ours["FrameCache"], peers[name])
    loaders = {name: loader(dataset, args) for name, dataset in {**ours, **peers}.items()}
    rates = {name: [] for name in loaders}
    for run in range(args.runs + 1):  # the first round starts the workers and is not counted
        for name, batches in loaders.items():
            rate = samples_per_second(batches)
            if run > 0:
                rates[name].append(rate)
    print(json.dumps(rates))


main()
