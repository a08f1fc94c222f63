#!/usr/bin/env python3
"""Prints the weights that the tests of dvs-train's optimizers expect: PyTorch's Adam and SGD after some of 100 steps.

Three weights, learning rate 0.01; gradient i at step t is sin(0.7 t + i) * 0.1^i, a formula that both sides can compute.
Needs torch: python3 scripts/bench/optimizer_values.py
"""

import math

import torch

RULES = {
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
}

for name, make in RULES.items():
    print(name)
    weight = torch.nn.Parameter(torch.tensor([0.5, -0.25, 1.0]))
    optimizer = make([weight])
    for t in range(100):
        weight.grad = torch.tensor([math.sin(0.7 * t + i) * 0.1**i for i in range(3)])
        optimizer.step()
        if t + 1 in (1, 2, 3, 10, 50, 100):
            print(f"({t + 1}, {[round(float(w), 6) for w in weight.detach()]}),")
