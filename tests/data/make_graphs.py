#!/usr/bin/env python3
"""Makes the .nir files of this folder, and graphs.npz: frames, and the firing rates that their programs get from them.

    python tests/data/make_graphs.py    # needs torch, spikingjelly 2.0, snntorch, nir and nirtorch; overwrites them

Three small networks for frames of 32 x 32, with weights that make them fire. Max pooling is average pooling with
neurons that spike after one spike. The output of the first two is 110 neurons, whose mean over ten is taken here:

  spikingjelly.nir  written by SpikingJelly: PLIF neurons, linear layers with a bias
  snntorch.nir      written by snnTorch: Leaky neurons with reset to zero at once, the only reset that NIR has
  nested.nir        written by the package nir: IF neurons that have one number for each parameter, convolutions in
                    graphs of their own, sum pooling, voting in an order of its own. Its rates are from the equations of
                    NIR in plain torch
"""

from pathlib import Path

import nir
import numpy as np
import snntorch
import torch
import torch.nn.functional as F
from snntorch.export_nir import export_to_nir as export_snntorch
from spikingjelly.activation_based import functional, layer, neuron
from spikingjelly.activation_based.nir_exchange import export_to_nir as export_spikingjelly
from torch import nn

HERE = Path(__file__).parent
STEPS, CHANNELS, HIDDEN, SIDE = 8, 3, 10, 32
DT = 1e-4


def frames():
    """The middle of some test samples in a quarter of the resolution, [T, B, 2, 32, 32]."""
    npz = np.load(HERE / "frames-mini.npz")
    keys = [key for key in npz if key.startswith("test|") and key.endswith("|number16")][::4]
    whole = torch.tensor(np.stack([npz[key] for key in keys], 1)).float()  # [16, B, 2, 128, 128]
    x = F.avg_pool2d(whole[:STEPS].flatten(0, 1), 4, divisor_override=1)
    return x.reshape(STEPS, len(keys), 2, SIDE, SIDE).clamp(max=255)


def enliven(modules, scale):
    """Draws weights so that every layer fires."""
    for module in modules:
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0.1, 2.0 * scale / (9 * module.in_channels) ** 0.5)
            nn.init.uniform_(module.bias, -0.1, 0.3)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.1, 2.5 * scale / module.in_features**0.5)
            if module.bias is not None:
                nn.init.uniform_(module.bias, -0.2, 0.4)


def spikingjelly_network():
    def neurons():
        return neuron.ParametricLIFNode(init_tau=2.0, decay_input=True)

    layers = []
    for block in range(5):
        layers += [layer.Conv2d(2 if block == 0 else CHANNELS, CHANNELS, 3, padding=1), neurons()]
        layers += [layer.AvgPool2d(2, 2), neuron.IFNode(v_threshold=0.25)]
    layers += [layer.Flatten(), layer.Linear(CHANNELS, HIDDEN), neurons(), layer.Linear(HIDDEN, 110), neurons()]
    net = nn.Sequential(*layers)
    enliven(net, 1.5)
    for module in net:
        if isinstance(module, neuron.ParametricLIFNode):
            nn.init.uniform_(module.w, -0.5, 0.5)
    functional.set_step_mode(net, "m")
    return net.eval()


def snntorch_network():
    def neurons(threshold, *shape, **more):
        # Without a shape, snnTorch's exporter takes the neurons for another number than the layer's.
        return snntorch.Leaky(
            beta=torch.full(shape, 0.75),
            threshold=torch.full(shape, threshold),
            reset_mechanism="zero",
            reset_delay=False,
            init_hidden=True,
            **more,
        )

    layers, side = [], SIDE
    for block in range(5):
        layers += [nn.Conv2d(2 if block == 0 else CHANNELS, CHANNELS, 3, padding=1), neurons(1.0, CHANNELS, side, side)]
        side //= 2
        layers += [nn.AvgPool2d(2, 2), neurons(0.125, CHANNELS, side, side)]
    layers += [nn.Flatten(), nn.Linear(CHANNELS, HIDDEN, bias=False), neurons(1.0, HIDDEN)]
    layers += [nn.Linear(HIDDEN, 110, bias=False), neurons(1.0, 110, output=True)]
    net = nn.Sequential(*layers)
    enliven(net, 0.7)
    return net.eval()


def nested_graph(rng):
    def neurons(threshold):
        one = np.ones(1)
        return nir.IF(r=one / DT, v_threshold=threshold * one, v_reset=0 * one)

    def normal(*shape, mean, deviation):
        return rng.normal(mean, deviation, shape).astype(np.float32)

    nodes, edges, side, before = {"frames": nir.Input(np.array([2, SIDE, SIDE]))}, [], SIDE, "frames"
    for block in range(5):
        inputs = 2 if block == 0 else CHANNELS
        convolution = nir.Conv2d(
            (side, side),
            normal(CHANNELS, inputs, 3, 3, mean=0.05, deviation=1.0 / (9 * inputs) ** 0.5),
            1,
            "same",
            1,
            1,
            normal(CHANNELS, mean=0.05, deviation=0.1),
        )
        parts = {
            "in": nir.Input(np.array([inputs, side, side])),
            "weights": convolution,
            "cells": neurons(1.0),
            "sum": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
            "any": neurons(0.5),
            "out": nir.Output(np.array([CHANNELS, side // 2, side // 2])),
        }
        names = list(parts)
        inner = list(zip(names[:-1], names[1:]))
        rng.shuffle(inner)
        name = f"stage {'edcba'[block]}"
        nodes[name] = nir.NIRGraph(parts, [tuple(edge) for edge in inner], type_check=False)
        edges.append((before, name))
        before, side = name, side // 2
    order = rng.permutation(11)
    vote = np.zeros((11, 110), np.float32)
    for output, group in enumerate(order):
        vote[output, 10 * group : 10 * group + 10] = 0.1
    rest = {
        "flat": nir.Flatten({"input": np.array([CHANNELS, 1, 1])}, 0, -1),
        "z": nir.Affine(
            normal(HIDDEN, CHANNELS, mean=0.1, deviation=1.2), normal(HIDDEN, mean=0.1, deviation=0.2)
        ),
        "y": neurons(1.0),
        "x": nir.Linear(normal(110, HIDDEN, mean=0.05, deviation=0.7)),
        "w": neurons(1.0),
        "vote": nir.Linear(vote),
        "answers": nir.Output(np.array([11])),
    }
    for name in rest:
        edges.append((before, name))
        before = name
    rng.shuffle(edges)
    return nir.NIRGraph(nodes | rest, [tuple(edge) for edge in edges], type_check=False)


def simulate(graph, x):
    """Output of a chain of NIR's IF nodes by forward Euler, [T, B, 11]."""
    state, steps = {}, []

    def run(graph, prefix, value):
        after = dict(graph.edges)
        name = next(name for name, node in graph.nodes.items() if isinstance(node, nir.Input))
        while name in after:
            name = after[name]
            node, key = graph.nodes[name], prefix + name
            if isinstance(node, nir.NIRGraph):
                value = run(node, key + ".", value)
            elif isinstance(node, nir.Conv2d):
                value = F.conv2d(value, torch.tensor(node.weight), torch.tensor(node.bias), padding="same")
            elif isinstance(node, nir.SumPool2d):
                value = F.avg_pool2d(value, 2, divisor_override=1)
            elif isinstance(node, nir.Flatten):
                value = value.flatten(1)
            elif isinstance(node, (nir.Affine, nir.Linear)):
                bias = torch.tensor(node.bias) if isinstance(node, nir.Affine) else None
                value = F.linear(value, torch.tensor(node.weight), bias)
            elif isinstance(node, nir.IF):
                v = state.get(key, torch.zeros_like(value)) + float(DT * node.r[0]) * value
                value = (v > float(node.v_threshold[0])).float()
                state[key] = v * (1 - value)
        return value

    for frame in x:
        steps.append(run(graph, "", frame))
    return torch.stack(steps)


def main():
    torch.manual_seed(11)
    x = frames()
    result = {"x": x.numpy().astype(np.uint8)}
    with torch.no_grad():
        net = spikingjelly_network()
        result["spikingjelly"] = net(x).mean(0).unflatten(1, (11, 10)).mean(2)
        functional.reset_net(net)
        export_spikingjelly(net, x[:, :1], HERE / "spikingjelly.nir", dt=DT)

        net = snntorch_network()
        result["snntorch"] = torch.stack([net(frame)[0] for frame in x]).mean(0).unflatten(1, (11, 10)).mean(2)
        graph = export_snntorch(net, x[0, :1], ignore_dims=[0])
        nir.write(HERE / "snntorch.nir", graph)

        graph = nested_graph(np.random.default_rng(11))
        nir.write(HERE / "nested.nir", graph)
        result["nested"] = simulate(graph, x).mean(0)
    for name, value in result.items():
        if name != "x":
            print(name, np.unique(value.numpy().round(4)).size, "different rates, mean", value.mean().item())
            result[name] = value.numpy()
    np.savez_compressed(HERE / "graphs.npz", **result)


if __name__ == "__main__":
    main()
