"""The example trains SpikingJelly's network, and its padding takes samples of different T."""

import importlib.util
import subprocess
import sys
import unittest
from pathlib import Path

import support
from dvs_prep import FrameCache

EXAMPLE = Path(__file__).parents[2] / "dvs-prep" / "python" / "examples" / "train_spikingjelly.py"
HAS_SPIKINGJELLY = importlib.util.find_spec("spikingjelly") is not None


@unittest.skipUnless(HAS_SPIKINGJELLY, "SpikingJelly is not installed")
class Example(unittest.TestCase):
    def test_the_example_trains(self):
        path = support.folder() / "example.h5"
        support.run("-i", support.archive(), "-o", path, "--frames", "2")
        command = [sys.executable, EXAMPLE, path, "2", "2"]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        self.assertRegex(said, r"epoch 1, train: [\d.]+ %\nepoch 1, test: [\d.]+ %\n$")

    def test_samples_of_different_lengths_are_padded(self):
        from spikingjelly.datasets.utils import pad_sequence_collate
        from torch.utils.data import DataLoader

        cache = FrameCache(support.cache("duration100000"))
        loader = DataLoader(cache, batch_size=len(cache), collate_fn=pad_sequence_collate)
        ((frames, labels, lengths),) = loader
        self.assertEqual(list(frames.shape), [len(cache), max(cache.time_steps), 2, 128, 128])
        self.assertEqual((labels.tolist(), lengths.tolist()), (cache.targets, cache.time_steps.tolist()))


if __name__ == "__main__":
    unittest.main()
