#!/usr/bin/env python3
"""Asks NVIDIA's assembler what the kernels of a run need: registers, bytes spilled, widest load and store.

    ptxas.py DIR [--kernel REGEX] [--arch sm_90a] [--cuda 13.0] [--json]

DIR holds the PTX that the stand-in kept: the ptx/ of --work. Without --arch the code is for what its PTX names. Widths
are those of one instruction on global memory, in bytes; what ptxas makes of it is not wider.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

WIDE = re.compile(r"\b(ld|st)\.(?:\w+\.|\w+::\w+\.)*?global\b[\w.:]*?(?:\.v(\d))?\.[busf](8|16|32|64)\b")


def widest(ptx, what):
    return max((int(m[2] or 1) * int(m[3]) // 8 for m in WIDE.finditer(ptx) if m[1] == what), default=0)


def assemble(file, ptxas, arch):
    ptx = file.read_text(errors="replace")
    arch = arch or re.search(r"^\.target (\w+)", ptx, re.M)[1]
    kernel = re.search(r"\.entry (\w+)", ptx)[1]
    done = subprocess.run([ptxas, "-v", f"-arch={arch}", file, "-o", os.devnull], capture_output=True, text=True)
    said = done.stdout + done.stderr

    def number(pattern):
        found = re.search(pattern, said)
        return int(found[1]) if found else 0

    result = {"file": file.name, "kernel": kernel, "arch": arch}
    if done.returncode:
        return result | {"error": said.strip()}
    return result | {
        "registers": number(r"Used (\d+) registers"),
        "spill_stores": number(r"(\d+) bytes spill stores"),
        "spill_loads": number(r"(\d+) bytes spill loads"),
        "stack": number(r"(\d+) bytes stack frame"),
        "widest_load": widest(ptx, "ld"),
        "widest_store": widest(ptx, "st"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("--kernel", metavar="REGEX", default="", help="only kernels in whose name it is found")
    parser.add_argument("--arch", help="for example sm_90a")
    parser.add_argument("--cuda", default="13.0", help="the version whose ptxas is asked; tests/cuda/stand-in installs it")
    parser.add_argument("--json", action="store_true", help="one list with an object for each kernel")
    args = parser.parse_args()
    ptxas = pathlib.Path(__file__).resolve().parents[2] / ".tools/cuda" / args.cuda / "bin/ptxas"
    if not ptxas.exists():
        sys.exit(f"{ptxas} does not exist; run tests/cuda/stand-in --install --cuda {args.cuda}")
    # A file is named after its kernel; its number comes first.
    files = [file for file in sorted(args.dir.glob("*.ptx")) if re.search(args.kernel, file.stem.partition("_")[2])]
    if not files:
        sys.exit(f"{args.dir} holds no PTX of such a kernel")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda file: assemble(file, ptxas, args.arch), files))
    if args.json:
        print(json.dumps(results, indent=1))
    else:
        print("registers  spill st/ld  load/store  kernel")
        for r in results:
            if "error" in r:
                print(f"{r['kernel']}: {r['error']}")
                continue
            spill, wide = f"{r['spill_stores']}/{r['spill_loads']}", f"{r['widest_load']}/{r['widest_store']}"
            print(f"{r['registers']:9}  {spill:>11}  {wide:>10}  {r['kernel']}")
    return any("error" in r for r in results)


if __name__ == "__main__":
    sys.exit(main())
