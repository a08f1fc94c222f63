"""A file that is no cache, a damaged or foreign one: each is refused with a message that says what to do."""

import os
import random
import unittest
import zlib

import h5py
import numpy as np
import support
from dvs_prep import CacheDamagedError, CacheError, CacheMissingError, CacheVersionError, FrameCache


class Refused(unittest.TestCase):
    def refuse(self, path, said, kind=CacheDamagedError, exact=True):
        """Expects an error that has the words `said`, names the file, and says what to do."""
        with self.assertRaises(kind) as raised:
            FrameCache(path, order="cache")
        message = str(raised.exception)
        self.assertIn(said, message)
        self.assertIn(str(path), message)
        self.assertRegex(message, r"\. (Make|Name|Copy|Install|Rewrite|Open)[^.]*[a-z`)]")
        if exact:
            self.assertIs(type(raised.exception), kind)

    def refuse_altered(self, said, alter, kind=CacheDamagedError, split="number16"):
        self.refuse(support.altered(alter, split), said, kind)

    def test_missing(self):
        path = support.folder() / "nothing.h5"
        with self.assertRaises(FileNotFoundError) as raised:
            FrameCache(path)
        self.assertIsInstance(raised.exception, CacheMissingError)
        self.assertIn(f"there is no cache {path}. Make it with dvs-prep", str(raised.exception))

    def test_other_files(self):
        text = support.folder() / "text.h5"
        text.write_text("version https://git-lfs.github.com/spec/v1")
        self.refuse(text, "does not begin with HDF5's signature", CacheError)
        text.write_bytes(b"")
        self.refuse(text, "does not begin with HDF5's signature", CacheError)
        pipe = support.folder() / "pipe.h5"
        os.mkfifo(pipe)
        self.refuse(pipe, "not a regular file", CacheError)
        other = support.folder() / "other.h5"
        with h5py.File(other, "w") as file:
            file["x"] = np.arange(3)
        self.refuse(other, "its attribute `format` is None, not 'dvs-frame-cache'", CacheError)
        with h5py.File(other, "w", libver="latest") as file:
            file["x"] = np.arange(3)
        self.refuse(other, "its superblock has version", CacheError)

    def test_other_versions(self):
        for version in (0, 2, 4_000_000_000):
            self.refuse_altered(
                f"has cache format version {version}; this package reads version 1. Install a dvs-prep that knows",
                lambda file: file.attrs.modify("format_version", np.uint32(version)),
                CacheVersionError,
            )

    def test_unfinished(self):
        self.refuse_altered("was cut off while it was written", lambda file: file.attrs.pop("complete"))

    def test_root_attributes(self):
        def put(**values):
            return lambda file: [file.attrs.__setitem__(name, value) for name, value in values.items()]

        for said, alter in [
            ("attribute `frames`: it is missing", lambda file: file.attrs.pop("frames")),
            ("attribute `frames`: its type is float64 [], not one integer", put(frames=16.0)),
            ("attribute `frames`: its type is int64 [2], not one integer", put(frames=[16, 16])),
            ("attribute `frames`: it is 1025; it must lie between 0 and 1024", put(frames=np.uint32(1025))),
            ("attribute `height`: it is 0; it must lie between 1 and 2048", put(height=np.uint32(0))),
            ("attribute `polarities`: it is 3", put(polarities=np.uint32(3))),
            ("`split_by`, `frames`, `duration_us`: 'number', 16 and 5 do not", put(duration_us=np.uint64(5))),
            ("'events', 16 and 0 do not go together", put(split_by="events")),
            ("attribute `split_by`: its type is int64, not a text", put(split_by=1)),
            (
                "takes 538968064 bytes as uint32",
                put(frames=np.uint32(1024), height=np.uint32(256), width=np.uint32(257)),
            ),
            ("attribute `source_sha256`: 'abc' is not 64 hexadecimal digits", put(source_sha256="abc")),
            ("attribute `address_layout`: it is 'dvs', not one of", put(address_layout="dvs")),
            ("attribute `test_share`: it is '10%', not a share", put(test_share="10%")),
            ("attribute `split_seed`: there is no attribute `test_share`", put(split_seed=np.uint64(1))),
            ("attribute `dataset`: it is 'other', not 'DVS128Gesture'", put(dataset="other")),
            ("attribute `skipped`: its shape is [], not [N]", put(skipped=np.bytes_(b"x"))),
            ("the attributes of its root: CRC-32 is", put(keep_invalid=np.uint32(1))),
            ("the attributes of its root: CRC-32 is", put(stream=np.int32(1))),
            ("`created_by` claims a text of 65537 bytes", put(created_by="x" * 65537)),
        ]:
            self.refuse_altered(said, alter)

    def test_columns(self):
        for said, alter in [
            ("/test: it is missing", lambda file: file.pop("test")),
            ("/train: it is not a group", lambda file: support.replace(file, "train", data=[1])),
            ("/train/events: it is missing", lambda file: file["train"].pop("events")),
            ("/train/labels: its type is uint16, not uint8", lambda file: column(file, "labels", np.zeros(22, "u2"))),
            ("/train/events: its shape is [3], not [22]", lambda file: column(file, "events", np.zeros(3, "u8"))),
            ("/train/labels: its shape is [22, 1], not", lambda file: column(file, "labels", np.zeros((22, 1), "u1"))),
            ("row 0 is 11, beyond the last label, 10", lambda file: column(file, "labels", np.full(22, 11, "u1"))),
            ("not UTF-8 of at most 128 bytes", lambda file: column(file, "names", ["x"] * 22)),
            ("not UTF-8 of at most 128 bytes", lambda file: column(file, "names", np.zeros(22, "S129"))),
            ("the columns of /train: CRC-32 is", lambda file: file["train/events"].__setitem__(0, 1)),
            ("/train/names: a name occurs twice", lambda file: file["train/names"].__setitem__(slice(None), b"x")),
            (
                "/label_names: its shape is [0]",
                lambda file: support.replace(file, "label_names", shape=(0,), dtype="S8"),
            ),
            ("/train: its member 'link' is a link", lambda file: file["train"].__setitem__("link", h5py.SoftLink("/"))),
            ("/: it has 70 members", lambda file: [file.create_group(f"group{i}") for i in range(67)]),
        ]:
            self.refuse_altered(said, alter)
        chunked = {"data": np.zeros(22, "u1"), "chunks": (2,)}
        self.refuse_altered("not stored in one piece", lambda file: support.replace(file["train"], "labels", **chunked))
        external = {"shape": (22,), "dtype": "u1", "external": [("/etc/passwd", 0, 22)]}
        self.refuse_altered(
            "not stored in one piece", lambda file: support.replace(file["train"], "labels", **external)
        )
        offsets = [0, 5, 5]
        self.refuse_altered(
            "/train/offsets: its rows do not increase from 0",
            lambda file: file["train/offsets"].__setitem__(slice(0, 3), offsets),
            split="duration100000",
        )

    def test_frames(self):
        shape, chunk = (22, 16, 2, 128, 128), (1, 16, 2, 128, 128)
        deflate = {"compression": "gzip", "compression_opts": 1}
        for said, options in [
            ("its shape is [22, 16, 2, 128, 64]", {"shape": (*shape[:4], 64), "dtype": "u1"}),
            ("its counts are uint8, those of /train/frames float32", {"shape": shape, "dtype": "f4"}),
            ("its chunks are none, not [1, 16, 2, 128, 128]", {"shape": shape, "dtype": "u1"}),
            (
                "its chunks are [2, 16, 2, 128, 128]",
                {"shape": shape, "dtype": "u1", "chunks": (2, *shape[1:]), **deflate},
            ),
            (
                "its filters have the HDF5 numbers [3], not [1]",
                {"shape": shape, "dtype": "u1", "chunks": chunk, "fletcher32": True},
            ),
            (
                "HDF5 numbers [2, 1], not [1]",
                {"shape": shape, "dtype": "u1", "chunks": chunk, "shuffle": True, **deflate},
            ),
            ("22 of its 22 chunks are missing", {"shape": shape, "dtype": "u1", "chunks": chunk, **deflate}),
        ]:
            self.refuse_altered(said, lambda file: support.replace(file["train"], "frames", **options))
        floats = {"shape": shape, "dtype": "f4"}
        self.refuse_altered(
            "its type is float32, not uint8, uint16 or uint32",
            lambda file: [support.replace(file[name], "frames", **floats) for name in ("train", "test")],
        )

    def test_every_truncation(self):
        whole = support.cache().read_bytes()
        path = support.folder() / "short.h5"
        for length in [*range(0, 4096, 97), *range(4096, len(whole), 9973), len(whole) - 1]:
            path.write_bytes(whole[:length])
            self.refuse(path, "short.h5", CacheError, exact=False)


class Samples(unittest.TestCase):
    def test_a_chunk_that_does_not_inflate_as_recorded(self):
        for said, chunk in [
            ("does not inflate", b"\xff" * 100),
            ("inflates to 5 bytes, not 524288", zlib.compress(bytes(5))),
            ("inflates to at least 524289 bytes, not 524288", zlib.compress(bytes(1 << 30))),
            ("inflates to at least 524288 bytes, not 524288", zlib.compress(bytes(1 << 19))[:-4]),
        ]:
            path = support.altered(lambda file: file["train/frames"].id.write_direct_chunk((3, 0, 0, 0, 0), chunk))
            cache = FrameCache(path, order="cache")
            cache[2]
            with self.assertRaisesRegex(CacheDamagedError, rf"/train/frames, row 3 \(user\w+\): the chunk .* {said}"):
                cache[3]

    def test_checksums_are_checked_if_asked_for(self):
        def count_more(file):
            file["train/frames"][3, 0, 0, 0, 0] += 1

        path = support.altered(count_more)
        FrameCache(path, order="cache")[3]
        said = r"/train/frames, row 3 .*: CRC-32 is \w{8}, /train/checksums says \w{8}"
        with self.assertRaisesRegex(CacheDamagedError, said):
            FrameCache(path, order="cache", checksums=True)[3]
        with self.assertRaisesRegex(CacheDamagedError, said):
            FrameCache(path).verify()

    def test_verify_counts_the_events(self):
        def claim_more(file):
            file["train/events"][3] += 1
            del file["train"].attrs["rows_crc32"]

        with self.assertRaisesRegex(
            CacheDamagedError, "row 3 .*: /train/events says 4223 events, its frames hold 4222"
        ):
            FrameCache(support.altered(claim_more)).verify()

    def test_random_damage_raises_cache_errors_only(self):
        generator = random.Random(0)
        path = support.folder() / "damaged.h5"
        refused = 0
        for split in support.SPLITS:
            whole = support.cache(split).read_bytes()
            for _ in range(60):
                damaged = bytearray(whole)
                damaged[generator.randrange(generator.choice([20_000, len(whole)]))] = generator.randrange(256)
                path.write_bytes(damaged)
                try:
                    for train in (True, False):
                        FrameCache(path, train).verify()
                except CacheError:
                    refused += 1
        self.assertGreater(refused, 60)


def column(file, name, values):
    """Puts other values in the place of a column, and leaves out its checksum."""
    support.replace(file["train"], name, data=values)
    file["train"].attrs.pop("rows_crc32", None)


if __name__ == "__main__":
    unittest.main()
