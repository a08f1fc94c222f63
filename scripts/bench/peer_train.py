#!/usr/bin/env python3
"""Times SpikingJelly's DVSGestureNet, the peer, on the same work as `dvs-train`.

    peer_train.py --device cpu  --T 4  --batch 2  --steps 3
    peer_train.py --device cuda --T 16 --batch 16 --steps 40 --backend triton --amp bf16 [--compile] [--channels-last]

Needs torch and spikingjelly (2.0.0). One training step is forward, MSE on the firing rate, backward, Adam and
reset; one evaluation step is forward alone. Frames are resident on the device, so no data loading is timed.
Prints one JSON object: median seconds a step and samples a second for both, and the peak memory in bytes.
"""
import argparse
import json
import resource
import statistics
import time

import torch
import torch.nn.functional as F
from spikingjelly.activation_based import functional, neuron, surrogate
from spikingjelly.activation_based.model import parametric_lif_net

ap = argparse.ArgumentParser()
ap.add_argument("--device", default="cpu")
ap.add_argument("--T", type=int, default=16)
ap.add_argument("--batch", type=int, default=16)
ap.add_argument("--channels", type=int, default=128)
ap.add_argument("--steps", type=int, default=20)
ap.add_argument("--warmup", type=int, default=3)
ap.add_argument("--backend", default="torch", choices=["torch", "cupy", "triton"])
ap.add_argument("--step-mode", default="m", choices=["s", "m"])
ap.add_argument("--amp", default="none", choices=["none", "fp16", "bf16"])
ap.add_argument("--compile", action="store_true")
ap.add_argument("--channels-last", action="store_true")
ap.add_argument("--threads", type=int, default=0)
a = ap.parse_args()
if a.threads:
    torch.set_num_threads(a.threads)
torch.manual_seed(0)
dev = torch.device(a.device)
torch.backends.cudnn.benchmark = True
net = parametric_lif_net.DVSGestureNet(channels=a.channels, spiking_neuron=neuron.LIFNode,
                                       surrogate_function=surrogate.ATan(), detach_reset=True)
functional.set_step_mode(net, a.step_mode)
if a.backend != "torch":
    functional.set_backend(net, a.backend, instance=neuron.LIFNode)
net.to(dev)
if a.channels_last:
    net.to(memory_format=torch.channels_last)
run = torch.compile(net) if a.compile else net
opt = torch.optim.Adam(net.parameters(), lr=1e-3)
dtype = {"none": None, "fp16": torch.float16, "bf16": torch.bfloat16}[a.amp]
scaler = torch.amp.GradScaler(dev.type) if a.amp == "fp16" else None
x = (torch.rand(a.T, a.batch, 2, 128, 128, device=dev) < 0.05).float() * 3
y = F.one_hot(torch.randint(0, 11, (a.batch,), device=dev), 11).float()

def forward():
    with torch.autocast(dev.type, dtype=dtype, enabled=dtype is not None):
        if a.step_mode == "m":
            rate = run(x).mean(0)
        else:
            rate = sum(run(x[t]) for t in range(a.T)) / a.T
        return F.mse_loss(rate.float(), y)

def train():
    opt.zero_grad(set_to_none=True)
    loss = forward()
    if scaler:
        scaler.scale(loss).backward()
        scaler.step(opt)
        scaler.update()
    else:
        loss.backward()
        opt.step()
    functional.reset_net(net)

def test():
    with torch.no_grad():
        forward()
    functional.reset_net(net)

def sync():
    if dev.type == "cuda":
        torch.cuda.synchronize()

def timed(step):
    for _ in range(a.warmup):
        step()
    sync()
    seconds = []
    for _ in range(a.steps):
        t = time.perf_counter()
        step()
        sync()
        seconds.append(time.perf_counter() - t)
    return statistics.median(seconds)

net.train()
tr = timed(train)
net.eval()
ev = timed(test)
peak = torch.cuda.max_memory_allocated() if dev.type == "cuda" else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"peer": "spikingjelly", "torch": torch.__version__, **vars(a),
                  "train_step_s": tr, "train_samples_per_s": a.batch / tr,
                  "eval_step_s": ev, "eval_samples_per_s": a.batch / ev, "peak_bytes": peak}))
