"""The frame cache, format version 1: its names, limits and content. `shared/README.md` of dvs specifies it."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

FORMAT = "dvs-frame-cache"
FORMAT_VERSION = 1
POLARITIES = 2
SETS = ("train", "test")
LAYOUTS = ("dvs128", "cifar10dvs", "davis", "dvs640")
GESTURES = (
    "hand_clapping",
    "right_hand_wave",
    "left_hand_wave",
    "right_arm_clockwise",
    "right_arm_counter_clockwise",
    "left_arm_clockwise",
    "left_arm_counter_clockwise",
    "arm_roll",
    "air_drums",
    "air_guitar",
    "other_gestures",
)
"""The classes of DVS128 Gesture by label, in the order of its `gesture_mapping.csv`."""

MAX_FRAMES = 1024
MAX_PIXELS = 2048
MAX_CHUNK_BYTES = 1 << 29
MAX_CLASSES = 256
MAX_SKIPPED = 500
MAX_NAME_BYTES = 128
MAX_TEXT_BYTES = 1 << 16
MAX_MEMBERS = 64
MAX_ROWS = 1 << 26


class Split(NamedTuple):
    """How the events of a sample are divided into frames."""

    by: str
    """One of "number", "time" and "duration"."""
    frames: int
    """T; 0 for "duration", because T then differs from sample to sample."""
    duration_us: int
    """Duration of a frame in microseconds for "duration"; else 0."""

    def __str__(self) -> str:
        if self.by == "duration":
            return f"frames of {self.duration_us} us"
        return f"{self.frames} frames split by {self.by}"

    @property
    def file_name(self) -> str:
        """The name that dvs-prep gives the cache."""
        if self.by == "duration":
            return f"duration_{self.duration_us}.h5"
        return f"frames_number_{self.frames}_split_by_{self.by}.h5"


@dataclass(frozen=True)
class Header:
    """The attributes of the root, and the class names."""

    split: Split
    height: int
    width: int
    keep_invalid: bool
    created_by: str
    source_sha256: str
    skipped: Tuple[str, ...]
    label_names: Tuple[str, ...]


@dataclass(frozen=True)
class SampleSet:
    """The columns of `/train` or `/test` by row, and the positions of its chunks."""

    labels: NDArray[np.uint8]
    names: Tuple[str, ...]
    events: NDArray[np.uint64]
    start_us: NDArray[np.int64]
    end_us: NDArray[np.int64]
    checksums: NDArray[np.uint32]
    offsets: NDArray[np.uint64]
    """[N + 1]: sample i has the chunks from `offsets[i]` up to, but not including, `offsets[i + 1]`."""
    count_type: "np.dtype[Any]"
    """Type of the frames: uint8, uint16 or uint32."""
    chunk_shape: Tuple[int, int, int, int]
    """[T, 2, H, W], or [1, 2, H, W] for "duration"."""
    chunks: NDArray[np.int64]
    """[chunks, 2]: position in the file and size, in bytes."""

    @property
    def time_steps(self) -> NDArray[np.int64]:
        """[N]: T of each sample."""
        offsets = self.offsets.astype(np.int64)
        return (offsets[1:] - offsets[:-1]) * self.chunk_shape[0]


def shape_text(shape: Optional[Tuple[int, ...]]) -> str:
    """A shape as the specification writes it."""
    return "none" if shape is None else f"[{', '.join(map(str, shape))}]"
