#!/usr/bin/env python3
"""Makes the .pth files of this folder, and models.json with the firing rates that SpikingJelly gets from them.

    python tests/data/make_models.py    # needs torch and spikingjelly 2.0; overwrites them and fuzz/corpus/pth

Three small networks as different versions of SpikingJelly name and save them, with weights that make them fire:
plif.pth, its DVSGestureNet with PLIF neurons in a whole checkpoint; tutorial.pth, the tutorial's step-by-step network in
torch's format from before 1.6; layers.pth, its layer-by-layer network out of DataParallel. Frames are those of
frames-mini.npz, rates [samples, 11] of its test set in the order of SpikingJelly's folders.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from spikingjelly.activation_based.model.parametric_lif_net import DVSGestureNet
from torch import nn

HERE = Path(__file__).parent


def network(kind, hidden, bias, channels=2):
    net = DVSGestureNet(
        channels=channels, spiking_neuron=kind, surrogate_function=surrogate.ATan(), detach_reset=True
    )
    net.conv_fc[22] = layer.Linear(16 * channels, hidden, bias=bias)
    net.conv_fc[25] = layer.Linear(hidden, 110, bias=bias)
    functional.set_step_mode(net, "m")
    return net


def enliven(net, frames):
    """Draws weights, and batch norm's statistics from some frames, so that every layer fires."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 1.0, 2.0)
            nn.init.uniform_(module.bias, 0.2, 0.8)
            module.momentum = 0.5
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.15, 2.5 / module.in_features**0.5)
            if module.bias is not None:
                nn.init.uniform_(module.bias, -0.2, 0.4)
    net.train()
    with torch.no_grad():
        for _ in range(4):
            net(frames)
            functional.reset_net(net)
            for module in net.modules():
                if isinstance(module, neuron.ParametricLIFNode):
                    module.w.uniform_(-0.5, 0.5)
    net.eval()


def rates(net, frames):
    with torch.no_grad():
        rates = net(frames).mean(0).numpy()
    functional.reset_net(net)
    return rates


def renamed(net, name):
    """The state dict under other names: those of convolution, norm and linear layers by their place here."""
    return {name(*key.split(".")[1:]): value for key, value in net.state_dict().items()}


def tutorial(place, rest):
    place = int(place)
    return f"conv.{place}.{rest}" if place < 20 else f"fc.{place - 20}.{rest}"


def layers(place, rest):
    place = int(place)
    if place < 20:
        return f"module.conv.{3 * (place // 4)}.{place % 4}.{rest}"
    return f"module.fc.{place - 20}.0.{rest}"


def seeds_for_fuzzing():
    """The smallest networks in both of torch's formats; the zip archive without sums, which would refuse every change."""
    corpus = HERE.parent / "fuzz" / "corpus" / "pth"
    corpus.mkdir(parents=True, exist_ok=True)
    net = network(neuron.ParametricLIFNode, 1, True, channels=1)
    torch.save({"net": net.state_dict(), "epoch": 1}, corpus / "legacy", _use_new_zipfile_serialization=False)
    torch.serialization.set_crc32_options(False)
    torch.save(net.state_dict(), corpus / "zip")


def main():
    torch.manual_seed(7)
    npz = np.load(HERE / "frames-mini.npz")
    keys = [key for key in npz if key.startswith("test|") and key.endswith("|number16")]
    frames = torch.tensor(np.stack([npz[key] for key in keys], 1)).float()
    result = {"samples": [key.split("|")[1] for key in keys]}

    net = network(neuron.ParametricLIFNode, 6, True)
    enliven(net, frames)
    result["plif"] = rates(net, frames)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001)
    net(frames[:2]).sum().backward()
    state = {key: value.clone() for key, value in net.state_dict().items()}
    optimizer.step()
    args = argparse.Namespace(T=16, device="cuda:0", b=16, lr=0.001, channels=2, resume=None, amp=False)
    checkpoint = {
        "net": state,
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 64).state_dict(),
        "epoch": 41,
        "max_test_acc": 0.875,
        "args": args,
    }
    torch.save(checkpoint, HERE / "plif.pth")

    net = network(neuron.LIFNode, 8, False)
    enliven(net, frames)
    result["tutorial"] = rates(net, frames)
    torch.save(renamed(net, tutorial), HERE / "tutorial.pth", _use_new_zipfile_serialization=False)

    net = network(neuron.LIFNode, 8, False)
    enliven(net, frames)
    result["layers"] = rates(net, frames)
    torch.save({"net": renamed(net, layers), "epoch": 3, "max_test_acc": 0}, HERE / "layers.pth")

    for name, value in result.items():
        if name != "samples":
            print(name, np.unique(value.round(4)).size, "different rates, mean", value.mean())
            result[name] = value.tolist()
    (HERE / "models.json").write_text(json.dumps(result) + "\n")
    seeds_for_fuzzing()


if __name__ == "__main__":
    main()
