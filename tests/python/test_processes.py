"""Threads, processes of every start method, and PyTorch's DataLoader read the same samples."""

import multiprocessing
import os
import pickle
import shutil
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import support
from dvs_prep import CacheDamagedError, CacheError, CacheMissingError, FrameCache

try:
    import torch
    from torch.utils.data import DataLoader
except ImportError:
    DataLoader = None

START_METHODS = ("fork", "spawn", "forkserver")


def setUpModule():
    tested = "TORCH IS NOT INSTALLED: its DataLoader is not tested, only multiprocessing"
    if DataLoader is not None:
        tested = f"torch {torch.__version__}: its DataLoader is tested, and multiprocessing"
    print(tested, file=sys.stderr)


def serve(cache, requests, replies):
    """Reads single items in a process that got the cache when it started, as a worker of a DataLoader does."""
    for index in iter(requests.get, None):
        try:
            replies.put((index, cache[index]))
        except Exception as error:
            replies.put((index, error))


def read_by_workers(cache, method, workers=2):
    """All items, read by processes."""
    context = multiprocessing.get_context(method)
    requests, replies = context.Queue(), context.Queue()
    processes = [context.Process(target=serve, args=(cache, requests, replies)) for _ in range(workers)]
    for process in processes:
        process.start()
    for index in range(len(cache)):
        requests.put(index)
    items = dict(replies.get(timeout=120) for _ in range(len(cache)))
    for _ in processes:
        requests.put(None)
    for process in processes:
        process.join()
    return [items[index] for index in range(len(cache))]


class Processes(unittest.TestCase):
    def assert_same(self, items, cache):
        self.assertEqual(len(items), len(cache))
        for (frames, label), (expected, expected_label) in zip(items, cache):
            np.testing.assert_array_equal(frames, expected)
            self.assertEqual(label, expected_label)

    def test_workers_of_every_start_method_read_the_same(self):
        for split in support.SPLITS:
            for method in START_METHODS:
                cache = FrameCache(support.cache(split), checksums=True)
                cache[0]
                self.assert_same(read_by_workers(cache, method), cache)

    @unittest.skipIf(DataLoader is None, "torch is not installed")
    def test_data_loader_gives_the_same_with_any_workers(self):
        cache = FrameCache(support.cache())
        for workers, method in [(0, None), *((2, method) for method in START_METHODS)]:
            loader = DataLoader(cache, batch_size=4, num_workers=workers, multiprocessing_context=method)
            items = [item for frames, labels in loader for item in zip(frames.numpy(), labels.tolist())]
            self.assert_same(items, cache)

    @unittest.skipIf(DataLoader is None, "torch is not installed")
    def test_an_error_in_a_data_loaders_worker_keeps_its_type_and_message(self):
        cache = FrameCache(damaged_chunk())
        for method in START_METHODS:
            with self.assertRaisesRegex(CacheDamagedError, "does not inflate"):
                list(DataLoader(cache, batch_size=4, num_workers=2, multiprocessing_context=method))

    def test_an_error_in_a_worker_keeps_its_type_and_message(self):
        cache = FrameCache(damaged_chunk(), order="cache")
        error = read_by_workers(cache, "spawn")[0]
        self.assertIsInstance(error, CacheDamagedError)
        self.assertIn("/train/frames, row 0 (user01_fluorescent_0)", str(error))

    def test_threads_share_a_cache(self):
        cache = FrameCache(support.cache())
        cache.close()
        with ThreadPoolExecutor(8) as threads:
            self.assert_same(list(threads.map(cache.__getitem__, range(len(cache)))), cache)

    def test_a_relative_path_survives_another_working_directory(self):
        before = os.getcwd()
        try:
            os.chdir(support.folder())
            cache = FrameCache(support.cache().name)
            os.chdir("/")
            self.assert_same(read_by_workers(cache, "spawn", workers=1), cache)
        finally:
            os.chdir(before)


class Replaced(unittest.TestCase):
    def setUp(self):
        self.path = support.altered(lambda file: None)
        self.cache = FrameCache(self.path)

    def replace(self):
        other = support.altered(lambda file: file.attrs.create("note", 1))
        os.replace(other, self.path)

    def test_a_cache_that_was_replaced_is_read_to_the_end_by_who_has_it_open(self):
        expected = self.cache[1][0]
        self.replace()
        np.testing.assert_array_equal(self.cache[1][0], expected)

    def test_a_worker_refuses_a_cache_that_was_replaced_meanwhile(self):
        self.replace()
        with self.assertRaisesRegex(CacheError, "was changed or replaced after it was opened. Open it again"):
            pickle.loads(pickle.dumps(self.cache))[0]

    def test_a_worker_says_if_the_cache_is_gone(self):
        os.remove(self.path)
        with self.assertRaisesRegex(CacheMissingError, f"there is no cache {self.path}"):
            pickle.loads(pickle.dumps(self.cache))[0]

    def test_a_cache_that_is_written_to_is_refused(self):
        shutil.copyfile(support.cache("time16"), self.path)
        with self.assertRaisesRegex(CacheError, "was changed or replaced after it was opened"):
            self.cache[0]


def damaged_chunk():
    """A cache whose first training sample does not inflate."""

    def damage(file):
        nonlocal position
        position = file["train/frames"].id.get_chunk_info(0).byte_offset

    position = 0
    path = support.altered(damage)
    with open(path, "r+b") as file:
        file.seek(position)
        file.write(b"\xff" * 8)
    return path


if __name__ == "__main__":
    unittest.main()
