"""frames_dataset runs dvs-prep."""

import io
import os
import shutil
import signal
import sys
import sysconfig
import threading
import unittest
from contextlib import redirect_stderr
from functools import lru_cache
from pathlib import Path
from unittest import mock

import numpy as np
import support
from dvs_prep import FrameCache, PreparationError, frames_dataset


def prepare(*arguments, **options):
    """What frames_dataset returns, and what it wrote to standard error."""
    said = io.StringIO()
    with redirect_stderr(said):
        cache = frames_dataset(*arguments, program=support.program(), **options)
    return cache, said.getvalue()


@lru_cache(maxsize=None)
def large_archive():
    """An archive that takes some tenths of a second to prepare."""
    path = support.folder() / "large.tar.gz"
    support.run("synth", "--users", "2", "--lights", "led", "-o", path)
    return path


class Preparation(unittest.TestCase):
    def setUp(self):
        self.output = support.folder() / f"{self._testMethodName}.h5"

    def test_makes_the_cache_and_opens_each_set(self):
        for options, split in [
            ({"frames_number": 16, "split_by": "number"}, "number16"),
            ({"frames_number": 16, "split_by": "time"}, "time16"),
            ({"duration": "100ms"}, "duration100000"),
            ({"duration": 100_000, "split_by": "duration"}, "duration100000"),
        ]:
            for train in (True, False):
                cache, said = prepare(support.archive(), train, output=self.output, force=train, jobs=1, **options)
                expected = FrameCache(support.cache(split), train)
                self.assertEqual((said, cache.path, cache.samples), ("", str(self.output), expected.samples))
                np.testing.assert_array_equal(cache[0][0], expected[0][0])

    def test_passes_every_option(self):
        program = support.folder() / "arguments"
        program.write_text('#!/bin/sh\nfor argument; do echo "$argument" >&2; done; exit 1\n')
        program.chmod(0o755)
        with self.assertRaises(PreparationError) as raised:
            frames_dataset(
                Path("in"), output="out", frames_number=4, split_by="time", duration=5, jobs=2, memory=100, force=True,
                skip_damaged=True, sensor=(346, 260), layout="davis", stream=-1, classes="c.csv", keep_invalid=True,
                ignore_outside=True, program=program, progress=False,
            )  # fmt: skip
        expected = """prepare --json --input=in --output=out --frames=4 --split=time --duration=5 --jobs=2 --memory=100
            --sensor=346x260 --layout=davis --stream=-1 --classes=c.csv --force --skip-damaged --keep-invalid
            --ignore-outside"""
        self.assertEqual(str(raised.exception).split(), expected.split())

    def test_reader_options_reach_the_cache(self):
        cache, _ = prepare(
            support.archive(), output=self.output, transform=np.sum, target_transform=str, order="cache", dtype=None,
            checksums=True,
        )  # fmt: skip
        self.assertEqual(cache[0], (cache.events[0], "0"))
        self.assertEqual((cache.order, cache.dtype, cache.checksums), ("cache", np.uint8, True))

    def test_errors_are_those_of_the_program(self):
        for progress in (False, True):
            for options, message in [
                ({"frames_number": 0}, r"^error: --frames is 0; it must lie between 1 and 1024$"),
                ({"input": "/nowhere"}, r"^dvs-prep: cannot read /nowhere: No such file or directory \(os error 2\)$"),
                ({"sensor": (16, 16)}, r"^dvs-prep: no cache was made from .*: 4 problems with the input:\n  - user01"),
            ]:
                options = {"input": support.archive(), "output": self.output, "progress": progress, **options}
                with self.assertRaisesRegex(PreparationError, message) as raised:
                    prepare(**options)
                self.assertNotIn("\x1b", str(raised.exception))
                self.assertFalse(self.output.exists())

    def test_warnings_are_shown(self):
        dataset = support.folder() / "damaged"
        shutil.unpack_archive(support.archive(), dataset)
        recording = next(dataset.rglob("user01*.aedat"))
        recording.write_bytes(b"nothing")
        for progress in (False, True):
            cache, said = prepare(dataset, output=self.output, force=True, skip_damaged=True, progress=progress)
            self.assertRegex(said, rf"(?m)^(.*\r)?dvs-prep: warning: .*{recording.name}")
            self.assertEqual(cache.skipped, [recording.stem])
            self.assertIn("damaged recordings", repr(cache))

    def test_progress_is_drawn_over_one_line(self):
        archive = large_archive()
        _, said = prepare(archive, output=self.output, progress=True)
        *bars, last = said.strip("\r").split("\r")
        self.assertRegex(said, r"preparing .* samples")
        self.assertNotRegex(said, "[\x1b\n]")
        self.assertTrue(said.endswith("\r") and last.strip() == "", repr(said[-200:]))
        _, said = prepare(archive, output=self.output, force=True)
        self.assertEqual(said, "", "there is no terminal and no notebook")
        with mock.patch.dict(sys.modules, ipykernel=mock.Mock()):
            _, said = prepare(archive, output=self.output, force=True)
        self.assertRegex(said, r"preparing .* samples")

    def test_an_interrupt_ends_the_program_and_leaves_no_file(self):
        archive = large_archive()
        folder = support.folder() / "interrupted"
        folder.mkdir()
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        with self.assertRaises(KeyboardInterrupt):
            timer.start()
            prepare(archive, output=folder / "cache.h5", jobs=1)
        timer.join()
        self.assertEqual([name for name in os.listdir(folder) if "lock" not in name], [])


class Program(unittest.TestCase):
    def test_the_environments_program_comes_first(self):
        folders = {name: support.folder() / name for name in ("scripts", "path")}
        for name, folder in folders.items():
            folder.mkdir()
            program = folder / "dvs-prep"
            program.write_text(f"#!/bin/sh\necho {name} >&2; exit 1\n")
            program.chmod(0o755)
        get_path = mock.patch.object(sysconfig, "get_path", lambda name: str(folders[name]))
        with get_path, mock.patch.dict(os.environ, PATH=f"{folders['path']}:{os.environ['PATH']}"):
            for expected in ("scripts", "path"):
                with self.assertRaisesRegex(PreparationError, f"^{expected}$"):
                    frames_dataset()
                shutil.rmtree(folders[expected])
            with mock.patch.dict(os.environ, PATH="/nowhere"):
                with self.assertRaisesRegex(PreparationError, "no program dvs-prep, neither in .* Install it with"):
                    frames_dataset()

    def test_a_program_that_does_not_run(self):
        with self.assertRaisesRegex(PreparationError, "cannot run /nowhere/dvs-prep: No such file or directory"):
            frames_dataset(program="/nowhere/dvs-prep")


if __name__ == "__main__":
    unittest.main()
