"""Trains SpikingJelly's network from a frame cache: train_spikingjelly.py CACHE 64 128 (64 epochs, 128 channels)"""

import sys

import torch
import torch.nn.functional as F
from dvs_prep import FrameCache
from spikingjelly.activation_based import functional, neuron, surrogate
from spikingjelly.activation_based.model.parametric_lif_net import DVSGestureNet
from torch.utils.data import DataLoader

if __name__ == "__main__":
    path, epochs, channels = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loaders = {
        train: DataLoader(FrameCache(path, train=train), batch_size=16, shuffle=train, num_workers=2, drop_last=train)
        for train in (True, False)
    }
    print(loaders[True].dataset)
    net = DVSGestureNet(channels, neuron.LIFNode, surrogate_function=surrogate.ATan(), detach_reset=True).to(device)
    functional.set_step_mode(net, "m")
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(epochs):
        for train, loader in loaders.items():
            net.train(train)
            correct = count = 0
            for frames, labels in loader:  # [N, T, 2, H, W], [N]
                labels = labels.to(device)
                with torch.set_grad_enabled(train):
                    rates = net(frames.to(device).transpose(0, 1)).mean(0)  # [N, 11]
                    loss = F.mse_loss(rates, F.one_hot(labels, 11).float())
                if train:
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                functional.reset_net(net)
                correct, count = correct + (rates.argmax(1) == labels).sum().item(), count + len(labels)
            print(f"epoch {epoch}, {'train' if train else 'test'}: {100 * correct / max(count, 1):.1f} %", flush=True)
        scheduler.step()
