#!/usr/bin/env python3
"""Says what each step of a training launches, copies and waits for, from the stand-in's log.

    steps.py cuda.log --end-kernel adam_kernel [--times 19] [--json]

A step ends with a launch of a kernel whose name begins with NAME; with --times, with every N-th of them.
"""
import argparse
import collections
import json
import re


def read_steps(lines, end_kernel, times):
    """Yields the calls of each step, as (name, details). What follows the last step is left out."""
    step, ends = [], 0
    for line in lines:
        part = line.rstrip("\n").split(" ", 3)
        if len(part) < 3:
            continue
        name, details = part[2], part[3] if len(part) > 3 else ""
        step.append((name, details))
        if name == "launch" and re.match(end_kernel, details):
            ends += 1
            if ends == times:
                yield step
                step, ends = [], 0


def count(step):
    calls = collections.Counter(name for name, _ in step)
    kernels, kernel_bytes = collections.Counter(), collections.Counter()
    for name, details in step:
        if name == "launch":
            kernel, arrays = details.split()[0], details.partition("arrays=")[2]
            kernels[kernel] += 1
            kernel_bytes[kernel] += sum(int(size) for size in arrays.split(",") if size)
    live = [int(details.partition("live=")[2]) for _, details in step if "live=" in details]

    def size(what):
        return sum(int(details.split()[0]) for name, details in step if name == what)

    return {
        "launches": calls["launch"],
        "uploads": calls["upload"],
        "upload_bytes": size("upload"),
        "downloads": calls["download"],
        "download_bytes": size("download"),
        "waits": calls["sync"],
        "stream_waits": calls["wait"],
        "allocations": calls["alloc"],
        "modules": calls["module"],
        "most_memory": max(live, default=None),
        "array_bytes": sum(kernel_bytes.values()),
        "by_kernel": dict(kernels.most_common()),
        "bytes_by_kernel": dict(kernel_bytes.most_common()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log")
    parser.add_argument("--end-kernel", metavar="NAME", required=True, help="regular expression, from the start of the name")
    parser.add_argument("--times", metavar="N", type=int, default=1, help="launches of that kernel in one step")
    parser.add_argument("--json", action="store_true", help="one list with an object for each step")
    args = parser.parse_args()
    with open(args.log, errors="replace") as lines:
        steps = [count(step) for step in read_steps(lines, args.end_kernel, args.times)]
    if args.json:
        print(json.dumps(steps, indent=1))
        return
    for number, step in enumerate(steps):
        print(f"step {number}: " + ", ".join(f"{name} {value}" for name, value in step.items() if not name.endswith("by_kernel")))
    if steps:
        print("\nlaunches of the last step, and the megabytes of the arrays that they take:")
        for name, size in steps[-1]["bytes_by_kernel"].items():
            print(f"{steps[-1]['by_kernel'][name]:5} {size / 1e6:9.1f} {name}")


if __name__ == "__main__":
    main()
