#!/usr/bin/env python3
"""Measures the memory and the time that SpikingJelly's training steps need, with and without its means to save memory.

    peer_memory.py 4 8 16 32 --channels 16 --batch 2 [--steps 3] [--chunks 4] [--amp bf16] [--backend triton] [--only bits]

Needs torch and spikingjelly (2.0.0). The network is DVSGestureNet with the tutorial's LIF neurons, on a GPU if there is
one. For each number of frames and each means, a new process runs some training steps: forward, MSE on the firing rate,
backward, Adam and reset. The means are those of spikingjelly.activation_based.memopt (ICLR 2026):

  none         everything that backward needs stays in memory
  checkpoint   keeps the input of each block (convolution to pooling, dropout to neurons) and computes the rest again:
               optimize_memory(level=1, compress=False)
  bits         also packs these inputs into bits where they are spikes: optimize_memory(level=1), the default
  bits+split   checkpoints convolution with batch norm, and neurons with pooling, on their own. Neurons and pooling run
               in --chunks parts of the time: checkpoint_module(..., chunks=4). Batch norm's statistics need all of the time
  search       lets optimize_memory(level=4) choose how to split, by trial; only on a GPU

Prints a JSON object a line: peak bytes (of torch on a GPU, else of the process), bytes before the first step, the smallest
and the median seconds of a step after the first, and the largest difference of a gradient from those of `none` (as a part
of the largest gradient; dropout is the same in both). `prepared` is the peak of what optimize_memory ran before the first
step, if anything. Where memory runs out, `failed` says so. On a CPU, memory is measured in a process of its own, whose
allocator gives memory back at once; this slows it, so the seconds are those of another process.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from spikingjelly.activation_based.memopt import BitSpikeCompressor, checkpoint_module, optimize_memory
from spikingjelly.activation_based.model.parametric_lif_net import DVSGestureNet
from torch import nn

MEANS = ["none", "checkpoint", "bits", "bits+split", "search"]
GPU = torch.cuda.is_available()
# glibc's allocator keeps freed memory, by rules that change while a program runs, unless its threshold is set.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536"}


class Block(nn.Sequential):
    """Convolution to pooling, or dropout to neurons."""


def blocks(net):
    """The modules of the network, those of a block together."""
    parts, ends = [], (layer.Conv2d, layer.Flatten, layer.Dropout, layer.VotingLayer)
    for part in net.conv_fc:
        if isinstance(part, ends):
            parts.append([])
        parts[-1].append(part)
    return nn.Sequential(*(Block(*block) if len(block) > 1 else block[0] for block in parts))


def split(block):
    """The weights of a block, and its neurons with pooling."""
    at = next(i for i, part in enumerate(block) if isinstance(part, neuron.BaseNode))
    return Block(*block[:at]), Block(*block[at:])


def save_memory(net, means, x, dtype, chunks):
    """Applies one of the means to a network of blocks."""

    def forward(net):
        with torch.autocast(x.device.type, dtype=dtype, enabled=dtype is not None):
            return net(x)

    if means == "checkpoint":
        optimize_memory(net, Block, forward, level=1, compress=False)
    elif means == "bits":
        optimize_memory(net, Block, forward, level=1)
    elif means == "search":
        for at, block in enumerate(net):
            if isinstance(block, Block):
                net[at] = Block(*split(block))
        free = lambda block: not any(isinstance(part, layer.BatchNorm2d) for part in block.modules())
        optimize_memory(net, Block, forward, level=4, split_fn=lambda block: list(block.children()), can_chunk=free)
    elif means == "bits+split":
        for at, block in enumerate(net):
            if isinstance(block, Block):
                weights, neurons = split(block)
                spikes = BitSpikeCompressor() if at > 0 else None
                net[at] = Block(
                    checkpoint_module(weights, compressor=spikes),
                    checkpoint_module(neurons, chunks=min(chunks, len(x))),
                )


def status(name):
    """Bytes from Linux: VmRSS, memory of the process, or VmHWM, its peak."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def peak():
    return torch.cuda.max_memory_allocated() if GPU else status("VmHWM")


def now():
    return torch.cuda.memory_allocated() if GPU else status("VmRSS")


def forget_peak():
    if GPU:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")


def measure(args, frames, means, folder):
    """Runs the steps in this process."""
    device = torch.device("cuda" if GPU else "cpu")
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    net = DVSGestureNet(args.channels, neuron.LIFNode, surrogate_function=surrogate.ATan(), detach_reset=True)
    functional.set_step_mode(net, "m")
    if args.backend != "torch":
        functional.set_backend(net, args.backend, instance=neuron.LIFNode)
    net = blocks(net).to(device)
    x = ((torch.rand(frames, args.batch, 2, 128, 128) < 0.05).float() * 3).to(device)
    y = F.one_hot(torch.arange(args.batch) % 11, 11).float().to(device)
    dtype = {"none": None, "bf16": torch.bfloat16}[args.amp]
    forget_peak()
    save_memory(net, means, x, dtype, args.chunks)
    functional.reset_net(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    prepared = peak()
    forget_peak()
    before, seconds, gradients = now(), [], None
    for step in range(args.steps + 1):
        torch.manual_seed(step)
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            rate = net(x).mean(0)
        F.mse_loss(rate.float(), y).backward()
        if step == 0:
            gradients = [parameter.grad.detach().cpu().clone() for parameter in net.parameters()]
        optimizer.step()
        functional.reset_net(net)
        if GPU:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    result = {"prepared": prepared, "before": before, "peak": peak()}
    result |= {"seconds": round(min(seconds[1:]), 4), "median": round(statistics.median(seconds[1:]), 4)}
    reference = folder / f"gradients-{frames}.pt"
    if means == "none":
        torch.save(gradients, reference)
    elif reference.exists():
        pairs = list(zip(gradients, torch.load(reference), strict=True))
        off = max(((a - b).abs().max() / b.abs().max().clamp(min=1e-30)).item() for a, b in pairs)
        result["gradients_off"] = float(f"{off:.2g}")
    return result


def run(args, frames, means, folder, environment):
    """Measures in a new process."""
    command = [sys.executable, __file__, str(frames), "--only", means, "--here", folder]
    for name in ("channels", "batch", "chunks", "steps", "threads", "amp", "backend"):
        command += [f"--{name}", str(getattr(args, name))]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    return {"failed": (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frames", type=int, nargs="+", help="numbers of frames T")
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--chunks", type=int, default=4, help="parts of the time in bits+split")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="of the CPU, all without it")
    parser.add_argument("--amp", default="none", choices=["none", "bf16"])
    parser.add_argument("--backend", default="torch", choices=["torch", "cupy", "triton"])
    parser.add_argument("--only", nargs="+", choices=MEANS, default=MEANS)
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)  # run in this process, for the only means
    args = parser.parse_args()
    if args.here:
        print(json.dumps(measure(args, args.frames[0], args.only[0], args.here)))
        return
    facts = {"torch": torch.__version__, "device": torch.cuda.get_device_name() if GPU else "cpu"}
    facts |= {name: getattr(args, name) for name in ("channels", "batch", "chunks", "amp", "backend")}
    facts |= {"threads": args.threads or torch.get_num_threads()}
    print(json.dumps(facts))
    with tempfile.TemporaryDirectory() as folder:
        for frames in args.frames:
            for means in args.only:
                if means == "search" and not GPU:
                    continue
                result = run(args, frames, means, folder, {} if GPU else ALLOCATOR)
                if not GPU and "failed" not in result:
                    times = run(args, frames, means, folder, {})
                    result |= {name: times[name] for name in ("seconds", "median") if name in times}
                print(json.dumps({"T": frames, "means": means} | result), flush=True)


if __name__ == "__main__":
    main()
