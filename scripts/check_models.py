#!/usr/bin/env python3
"""Holds exported networks against SpikingJelly and the Python package nir, on test samples of a cache.

    python scripts/check_models.py --dvs-train target/release/dvs-train --checkpoint RUN --cache CACHE [--samples 8]

Needs torch, spikingjelly 2.0, h5py, nir and nirtorch; that is why it is no part of scripts/test. It exports the network
of RUN (a run's folder or a checkpoint) and compares, sample by sample:

  rates      of dvs-train predict against SpikingJelly's DVSGestureNet with the exported .pth
  spikes     of every layer in that network against the NIR graph, simulated by its equations in plain torch
  imported   votes of the graph as SpikingJelly's own NIR importer builds it against the simulated ones
  again      rates of the graph that dvs-train import reads again against those of the network

It fails where rates differ by more than 1e-6, or more than one spike in a million differs: batch norm in the
convolutions rounds otherwise, so a potential may fall on the other side of the threshold.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import nir
import numpy as np
import torch
import torch.nn.functional as F
from spikingjelly.activation_based import functional, layer, neuron
from spikingjelly.activation_based.model.parametric_lif_net import DVSGestureNet
from spikingjelly.activation_based.nir_exchange import import_from_nir

LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc1", "fc2"]
NEURONS = [2, 6, 10, 14, 18, 23, 26]
DT = 1e-4


def peer_network(path, facts):
    """SpikingJelly's network with the exported state dict, its neurons as the checkpoint's."""
    state = torch.load(path, weights_only=True)
    kinds = {"LIF": neuron.LIFNode, "PLIF": neuron.ParametricLIFNode, "IF": neuron.IFNode}
    kind, rest = facts.split(": ", 1)
    said = dict(pair.split("=") for pair in rest.split(", "))
    options = {"v_threshold": float(said["v_threshold"]), "v_reset": float(said["v_reset"])}
    if kind != "IF":
        options["decay_input"] = said["decay_input"] == "true"
    if kind == "LIF":
        options["tau"] = float(said["tau"])
    channels = state["conv_fc.0.weight"].shape[0]
    hidden, features = state["conv_fc.22.weight"].shape
    net = DVSGestureNet(channels=channels, spiking_neuron=kinds[kind], **options)
    net.conv_fc[22] = layer.Linear(features, hidden)
    net.conv_fc[25] = layer.Linear(hidden, 110)
    net.load_state_dict(state)
    functional.set_step_mode(net, "m")
    return net.eval()


def peer_spikes(net, x):
    """Spikes of every layer [T, ...] and votes [T, 11]; x [T, 1, 2, H, W]."""
    spikes = {}
    hooks = [
        net.conv_fc[at].register_forward_hook(lambda _m, _i, out, name=name: spikes.update({name: out[:, 0]}))
        for name, at in zip(LAYERS, NEURONS)
    ]
    with torch.no_grad():
        votes = net(x)[:, 0]
    functional.reset_net(net)
    for hook in hooks:
        hook.remove()
    return spikes, votes


def simulate(graph, x):
    """The same of a NIR graph by forward Euler: every node's equation once a step of DT, neurons at v_reset before."""
    after = dict(graph.edges)
    tensor = {
        (name, key): torch.as_tensor(np.asarray(value)).float()
        for name, node in graph.nodes.items()
        for key, value in vars(node).items()
        if isinstance(value, np.ndarray) and key not in ("input_type", "output_type")
    }
    factor = {}
    for name, node in graph.nodes.items():
        if isinstance(node, nir.LIF):
            factor[name] = torch.as_tensor(DT / node.tau).float()
        elif isinstance(node, nir.IF):
            factor[name] = torch.as_tensor(DT * node.r).float()
    v = {name: tensor[name, "v_reset"].clone() for name in factor}
    spikes = {name: [] for name in graph.nodes}
    for frame in x:
        name, value = "input", frame
        while name != "output":
            name = after[name]
            node = graph.nodes[name]
            if isinstance(node, nir.Conv2d):
                value = F.conv2d(value[None], tensor[name, "weight"], tensor[name, "bias"], padding=tuple(node.padding))[0]
            elif isinstance(node, nir.SumPool2d):
                value = F.avg_pool2d(value[None], tuple(node.kernel_size), tuple(node.stride), divisor_override=1)[0]
            elif isinstance(node, nir.Flatten):
                value = value.flatten(int(node.start_dim), int(node.end_dim))
            elif isinstance(node, nir.Affine):
                value = tensor[name, "weight"] @ value + tensor[name, "bias"]
            elif isinstance(node, nir.Linear):
                value = tensor[name, "weight"] @ value
            elif isinstance(node, nir.LIF):
                v[name] += factor[name] * (tensor[name, "v_leak"] - v[name] + tensor[name, "r"] * value)
            elif isinstance(node, nir.IF):
                v[name] += factor[name] * value
            if name in v:
                value = (v[name] > tensor[name, "v_threshold"]).float()
                v[name] = torch.where(value > 0, tensor[name, "v_reset"], v[name])
            spikes[name].append(value)
    votes = torch.stack(spikes["vote"])
    return {name: torch.stack(spikes[f"{name}_neurons"]) for name in LAYERS}, votes


def for_spikingjelly(graph):
    """The graph with average pooling, which SpikingJelly's importer knows, and a quarter of the threshold after it."""
    nodes = dict(graph.nodes)
    for name, node in graph.nodes.items():
        if isinstance(node, nir.SumPool2d):
            nodes[name] = nir.AvgPool2d(node.kernel_size, node.stride, node.padding)
        elif name.endswith("_pool_neurons"):
            nodes[name] = nir.IF(node.r, node.v_threshold / 4, node.v_reset)
    return nir.NIRGraph(nodes, graph.edges)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dvs-train", default="target/release/dvs-train")
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--cache", required=True)
    parser.add_argument("--samples", type=int, default=8)
    args = parser.parse_args()

    def run(*command):
        return subprocess.run([args.dvs_train, *command], check=True, capture_output=True, text=True).stdout

    with tempfile.TemporaryDirectory() as folder:
        compare(args, run, Path(folder))


def compare(args, run, folder):
    pth, graph_file, again = folder / "network.pth", folder / "network.nir", folder / "again.safetensors"
    run("export", args.checkpoint, "--to", "pytorch", "--label-order", "plain", "-o", str(pth))
    run("export", args.checkpoint, "--to", "nir", "-o", str(graph_file))
    run("import", str(graph_file), "-o", str(again))
    graph = nir.read(graph_file)
    size = graph_file.stat().st_size
    net = peer_network(pth, graph.metadata["neuron"])
    print(f"nir.read: {len(graph.nodes)} nodes, {len(graph.edges)} edges, {size} bytes, types checked")
    imported = import_from_nir(for_spikingjelly(graph), dt=DT)

    def rates_of(checkpoint, sample):
        said = run("predict", "--device", "cpu", checkpoint, args.cache, "--sample", sample, "--json")
        return np.array(json.loads(said)["firing_rates"])

    cache = h5py.File(args.cache)["test"]
    names, labels = cache["names"].asstr()[()], cache["labels"][()]
    chosen = np.linspace(0, len(names) - 1, min(args.samples, len(names))).astype(int)
    worst, differing, all_spikes, places, worst_vote = 0.0, {name: 0 for name in LAYERS}, 0, 0, 0.0
    worst_again = 0.0
    for at in chosen:
        x = torch.tensor(cache["frames"][at].astype(np.float32))
        spikes, votes = peer_spikes(net, x[:, None])
        sample = f"{names[at]}@{labels[at]}"
        rates = rates_of(args.checkpoint, sample)
        worst_again = max(worst_again, float(np.abs(rates - rates_of(str(again), sample)).max()))
        worst = max(worst, float(np.abs(rates - votes.mean(0).numpy()).max()))
        simulated, simulated_votes = simulate(graph, x)
        for name in LAYERS:
            differing[name] += int((simulated[name] != spikes[name]).sum())
            all_spikes += int(spikes[name].sum())
            places += spikes[name].numel()
        state = None
        with torch.no_grad():
            for t, frame in enumerate(x):
                out, state = imported(frame[None], state)
                worst_vote = max(worst_vote, float((out[0] - simulated_votes[t]).abs().max()))
    total = sum(differing.values())
    print(f"rates: {len(chosen)} samples, largest difference from SpikingJelly {worst:.2g}")
    print(f"spikes: {all_spikes} in {places} places, {total} differ in the NIR graph: {differing}")
    print(f"imported: largest difference of a vote from the simulated graph {worst_vote:.2g}")
    print(f"again: largest difference of a rate after export and import {worst_again:.2g}")
    good = worst < 1e-6 and worst_again < 1e-6 and total <= places / 1e6
    print("as it should be" if good else "NOT as it should be")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
