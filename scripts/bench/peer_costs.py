#!/usr/bin/env python3
"""Compares what `dvs-train profile` counts with what SpikingJelly's counters count on the same network and samples.

    dvs-train profile RUN --json > profile.json && peer_costs.py profile.json

Needs torch, spikingjelly (2.0.0) and h5py. The network is built in SpikingJelly with the checkpoint's weights (LIF as in the
tutorial) and run on the cache under SynOpCounter and MACCounter, layer by layer. Prints a line a layer, per sample; exit
status 1 where the two differ by more than a millionth, for which spikes at the very threshold may be the cause.
"""
import json
import sys

import h5py
import numpy as np
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from spikingjelly.activation_based.model import parametric_lif_net
from spikingjelly.activation_based.op_counter import DispatchCounterMode, MACCounter, SynOpCounter


def read_tensors(path):
    """The tensors of a safetensors file: a length, a JSON header, then the numbers."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        raw = file.read()
    header.pop("__metadata__")
    place = {name: entry["data_offsets"] for name, entry in header.items()}
    numbers = {name: np.frombuffer(raw[start:end], "<f4") for name, (start, end) in place.items()}
    return {name: torch.from_numpy(numbers[name].reshape(header[name]["shape"]).copy()) for name in numbers}


def network(tensors):
    """SpikingJelly's network with these weights, in evaluation."""
    weights = {name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")}
    net = parametric_lif_net.DVSGestureNet(
        channels=weights["blocks.0.conv.weight"].shape[0],
        spiking_neuron=neuron.LIFNode,
        surrogate_function=surrogate.ATan(),
        detach_reset=True,
    )
    parts = list(net.conv_fc)
    blocks = zip(*([p for p in parts if isinstance(p, kind)] for kind in (layer.Conv2d, layer.BatchNorm2d)), strict=True)
    for i, (conv, norm) in enumerate(blocks):
        conv.weight.data = weights[f"blocks.{i}.conv.weight"]
        norm.weight.data, norm.bias.data = weights[f"blocks.{i}.norm.gamma"], weights[f"blocks.{i}.norm.beta"]
        norm.running_mean, norm.running_var = (weights[f"blocks.{i}.norm.running_{of}"] for of in ("mean", "var"))
    places = [i for i, part in enumerate(parts) if isinstance(part, layer.Linear)]
    for i, name in zip(places, ("hidden", "output"), strict=True):
        weight, bias = weights[f"{name}.weight"].T.contiguous(), weights.get(f"{name}.bias")
        net.conv_fc[i] = layer.Linear(*weight.T.shape, bias=bias is not None)
        net.conv_fc[i].weight.data = weight
        if bias is not None:
            net.conv_fc[i].bias.data = bias
    functional.set_step_mode(net, "m")
    return net.eval()


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1]) as file:
        profile = json.load(file)
    net = network(read_tensors(profile["checkpoint"]))
    weighted = [part for part in net.conv_fc if isinstance(part, (layer.Conv2d, layer.Linear))]
    synops, macs = np.zeros(len(weighted)), np.zeros(len(weighted))
    with h5py.File(profile["cache"]) as cache, torch.no_grad():
        frames = cache[profile["set"]]["frames"]
        for start in range(0, len(frames), 16):
            x = torch.from_numpy(frames[start : start + 16]).float().transpose(0, 1).contiguous()  # [T, B, 2, H, W]
            at = 0
            for part in net.conv_fc:
                if part in weighted:
                    synop, mac = SynOpCounter(), MACCounter()
                    with DispatchCounterMode([synop, mac]):
                        y = part(x)
                    if at == 0:
                        # The counters count frames densely; with ones and zeros they count the cells with events.
                        macs[at] += mac.get_total()
                        synop = SynOpCounter()
                        with DispatchCounterMode([synop]):
                            part((x > 0).float())
                    synops[at] += synop.get_total()
                    x, at = y, at + 1
                else:
                    x = part(x)
            functional.reset_net(net)
    samples, same = profile["samples"], True
    for ours, theirs in zip(profile["layers"], synops / samples, strict=True):
        count = ours["macs"] + ours["acs"]
        same &= abs(count - theirs) <= 1e-6 * theirs
        print(f"{ours['layer']}: {count} here, {theirs} in SpikingJelly")
    dense = profile["layers"][0]["dense_macs_per_frame"] * profile["steps"]
    same &= dense == macs[0] / samples
    print(f"{profile['layers'][0]['layer']} if dense: {dense} here, {macs[0] / samples} in SpikingJelly")
    sys.exit(not same)


main()
