#!/usr/bin/env python3
"""Makes networks.json, networks.npz and general.nir: what SpikingJelly computes with networks of many shapes.

    python tests/data/make_networks.py    # needs torch, spikingjelly 2.0, nir and nirtorch; overwrites the three files

No weight and no frame is stored: they follow from the formula below, which other languages compute to the bit. All
operations are on integers, or single operations on doubles in the order written. For tensor number i (its place in the
state dict, from 0) and element number j (row-major, from 0):

    n = (seed + 7919 i + 104729 j) mod 1000003;   n = (n n + 1) mod 1000003;   n = n n mod 1000003
    weight = centre + width (n / 1000003 - 0.5)   as a double, then rounded to a float

`networks.json` has the seed of each network and the centre and width of each tensor, or its integer. It has the sum of
the frames, and the spikes of each neuron layer in evaluation and in a training step. Frames have i = 1000, and j counts
their elements in [T, B, 2, H, W]. Bright stripes move over them:

    stripe = ((b + 1) x + (b + 2) y + 3 t + 4 p) / 16 mod 2       (integer division)
    frame = n mod 4 where the stripe is 1, else 1 where n mod 16 is 0, else 0

The networks are SpikingJelly's own classes, and general ones in the notation of the PLIF paper. A general network's
modules stand in `conv_fc`, as in SpikingJelly's classes, one for each part of the notation, and Flatten before the first
linear part. Seeds are the first with which every layer fires and no potential comes near the threshold. So spikes are the
same however sums are rounded. `networks.npz` has arrays under these keys, NAME being a state dict's:

    <network>|eval_rate                         firing rates [B, classes] in evaluation
    <network>|train_rate, |train_loss           of a training step without dropout, with MSE to the one-hot labels
    <network>|grad|NAME, <network>|after|NAME   of that step: gradients, and batch norm's statistics after it
    nir|eval_rate                               firing rates of general.nir for the frames of network 3

general.nir is network 3 as SpikingJelly's exporter can write it: batch norm is in the convolutions, max pooling is average
pooling with neurons that spike after one spike, and voting is a linear layer.
"""

import json
import re
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from spikingjelly.activation_based.model import parametric_lif_net
from spikingjelly.activation_based.nir_exchange import export_to_nir, import_from_nir
from torch import nn

HERE = Path(__file__).parent
MODULUS = 1000003
FRAMES = 1000  # the tensor number of frames
NEURONS = {"LIF": neuron.LIFNode, "PLIF": neuron.ParametricLIFNode, "IF": neuron.IFNode}
OPTIONS = {"surrogate_function": surrogate.ATan(), "detach_reset": True}

CLASSES = [("NMNISTNet", 4, [34, 34]), ("CIFAR10DVSNet", 2, [128, 128]), ("DVSGestureNet", 3, [128, 128])]
GENERAL = [
    ("{{c4k3s1-BN-PLIF}*2-MPk2s2}*2-DP-FC24-PLIF-DP-FC20-PLIF-APk10s10", [17, 18]),
    ("c4k5s2-BN-LIF-APk2s2-c6k3s1-BN-IF-MPk3s2-FC12-LIF-FC4-LIF", [33, 20]),
    ("c3k1s1-BN-LIF-c4k7s1-BN-LIF-MPk2s2-DP-FC30-LIF-APk3s3", [15, 16]),
    ("c4k3s1-LIF-MPk2s2-FC20-LIF-APk10s10", [12, 12]),
]


# The formula


def draw(seed, tensor, count):
    n = (seed + 7919 * tensor + 104729 * np.arange(count, dtype=np.int64)) % MODULUS
    n = (n * n + 1) % MODULUS
    return n * n % MODULUS


def fill(tensor, seed, place, facts):
    """Sets a tensor of the state dict from its facts in networks.json."""
    if "integer" in facts:
        tensor.fill_(facts["integer"])
        return
    values = facts["centre"] + facts["width"] * (draw(seed, place, tensor.numel()) / MODULUS - 0.5)
    tensor.copy_(torch.from_numpy(values.astype(np.float32)).reshape(tensor.shape))


def make_frames(seed, steps, batch, size):
    shape = [steps, batch, 2, *size]
    n = draw(seed, FRAMES, int(np.prod(shape))).reshape(shape)
    t, b, p, y, x = np.indices(shape)
    stripe = ((b + 1) * x + (b + 2) * y + 3 * t + 4 * p) // 16 % 2
    return torch.from_numpy(np.where(stripe == 1, n % 4, n % 16 == 0).astype(np.float32))


# The networks


class General(nn.Module):
    """A network in the notation, for frames of `size`."""

    def __init__(self, notation, size):
        super().__init__()
        x, parts = torch.zeros(1, 2, *size), []

        def add(part):
            nonlocal x
            parts.append(part)
            with torch.no_grad():
                x = part.eval()(x)
            functional.reset_net(part)

        for word in expand(notation).split("-"):
            kind, numbers = re.match("c|[A-Z]+", word)[0], [int(n) for n in re.findall("[0-9]+", word)]
            if kind in ("DP", "FC") and x.dim() > 2:
                add(layer.Flatten())
            if kind == "c":
                outputs, kernel, stride = numbers
                add(layer.Conv2d(x.shape[1], outputs, kernel, stride, padding=(kernel - 1) // 2, bias=False))
            elif kind == "BN":
                add(layer.BatchNorm2d(x.shape[1]))
            elif kind == "MP":
                add(layer.MaxPool2d(*numbers))
            elif kind == "AP" and x.dim() > 2:
                add(layer.AvgPool2d(*numbers))
            elif kind == "AP":
                add(layer.VotingLayer(numbers[0]))
            elif kind == "DP":
                add(layer.Dropout(0.5))
            elif kind == "FC":
                add(layer.Linear(x.shape[1], numbers[0], bias=False))
            else:
                add(NEURONS[kind](**OPTIONS))
        self.conv_fc = nn.Sequential(*parts)

    def forward(self, x):
        return self.conv_fc(x)


def expand(notation):
    """The notation without repeats: {a-b}*2 becomes a-b-a-b."""
    while "{" in notation:
        repeat = lambda found: "-".join([found[1]] * int(found[2]))
        notation = re.sub(r"\{([^{}]*)\}\*([0-9]+)", repeat, notation)
    return notation


def build(facts):
    """The network of an entry of networks.json, with the weights of the formula if the entry has its tensors."""
    if "class" in facts:
        kind = getattr(parametric_lif_net, facts["class"])
        net = kind(facts["channels"], NEURONS[facts["neuron"]], **OPTIONS)
    else:
        net = General(facts["notation"], facts["size"])
    functional.set_step_mode(net, "m")
    for place, (value, tensor) in enumerate(zip(net.state_dict().values(), facts.get("tensors", []))):
        fill(value, facts["seed"], place, tensor)
    return net


def frames_of(facts):
    return make_frames(facts["seed"], facts["steps"], facts["batch"], facts["size"])


# Running them


@torch.no_grad()
def potentials(node, x):
    """Potentials before firing, and spikes, by the neuron's equations."""
    v, all_h, spikes = torch.zeros_like(x[0]), [], []
    for current in x:
        if isinstance(node, neuron.IFNode):
            h = v + current
        elif isinstance(node, neuron.LIFNode):
            h = v + (current - v) / node.tau
        else:
            h = v + (current - v) * node.w.sigmoid()
        spike = (h >= 1.0).to(x)
        v = (1.0 - spike) * h
        all_h.append(h)
        spikes.append(spike)
    return torch.stack(all_h), torch.stack(spikes)


class Watch:
    """Counts the spikes of each neuron layer, and finds the potential that is closest to the threshold."""

    def __init__(self, net):
        self.spikes, self.rates, self.closest = [], [], []
        nodes = [part for part in net.modules() if isinstance(part, neuron.BaseNode)]
        self.hooks = [node.register_forward_hook(self.watch) for node in nodes]

    def watch(self, node, inputs, output):
        h, spikes = potentials(node, inputs[0].detach())
        assert torch.equal(spikes, output.detach()), "SpikingJelly's neuron differs from its equations"
        self.spikes.append(int(output.sum()))
        self.rates.append(output.mean().item())
        self.closest.append((h - 1.0).abs().min().item())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for hook in self.hooks:
            hook.remove()


def run(net, x, training=False):
    """Firing rates and what the neurons did."""
    net.train(training)
    for part in net.modules():
        if isinstance(part, layer.Dropout):
            part.p = 0.0
    with Watch(net) as watch, torch.set_grad_enabled(training):
        rate = net(x).mean(0)
    functional.reset_net(net)
    return rate, watch


def train(net, x, labels):
    """Firing rates, loss and gradients of a training step without dropout, and batch norm's statistics after it."""
    rate, watch = run(net, x, training=True)
    loss = F.mse_loss(rate, F.one_hot(torch.tensor(labels), rate.shape[1]).to(rate))
    loss.backward()
    result = {"train_rate": rate.detach().numpy(), "train_loss": np.float64(loss.item())}
    for name, parameter in net.named_parameters():
        result[f"grad|{name}"] = parameter.grad.numpy()
    for name, value in net.named_buffers():
        if "running" in name:
            result[f"after|{name}"] = value.numpy()
    return result, watch


# Choosing constants and seeds


def power(x):
    """The power of two that is closest to x."""
    return float(2.0 ** np.round(np.log2(x)))


@torch.no_grad()
def choose(net, seed, x):
    """Chooses centre and width of each tensor, layer after layer, so that the next layer fires."""
    tensors, parts = [], list(net.conv_fc)
    net.eval()

    def add(name, tensor, **facts):
        facts = {"name": name, "shape": list(tensor.shape)} | facts
        fill(tensor, seed, len(tensors), facts)
        tensors.append(facts)

    for at, part in enumerate(parts):
        state = {f"conv_fc.{at}.{name}": tensor for name, tensor in part.state_dict().items()}
        if isinstance(part, layer.BatchNorm2d):
            beta = 0.25 if isinstance(parts[at + 1], neuron.IFNode) else 0.75
            variance = power(x.var().item())
            mean = float(np.round(x.mean().item() * 16) / 16)
            weight, bias, running_mean, running_var, batches = state.items()
            add(*weight, centre=1.5, width=0.5)
            add(*bias, centre=beta, width=0.5)
            add(*running_mean, centre=mean, width=power(variance**0.5) / 4)
            add(*running_var, centre=variance, width=variance / 2)
            add(*batches, integer=3 + at)
        elif isinstance(part, (layer.Conv2d, layer.Linear)):
            fan_in = part.weight[0].numel()
            mean, square = x.mean().item(), x.square().mean().item()
            norm = isinstance(parts[at + 1], layer.BatchNorm2d)
            width = power(1.5 * (12 / (fan_in * square)) ** 0.5)
            centre = 0.0 if norm else float(np.round(0.75 / (fan_in * mean) * 4096) / 4096)
            for name, tensor in state.items():
                if name.endswith("bias"):
                    add(name, tensor, centre=0.0625, width=0.25)
                else:
                    add(name, tensor, centre=centre, width=width)
        elif isinstance(part, neuron.ParametricLIFNode):
            for name, tensor in state.items():
                add(name, tensor, centre=0.0, width=1.0)
        x = part(x)
    functional.reset_net(net)
    return tensors


def lively(rate, watch):
    """Whether every layer and class fires, and the output differs between classes and between samples."""
    rows = {tuple(row) for row in rate.tolist()}
    varied = len(rows) == len(rate) and all(len(set(row)) > 1 for row in rows)
    return varied and bool(rate.any(0).all()) and all(0.05 < r < 0.6 for r in watch.rates)


def search(facts, distance):
    """The entry of a network with the first seed that will do, and its results."""
    asked = facts
    for seed in range(1, 2000):
        facts = asked | {"seed": seed}
        x, net = frames_of(facts), build(facts)
        tensors = choose(net, seed, x)
        rate, watch = run(net, x)
        if not lively(rate, watch) or min(watch.closest) <= distance:
            continue
        results = {"eval_rate": rate.numpy()}
        facts |= {"events": int(x.sum()), "spikes": watch.spikes}
        closest = watch.closest
        if "class" not in facts:
            facts["labels"] = [(b + 1) % rate.shape[1] for b in range(facts["batch"])]
            trained, watch = train(net, x, facts["labels"])
            if not lively(torch.from_numpy(trained["train_rate"]), watch) or min(watch.closest) <= distance:
                continue
            results |= trained
            facts["train_spikes"] = watch.spikes
            closest = closest + watch.closest
        return facts | {"closest": float(f"{min(closest):.3g}"), "tensors": tensors}, results
    raise RuntimeError(f"no seed will do for {asked['name']}")


# The graph


def fold(conv, norm):
    """A convolution with a bias that does what a convolution and batch norm do in evaluation."""
    factor = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    folded = layer.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)
    folded.weight.copy_(conv.weight.double() * factor[:, None, None, None])
    folded.bias.copy_(norm.bias.double() - norm.running_mean.double() * factor)
    return folded


@torch.no_grad()
def for_graphs(net):
    """The network in what SpikingJelly can export.

    Batch norm goes into the convolution. Max pooling becomes average pooling and neurons that spike after one spike.
    Voting becomes a linear layer.
    """
    parts, features = [], None
    for part in net.conv_fc:
        if isinstance(part, layer.BatchNorm2d):
            parts[-1] = fold(parts[-1], part)
        elif isinstance(part, layer.MaxPool2d):
            parts += [layer.AvgPool2d(part.kernel_size, part.stride)]
            parts += [neuron.IFNode(v_threshold=1.0 / part.kernel_size**2)]
        elif isinstance(part, layer.VotingLayer):
            votes = layer.Linear(features, features // part.voting_size, bias=False)
            votes.weight.copy_(torch.eye(votes.out_features).repeat_interleave(part.voting_size, 1) / part.voting_size)
            parts.append(votes)
        elif not isinstance(part, layer.Dropout):
            parts.append(part)
        features = getattr(part, "out_features", features)
    folded = nn.Sequential(*parts).eval()
    functional.set_step_mode(folded, "m")
    return folded


def make_graph(facts):
    net, x = build(facts), frames_of(facts)
    net.eval()
    try:
        export_to_nir(net, x[:, :1])
        print("SpikingJelly exports the network as it is")
    except Exception as error:
        print(f"SpikingJelly doesn't export the network as it is: {type(error).__name__}: {error}")
    functional.reset_net(net)
    folded = for_graphs(net)
    spikes = []
    pools = [at + 1 for at, part in enumerate(folded) if isinstance(part, layer.AvgPool2d)]
    for at, part in enumerate(folded):
        if isinstance(part, neuron.BaseNode) and at not in pools:
            part.register_forward_hook(lambda _m, _i, out: spikes.append(int(out.sum())))
    with torch.no_grad():
        rate = folded(x).mean(0)
    functional.reset_net(folded)
    assert spikes == facts["spikes"], (spikes, facts["spikes"])
    graph = export_to_nir(folded, x[:, :1], HERE / "general.nir")
    print("general.nir:", {name: type(node).__name__ for name, node in graph.nodes.items()})
    return rate.numpy()


# All of it


def entries():
    for name, channels, size in CLASSES:
        for kind in ("LIF", "PLIF"):
            facts = {"name": f"{name}-{kind}", "class": name, "neuron": kind, "channels": channels}
            yield facts | {"size": size, "steps": 4, "batch": 2}, 1e-5
    for number, (notation, size) in enumerate(GENERAL, 1):
        yield {"name": str(number), "notation": notation, "size": size, "steps": 5, "batch": 3}, 2e-5


def check():
    """Computes everything again from the files alone, and the spikes in double precision too."""
    stored = np.load(HERE / "networks.npz")
    for facts in json.loads((HERE / "networks.json").read_text())["networks"]:
        name, x = facts["name"], frames_of(facts)
        net = build(facts)
        tensors = {key: list(value.shape) for key, value in net.state_dict().items()}
        assert tensors == {tensor["name"]: tensor["shape"] for tensor in facts["tensors"]}, name
        rate, watch = run(net, x)
        assert np.array_equal(rate.numpy(), stored[f"{name}|eval_rate"]) and watch.spikes == facts["spikes"], name
        _, watch = run(build(facts).double(), x.double())
        assert watch.spikes == facts["spikes"], f"{name}: other spikes in double precision"
        if "labels" not in facts:
            continue
        again, _ = train(build(facts), x, facts["labels"])
        doubles, watch = train(build(facts).double(), x.double(), facts["labels"])
        assert watch.spikes == facts["train_spikes"], f"{name}: other spikes in double precision"
        worst = 0.0
        for key, value in again.items():
            # Another number of threads rounds sums in another way.
            assert np.allclose(value, stored[f"{name}|{key}"], rtol=1e-4, atol=1e-6 * np.abs(value).max()), (name, key)
            assert np.abs(value).max() > 0.0, f"{name}: {key} is zero"
            if key.startswith("grad"):
                worst = max(worst, np.abs(value - doubles[key]).max() / np.abs(doubles[key]).max())
        print(f"{name}: gradients are off by {worst:.1e} of their largest from those in double precision")
        if name == "3":
            # SpikingJelly's importer makes a network that takes its state and gives it back.
            graph, state, votes = import_from_nir(HERE / "general.nir"), None, []
            with torch.no_grad():
                for frame in x:
                    vote, state = graph(frame, state)
                    votes.append(vote)
            rate = torch.stack(votes).mean(0).numpy()
            assert np.allclose(rate, stored["nir|eval_rate"], atol=1e-6), "general.nir gives other rates"
            assert np.allclose(rate, stored["3|eval_rate"], atol=1e-6), "general.nir differs from network 3"
    print("the files give the same results again")


def main():
    networks, arrays = [], {}
    for facts, distance in entries():
        facts, results = search(facts, distance)
        networks.append(facts)
        arrays |= {f"{facts['name']}|{key}": value for key, value in results.items()}
        elements = facts["steps"] * facts["batch"]
        print(f"{facts['name']}: seed {facts['seed']}, closest to the threshold {facts['closest']}")
        print("  spikes of each layer, for a frame:", [round(count / elements, 1) for count in facts["spikes"]])
        for rates in results["eval_rate"]:
            print("  rates of a sample:", *(f"{rate:.3g}" for rate in rates))
    arrays["nir|eval_rate"] = make_graph(networks[-2])
    np.savez_compressed(HERE / "networks.npz", **arrays)
    # One network a line, for readable changes.
    lines = ",\n".join(json.dumps(facts) for facts in networks)
    (HERE / "networks.json").write_text(f'{{"modulus": {MODULUS}, "frames": {FRAMES}, "networks": [\n{lines}\n]}}\n')
    for name in ("networks.json", "networks.npz", "general.nir"):
        print(name, (HERE / name).stat().st_size, "bytes")
    check()


if __name__ == "__main__":
    main()
