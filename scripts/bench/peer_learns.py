#!/usr/bin/env python3
"""Trains SpikingJelly's DVSGestureNet on a frame cache, as `dvs-train` trains its network; scripts/bench/learning runs it.

    peer_learns.py CACHE --channels 16 --batch-size 8 --epochs 12 --t-max 12 --lr 0.01 --seed 0

Needs torch, spikingjelly (2.0.0) and h5py. Multi-step LIF neurons, Adam, cosine annealing; the hidden linear layer has 4C
features like that of dvs-train, where SpikingJelly fixes 512. SpikingJelly's linear layers have a bias, the paper's
have none; --linear-bias decides. Prints one JSON object: the test accuracy of each epoch.
"""
import argparse
import json

import h5py
import torch
import torch.nn.functional as F
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from spikingjelly.activation_based.model import parametric_lif_net

CLASSES, VOTERS = 11, 10


def load(cache, name):
    """Frames [N, T, 2, H, W] and labels [N] of a set."""
    return torch.from_numpy(cache[name]["frames"][:]), torch.from_numpy(cache[name]["labels"][:]).long()


def network(channels, size, bias):
    net = parametric_lif_net.DVSGestureNet(
        channels=channels, spiking_neuron=neuron.LIFNode, surrogate_function=surrogate.ATan(), detach_reset=True
    )
    hidden, output = [i for i, part in enumerate(net.conv_fc) if isinstance(part, layer.Linear)]
    features = channels * (size[0] >> 5) * (size[1] >> 5)
    net.conv_fc[hidden] = layer.Linear(features, 4 * channels, bias=bias)
    net.conv_fc[output] = layer.Linear(4 * channels, CLASSES * VOTERS, bias=bias)
    functional.set_step_mode(net, "m")
    return net


def rates(net, frames):
    """Firing rates [B, 11] of a batch [B, T, 2, H, W]; the neurons are at rest afterwards."""
    rate = net(frames.float().transpose(0, 1).contiguous()).mean(0)
    functional.reset_net(net)
    return rate


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache")
    parser.add_argument("--channels", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--t-max", type=int, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--linear-bias", action="store_true")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    with h5py.File(args.cache) as cache:
        frames, labels = load(cache, "train")
        test_frames, test_labels = load(cache, "test")
    net = network(args.channels, frames.shape[-2:], args.linear_bias)
    optimizer = torch.optim.Adam(net.parameters(), lr=args.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.t_max)
    accuracies = []
    for _ in range(args.epochs):
        net.train()
        for batch in torch.randperm(len(labels)).split(args.batch_size):
            if len(batch) < args.batch_size:
                continue
            optimizer.zero_grad()
            loss = F.mse_loss(rates(net, frames[batch]), F.one_hot(labels[batch], CLASSES).float())
            loss.backward()
            optimizer.step()
        schedule.step()
        net.eval()
        with torch.no_grad():
            guesses = [rates(net, part).argmax(1) for part in test_frames.split(args.batch_size)]
        accuracies.append((torch.cat(guesses) == test_labels).float().mean().item())
    print(json.dumps({"test_acc": accuracies}))


main()
