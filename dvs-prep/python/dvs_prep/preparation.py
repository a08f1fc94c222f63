"""Runs dvs-prep."""

import codecs
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dvs_prep.errors import PreparationError
from dvs_prep.frame_cache import FrameCache, Order

StrPath = Union[str, "os.PathLike[str]"]

PROGRAM = "dvs-prep"
NOTICES = ("dvs-prep: warning: ", "dvs-prep: another dvs-prep ")
"""How the lines begin that are no errors."""
REDRAW = "\r\x1b[2K"
"""Returns to the beginning of the line and clears it."""
CONTROL = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")
"""A sequence that controls a terminal."""


def frames_dataset(
    input: Optional[StrPath] = None,
    train: bool = True,
    *,
    output: Optional[StrPath] = None,
    frames_number: Optional[int] = None,
    split_by: Optional[str] = None,
    duration: Union[int, str, None] = None,
    jobs: Optional[int] = None,
    memory: Optional[int] = None,
    force: bool = False,
    skip_damaged: bool = False,
    sensor: Optional[Tuple[int, int]] = None,
    layout: Optional[str] = None,
    stream: Optional[int] = None,
    classes: Optional[StrPath] = None,
    keep_invalid: bool = False,
    ignore_outside: bool = False,
    transform: Optional[Callable[[NDArray[Any]], Any]] = None,
    target_transform: Optional[Callable[[int], Any]] = None,
    order: Order = "spikingjelly",
    dtype: DTypeLike = np.float32,
    checksums: bool = False,
    progress: Optional[bool] = None,
    program: Optional[StrPath] = None,
) -> FrameCache:
    """Makes the frame cache of an input with dvs-prep, or finds the one that is already there, and opens one set of it.

    The call for the other set finds the cache and returns at once. Warnings go to `sys.stderr`. If Python is
    interrupted, dvs-prep is interrupted, too, and leaves no unfinished file.

    Args:
        input: archive or folder; `None` is $DVS_DATA, or else ./DVS128Gesture.
        train: `True` for the training set, `False` for the test set.
        output: the cache to write; `None` is a file beside the input that is named after the options.
        frames_number: T, from 1 to 1024; `None` is 16.
        split_by: "number" (the default), "time" or "duration".
        duration: duration of a frame, as a number of microseconds or a text such as "100ms".
        jobs: number of threads; `None` is one for each core.
        memory: memory limit in MiB; `None` is dvs-prep's default.
        force: whether to replace a file that is already at `output`.
        skip_damaged: whether to leave out damaged recordings; without it they are an error.
        sensor: width and height of the sensor in pixels; `None` is what the recording says.
        layout: how AEDAT 2 packs events into addresses: "dvs128", "davis" or "dvs640".
        stream: number of the event stream or camera to read.
        classes: CSV file of class names.
        keep_invalid: whether to count events with a clear valid bit, as SpikingJelly does.
        ignore_outside: whether to leave out events outside the sensor; without it they are an error.
        transform, target_transform, order, dtype, checksums: see `FrameCache`.
        progress: whether to show a progress bar on `sys.stderr`; `None` shows it in terminals and notebooks.
        program: the dvs-prep to run; `None` is the one of this Python environment, or else the one on PATH.

    Raises:
        PreparationError: dvs-prep made no cache, or was not found. The message is its own.
        CacheError: the cache that it made cannot be opened.
    """
    values: Dict[str, Any] = {
        "--input": input,
        "--output": output,
        "--frames": frames_number,
        "--split": split_by,
        "--duration": duration,
        "--jobs": jobs,
        "--memory": memory,
        "--sensor": None if sensor is None else "{}x{}".format(*sensor),
        "--layout": layout,
        "--stream": stream,
        "--classes": classes,
    }
    flags = {
        "--force": force,
        "--skip-damaged": skip_damaged,
        "--keep-invalid": keep_invalid,
        "--ignore-outside": ignore_outside,
    }
    # Values follow an equals sign, because one that begins with a hyphen would be taken for an option.
    arguments = [f"{name}={_text(value)}" for name, value in values.items() if value is not None]
    arguments += [name for name, given in flags.items() if given]
    found = os.fspath(program) if program is not None else _program()
    shown = _can_show_progress() if progress is None else progress
    summary = json.loads(_run([found, "prepare", "--json", *arguments], shown))
    return FrameCache(
        summary["cache"],
        train,
        transform=transform,
        target_transform=target_transform,
        order=order,
        dtype=dtype,
        checksums=checksums,
    )


def _text(value: Any) -> str:
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


def _program() -> str:
    """The dvs-prep that was installed with this package, or else the one on PATH."""
    scripts = sysconfig.get_path("scripts")
    found = shutil.which(PROGRAM, path=scripts) or shutil.which(PROGRAM)
    if found is None:
        raise PreparationError(
            f"there is no program {PROGRAM}, neither in {scripts} nor on PATH. Install it with `pip install dvs-prep`, "
            "or build it as the README of dvs says and pass program="
        )
    return found


def _can_show_progress() -> bool:
    """Whether standard error shows a line that is written again and again as one line."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def _run(command: List[str], progress: bool) -> bytes:
    """Runs `command` and returns its standard output. Its warnings and its progress go to `sys.stderr`."""
    reading, writing = _terminal() if progress else os.pipe()
    environment = {**os.environ, "TERM": "xterm"} if progress else None
    with tempfile.TemporaryFile() as output:
        try:
            try:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=writing, env=environment
                )
            except OSError as error:
                raise PreparationError(f"cannot run {command[0]}: {error.strerror}") from error
            finally:
                os.close(writing)
            try:
                message = _relay(reading)
                status = process.wait()
            except BaseException:
                # It removes its unfinished files before it ends.
                process.terminate()
                process.wait()
                raise
        finally:
            os.close(reading)
        if status != 0:
            raise PreparationError(message or f"{command[0]} ended with exit status {status} and said nothing")
        output.seek(0)
        return output.read()


def _terminal() -> Tuple[int, int]:
    """Both ends of a terminal, on which alone the program draws its progress bar; or of a pipe if there is none."""
    try:
        return pty.openpty()
    except OSError:
        return os.pipe()


def _relay(reading: int) -> str:
    """Passes on the notices and the progress bars that a program writes, and returns its error message."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    message: List[str] = []
    bar = _Bar()
    pending = ""
    while True:
        try:
            data = os.read(reading, 1 << 16)
        except OSError:
            # Linux reports the end of a terminal as an error.
            data = b""
        if not data:
            break
        *lines, pending = (pending + decoder.decode(data)).split("\n")
        for line in map(_visible, lines):
            if line.startswith(NOTICES):
                bar.clear()
                print(line, file=sys.stderr, flush=True)
            else:
                message.append(line)
        # A bar is whole if the program begins to draw over it. Other text may be a part of a message.
        drawn, redraw, rest = pending.rpartition(REDRAW)
        if redraw:
            bar.show(_visible(drawn))
            pending = rest
    bar.clear()
    # The usage that follows a misused option is that of the command line.
    return "\n".join(message).partition("\n\nUsage:")[0].strip()


def _visible(text: str) -> str:
    """What a terminal shows of a line: the text after the last carriage return."""
    return CONTROL.sub("", text).rstrip("\r").rpartition("\r")[2]


class _Bar:
    """A progress bar on `sys.stderr`. Spaces clear it, because a notebook knows no other way."""

    width = 0

    def show(self, bar: str) -> None:
        sys.stderr.write(f"\r{bar:{self.width}}" if self.width else bar)
        sys.stderr.flush()
        self.width = max(self.width, len(bar))

    def clear(self) -> None:
        if self.width:
            sys.stderr.write("\r" + " " * self.width + "\r")
            sys.stderr.flush()
            self.width = 0
