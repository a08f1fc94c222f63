"""What the items of a FrameCache are."""

import pickle
import sys
import unittest
import warnings

import h5py
import numpy as np
import support
from dvs_prep import CacheError, CacheMismatchError, CacheMissingError, FrameCache

try:
    from spikingjelly.datasets.dvs128_gesture import DVS128Gesture
except ImportError:
    DVS128Gesture = None


def setUpModule():
    tested = "SPIKINGJELLY IS NOT INSTALLED: items are compared with frames that it made, but not with its dataset"
    if DVS128Gesture is not None:
        tested = "SpikingJelly is installed: items are compared with its dataset one by one"
    print(tested, file=sys.stderr)


class Frames(unittest.TestCase):
    def test_frames_equal_those_of_spikingjelly(self):
        compared = 0
        for name in ("mini", "edge"):
            for split in support.SPLITS:
                for train in (True, False):
                    cache = FrameCache(support.cache(split, name), train, order="cache", checksums=True)
                    for (frames, label), sample in zip(cache, cache.names):
                        key = f"{'train' if train else 'test'}|{sample}@{label}|{split}"
                        expected = support.peer_frames(name)[key]
                        np.testing.assert_array_equal(frames, expected, key)
                        self.assertEqual((frames.dtype, type(label)), (np.float32, int))
                        compared += 1
                    cache.verify()
        self.assertEqual(compared, 3 * (44 + 48))

    @unittest.skipIf(DVS128Gesture is None, "SpikingJelly is not installed")
    def test_items_equal_those_of_spikingjelly_one_by_one(self):
        for split, options in {
            "number16": {"frames_number": 16, "split_by": "number"},
            "time16": {"frames_number": 16, "split_by": "time"},
            "duration100000": {"duration": 100_000},
        }.items():
            root = support.folder() / f"spikingjelly-{split}"
            support.run("export", support.archive(), "--to", "events-npz", "-o", root)
            for train in (True, False):
                theirs = DVS128Gesture(root, train=train, data_type="frame", **options)
                ours = FrameCache(support.cache(split), train=train, data_type="frame", **options)
                self.assertEqual(ours.targets, theirs.targets)
                for (frames, label), (expected, expected_label) in zip(ours, theirs):
                    np.testing.assert_array_equal(frames, expected)
                    self.assertEqual((frames.dtype, frames.flags.writeable), (expected.dtype, True))
                    self.assertEqual((label, type(label)), (expected_label, type(expected_label)))

    def test_types_of_counts(self):
        expected = FrameCache(support.cache(), dtype=None)
        self.assertEqual(expected.count_type, np.uint8)
        for count_type in ("uint16", "uint32"):
            path = support.altered(lambda file: support.widen(file, count_type))
            cache = FrameCache(path, dtype=None, checksums=True)
            cache.verify()
            self.assertEqual(cache[3][0].dtype, count_type)
            np.testing.assert_array_equal(cache[3][0], expected[3][0])
            np.testing.assert_array_equal(FrameCache(path)[3][0], expected[3][0])
            self.assertTrue(cache[3][0].flags.writeable)

    def test_a_type_that_does_not_hold_a_count_is_refused(self):
        def one_large_count(file):
            support.widen(file, "uint32")
            file["train/frames"][0, 0, 0, 0, 0] = (1 << 24) + 1

        path = support.altered(one_large_count)
        for dtype in (np.float32, np.int16):
            with self.assertRaisesRegex(
                CacheError, r"/train/frames, row 0 .* a count of 16777217, which .* wider dtype"
            ):
                FrameCache(path, order="cache", dtype=dtype)[0]
        self.assertEqual(FrameCache(path, order="cache", dtype=np.float64)[0][0].max(), (1 << 24) + 1)


class Order(unittest.TestCase):
    def test_order_of_the_cache_is_that_of_its_rows(self):
        with h5py.File(support.cache()) as file:
            rows = file["test"]
            cache = FrameCache(support.cache(), train=False, order="cache")
            self.assertEqual(cache.names, list(rows["names"].asstr()))
            self.assertEqual(cache.targets, rows["labels"][:].tolist())
            self.assertEqual(cache.label_names, list(file["label_names"].asstr()))
            np.testing.assert_array_equal(cache.rows, np.arange(len(cache)))

    def test_order_of_spikingjelly_sorts_labels_and_names_as_text(self):
        cache = FrameCache(support.cache())
        rows = FrameCache(support.cache(), order="cache")
        self.assertEqual(
            cache.label_names[:4], ["hand_clapping", "right_hand_wave", "other_gestures", "left_hand_wave"]
        )
        self.assertEqual(cache.targets, sorted(cache.targets))
        for item, row in enumerate(cache.rows):
            np.testing.assert_array_equal(cache[item][0], rows[row][0])
            self.assertEqual(cache.names[item], rows.names[row])
            self.assertEqual(cache.events[item], rows.events[row])
            self.assertEqual(cache.windows_us[item].tolist(), rows.windows_us[row].tolist())
            self.assertEqual(cache.label_names[cache.targets[item]], rows.label_names[rows.targets[row]])

    def test_names_of_torchvision(self):
        cache = FrameCache(support.cache())
        self.assertIs(cache.classes, cache.label_names)
        self.assertEqual(cache.class_to_idx["other_gestures"], 2)
        self.assertEqual(cache.samples[0], (cache.names[0], cache.targets[0]))


class Access(unittest.TestCase):
    def test_indices(self):
        cache = FrameCache(support.cache())
        self.assertEqual(len(cache), 22)
        self.assertEqual(len(list(cache)), 22)
        np.testing.assert_array_equal(cache[-1][0], cache[21][0])
        np.testing.assert_array_equal(cache[np.int64(5)][0], cache[5][0])
        for index in (22, -23):
            with self.assertRaisesRegex(IndexError, rf"no sample {index} among the 22 of /train"):
                cache[index]
        for index in (slice(0, 2), "0", 1.0, None):
            with self.assertRaisesRegex(TypeError, "torch.utils.data.Subset"):
                cache[index]

    def test_metadata(self):
        with h5py.File(support.cache("duration100000")) as file:
            rows = file["train"]
            cache = FrameCache(support.cache("duration100000"), order="cache")
            np.testing.assert_array_equal(cache.events, rows["events"])
            np.testing.assert_array_equal(cache.windows_us[:, 0], rows["start_us"])
            np.testing.assert_array_equal(cache.windows_us[:, 1], rows["end_us"])
            np.testing.assert_array_equal(cache.time_steps, np.diff(rows["offsets"]))
            self.assertEqual(cache.source_sha256, file.attrs["source_sha256"])
        self.assertEqual((cache.split_by, cache.frames_number, cache.duration), ("duration", None, 100_000))
        self.assertEqual((cache.height, cache.width, cache.skipped, cache.keep_invalid), (128, 128, [], False))
        self.assertEqual(cache[0][0].shape, (cache.time_steps[0], 2, 128, 128))

    def test_repr_tells_what_the_cache_holds(self):
        said = repr(FrameCache(support.cache(), train=False))
        for part in ("test set: 22 samples of 11 classes", "16 frames split by number: [16, 2, 128, 128]", "dvs-prep"):
            self.assertIn(part, said)
        self.assertIn("frames of 100000 us: [13 to 18, 2, 128, 128]", repr(FrameCache(support.cache("duration100000"))))

    def test_transforms(self):
        cache = FrameCache(support.cache(), transform=lambda frames: frames.sum(), target_transform=str)
        self.assertEqual(cache[0], (cache.events[0], "0"))

    def test_a_closed_cache_opens_again(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with FrameCache(support.cache()) as cache:
                before = cache[0][0]
            cache.close()
            np.testing.assert_array_equal(cache[0][0], before)
            del cache

    def test_a_pickled_copy_gives_the_same_items(self):
        cache = FrameCache(support.cache(), dtype=None, checksums=True, order="cache")
        copy = pickle.loads(pickle.dumps(cache))
        np.testing.assert_array_equal(copy[7][0], cache[7][0])
        self.assertEqual(repr(copy), repr(cache))


class Options(unittest.TestCase):
    def test_wanted_options_are_compared(self):
        path = support.cache()
        FrameCache(path, frames_number=16, split_by="number")
        FrameCache(support.cache("duration100000"), duration=100_000)
        for wanted, asked in [
            ({"frames_number": 8, "split_by": "number"}, "frames_number=8, split_by='number' is asked for"),
            ({"split_by": "time"}, "split_by='time' is asked for"),
            ({"duration": 100_000}, "duration=100000 is asked for"),
        ]:
            with self.assertRaisesRegex(CacheMismatchError, f"{path} holds 16 frames split by number, and {asked}"):
                FrameCache(path, **wanted)

    def test_a_folder_is_searched_for_the_name_that_dvs_prep_gives(self):
        folder = support.folder() / "root"
        folder.mkdir()
        support.run("-i", support.archive(), "-o", folder, "--frames", "2")
        self.assertEqual(FrameCache(root=folder, frames_number=2, split_by="number")[0][0].shape, (2, 2, 128, 128))
        with self.assertRaisesRegex(
            ValueError, "is a folder: name the cache in it, or give frames_number and split_by"
        ):
            FrameCache(folder, frames_number=2)
        for wanted, name in [
            ({"frames_number": 4, "split_by": "time"}, "frames_number_4_split_by_time.h5"),
            ({"duration": 5}, "duration_5.h5"),
        ]:
            with self.assertRaisesRegex(CacheMissingError, f"there is no cache {folder / name}"):
                FrameCache(folder, **wanted)

    def test_wrong_arguments_are_refused(self):
        for wrong, error in [
            ({"train": None}, TypeError),
            ({"train": "test"}, TypeError),
            ({"data_type": "event"}, ValueError),
            ({"order": "random"}, ValueError),
        ]:
            with self.assertRaises(error):
                FrameCache(support.cache(), **wrong)


if __name__ == "__main__":
    unittest.main()
