"""A frame cache as a dataset."""

import operator
import os
import zlib
from typing import Any, Callable, Dict, List, Literal, Optional, SupportsIndex, Tuple, Union, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dvs_prep.cache_file import CacheFile
from dvs_prep.cache_format import SETS, Split
from dvs_prep.errors import CacheError, CacheMismatchError
from dvs_prep.opening import read_cache

Order = Literal["spikingjelly", "cache"]
ORDERS = get_args(Order)


class FrameCache:
    """One set of a frame cache: a map-style dataset for PyTorch's `DataLoader`, and a sequence for everybody else.

    An item is `(frames, label)`, as SpikingJelly's `DVS128Gesture(data_type="frame")` gives it: `frames` is a float32
    array of shape [T, 2, H, W] that counts the events per time step, polarity (0 is OFF, 1 is ON), row and column;
    `label` is an int. T is the same for all samples, except in a cache of frames of a fixed duration.

    The cache is opened for reading only. Threads may share a `FrameCache`. It can be pickled, and processes of every
    start method can use it.

    Attributes:
        path: the cache's absolute path.
        train: whether this is the training set.
        split_by: "number", "time" or "duration".
        frames_number: T; `None` for "duration".
        duration: duration of a frame in microseconds for "duration"; else `None`.
        height, width: size of a frame in pixels.
        label_names: list of the class names; item i has the class `label_names[label]`.
        names: list of the samples' names, `<recording>_<k>`, by item.
        targets: list of the labels by item, before `target_transform`.
        time_steps: int64 [N], T of each item.
        events: uint64 [N], number of events in each item.
        windows_us: int64 [N, 2], window of each item in microseconds, start <= t < end.
        rows: int64 [N], row of each item in the cache's group.
        count_type: type of the counts in the cache: uint8, uint16 or uint32.
        dtype: type of the frames in items.
        skipped: list of the damaged recordings that the cache lacks because `--skip-damaged` left them out.
        keep_invalid: whether events with a clear valid bit were counted.
        created_by: program and version that wrote the cache.
        source_sha256: SHA-256 of the input, as 64 hexadecimal digits.
    """

    def __init__(
        self,
        root: Union[str, "os.PathLike[str]"],
        train: bool = True,
        data_type: str = "frame",
        frames_number: Optional[int] = None,
        split_by: Optional[str] = None,
        duration: Optional[int] = None,
        *,
        transform: Optional[Callable[[NDArray[Any]], Any]] = None,
        target_transform: Optional[Callable[[int], Any]] = None,
        order: Order = "spikingjelly",
        dtype: DTypeLike = np.float32,
        checksums: bool = False,
    ) -> None:
        """Opens a cache and checks everything in it but the frames.

        Args:
            root: the cache, or the folder that holds it under the name that dvs-prep gave it. A folder needs
                `frames_number` and `split_by`, or `duration`.
            train: `True` for the training set, `False` for the test set.
            data_type: "frame". Scripts for SpikingJelly pass it.
            frames_number: the T that the cache must have; `None` accepts any.
            split_by: how the cache must be split: "number", "time" or "duration"; `None` accepts any.
            duration: the duration of a frame in microseconds that the cache must have; `None` accepts any.
            transform: called with the frames of each item.
            target_transform: called with the label of each item.
            order: "spikingjelly" numbers classes and sorts samples as SpikingJelly's folders do: as text, so that class
                10 of the cache becomes label 2. "cache" gives the labels and rows of the cache, as dvs-train has them.
            dtype: type of the frames. `None` is the cache's own type, which is the fastest and smallest.
            checksums: whether each sample's CRC-32 is checked when it is read.

        Raises:
            CacheMissingError: there is no such file.
            CacheMismatchError: the cache is not split as asked for.
            CacheVersionError: the cache has another format version.
            CacheDamagedError: the cache is cut off or damaged.
            CacheError: the file cannot be read, or is not a cache. All of the above are CacheErrors.
            ValueError, TypeError: an argument has a wrong value or type.
        """
        if not isinstance(train, bool):
            raise TypeError(f"train is {train!r}; it must be True for the training set or False for the test set")
        if data_type != "frame":
            raise ValueError(
                f"data_type is {data_type!r}; a cache holds frames only: leave data_type out. `dvs-prep export --to "
                "events-npz` writes events for SpikingJelly"
            )
        if order not in ORDERS:
            raise ValueError(f"order is {order!r}; it must be one of {', '.join(map(repr, ORDERS))}")
        self._file = CacheFile(_cache_path(root, frames_number, split_by, duration))
        self._header, self._set = read_cache(self._file, SETS[0] if train else SETS[1])
        self.path = self._file.path
        self.train = train
        split = self._header.split
        self.split_by = split.by
        self.frames_number = split.frames or None
        self.duration = split.duration_us or None
        self._check_wanted(frames_number, split_by, duration)
        self.transform = transform
        self.target_transform = target_transform
        self.order = order
        self.checksums = checksums
        self.count_type = self._set.count_type
        self.dtype = self.count_type if dtype is None else np.dtype(dtype)
        self.height = self._header.height
        self.width = self._header.width
        self.skipped = list(self._header.skipped)
        self.keep_invalid = self._header.keep_invalid
        self.created_by = self._header.created_by
        self.source_sha256 = self._header.source_sha256

        classes = list(range(len(self._header.label_names)))
        rows = list(range(len(self._set.names)))
        if order == "spikingjelly":
            classes.sort(key=str)
            rows.sort(key=self._spikingjelly_path)
        self.label_names = [self._header.label_names[label] for label in classes]
        self.rows = np.array(rows, np.int64)
        self.names = [self._set.names[row] for row in rows]
        self.targets = [classes.index(self._set.labels[row]) for row in rows]
        self.time_steps = self._set.time_steps[self.rows]
        self.events = self._set.events[self.rows]
        self.windows_us = np.stack([self._set.start_us, self._set.end_us], axis=1)[self.rows]

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.names)

    def __getitem__(self, index: SupportsIndex) -> Tuple[Any, Any]:
        """Sample `index` as `(frames, label)`. A negative index counts from the end.

        Raises:
            IndexError: there is no such sample.
            CacheDamagedError: its frames do not decode, or their checksum does not hold.
            CacheError: the file was changed, or a count does not fit `dtype`.
        """
        try:
            item = operator.index(index)
        except TypeError:
            raise TypeError(
                f"FrameCache takes the index of one sample, not {index!r}; torch.utils.data.Subset selects several"
            ) from None
        if not -len(self) <= item < len(self):
            raise IndexError(f"there is no sample {item} among the {len(self)} of {self._group} in {self.path}")
        frames: Any = self._converted(int(self.rows[item]))
        label: Any = self.targets[item]
        if self.transform is not None:
            frames = self.transform(frames)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return frames, label

    def verify(self) -> None:
        """Checks the checksum and the number of events of every sample of this set, and reports the first mismatch.

        Attributes and columns were checked when the cache was opened. `dvs-prep verify` checks both sets.

        Raises:
            CacheDamagedError: a sample is not as recorded.
        """
        for row, expected in enumerate(self._set.events.tolist()):
            counted = int(self._counts(row, check=True).sum(dtype=np.uint64))
            if counted != expected:
                raise self._damaged(row, f"{self._group}/events says {expected} events, its frames hold {counted}")

    def close(self) -> None:
        """Closes the file. Reading a sample opens it again."""
        self._file.close()

    def __enter__(self) -> "FrameCache":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def classes(self) -> List[str]:
        """`label_names` under the name that torchvision gives it."""
        return self.label_names

    @property
    def class_to_idx(self) -> Dict[str, int]:
        """The label of each class name."""
        return {name: label for label, name in enumerate(self.label_names)}

    @property
    def samples(self) -> List[Tuple[str, int]]:
        """Name and label of each item."""
        return list(zip(self.names, self.targets))

    def __repr__(self) -> str:
        lengths = sorted({int(self.time_steps.min()), int(self.time_steps.max())}) if len(self) else [0]
        time_steps = " to ".join(map(str, lengths)) if self.frames_number is None else self.frames_number
        lines = [
            f"FrameCache {self.path}",
            f"{self._group[1:]} set: {len(self)} samples of {len(self.label_names)} classes, in the order of "
            + ("SpikingJelly's folders" if self.order == "spikingjelly" else "the cache"),
            f"{self._header.split}: [{time_steps}, 2, {self.height}, {self.width}], {self.count_type} in the cache, "
            f"{self.dtype} in items",
            f"{int(self.events.sum()):,} events; those with a clear valid bit "
            + ("counted" if self.keep_invalid else "left out"),
            f"made by {self.created_by} from input {self.source_sha256[:16]}..."
            + (f", without {len(self.skipped)} damaged recordings" if self.skipped else ""),
        ]
        return "\n    ".join(lines)

    @property
    def _group(self) -> str:
        return "/train" if self.train else "/test"

    def _spikingjelly_path(self, row: int) -> Tuple[str, str]:
        """Folder and file of a sample in SpikingJelly's folders, whose order torchvision sorts as text."""
        length = f"_{self._set.time_steps[row]}" if self.frames_number is None else ""
        return str(self._set.labels[row]), f"{self._set.names[row]}{length}.npz"

    def _check_wanted(self, frames_number: Optional[int], split_by: Optional[str], duration: Optional[int]) -> None:
        wanted = {"frames_number": frames_number, "split_by": split_by, "duration": duration}
        given = {name: value for name, value in wanted.items() if value is not None}
        if any(getattr(self, name) != value for name, value in given.items()):
            asked = ", ".join(f"{name}={value!r}" for name, value in given.items())
            raise CacheMismatchError(
                f"the cache {self.path} holds {self._header.split}, and {asked} is asked for. Name another cache, or "
                "make one with dvs-prep or dvs_prep.frames_dataset"
            )

    def _damaged(self, row: int, reason: str) -> CacheError:
        return self._file.damaged(f"{self._group}/frames, row {row} ({self._set.names[row]})", reason)

    def _converted(self, row: int) -> NDArray[Any]:
        """The frames of a row as `dtype`, [T, 2, H, W]."""
        counts = self._counts(row, self.checksums)
        frames = counts.astype(self.dtype, copy=False)
        if not np.can_cast(counts.dtype, self.dtype) and not np.array_equal(frames, counts):
            raise CacheError(
                f"{self._group}/frames, row {row} ({self._set.names[row]}) of {self.path} holds a count of "
                f"{counts.max()}, which {self.dtype} does not hold exactly: choose a wider dtype"
            )
        return frames

    def _counts(self, row: int, check: bool) -> NDArray[Any]:
        """The frames of a row as the cache has them, [T, 2, H, W]."""
        chunks = self._set.chunks[int(self._set.offsets[row]) : int(self._set.offsets[row + 1])]
        counts = np.empty((len(chunks), *self._set.chunk_shape), self.count_type)
        for chunk, (position, size) in zip(counts, chunks.tolist()):
            plain = self._inflated(row, position, size, chunk.nbytes)
            # HDF5's shuffle filter stores the first bytes of all counts, then the second bytes, and so on.
            planes = np.frombuffer(plain, np.uint8).reshape(self.count_type.itemsize, -1)
            chunk.reshape(-1, 1).view(np.uint8)[...] = planes.T
        found, expected = zlib.crc32(counts.data) if check else None, int(self._set.checksums[row])
        if check and found != expected:
            raise self._damaged(row, f"CRC-32 is {found:08x}, {self._group}/checksums says {expected:08x}")
        return counts.reshape(-1, *self._set.chunk_shape[1:])

    def _inflated(self, row: int, position: int, size: int, expected: int) -> bytes:
        """The chunk of `size` bytes at byte `position`, inflated to `expected` bytes."""
        stream = zlib.decompressobj()
        try:
            # One byte more than expected, because a damaged chunk may inflate to any size.
            plain = stream.decompress(self._file.read(size, position), expected + 1)
        except zlib.error as error:
            raise self._damaged(row, f"the chunk at byte {position} does not inflate ({error})") from error
        if len(plain) != expected or not stream.eof:
            least = "at least " if not stream.eof else ""
            raise self._damaged(
                row, f"the chunk at byte {position} inflates to {least}{len(plain)} bytes, not {expected}"
            )
        return plain


def _cache_path(
    root: Union[str, "os.PathLike[str]"], frames_number: Optional[int], split_by: Optional[str], duration: Optional[int]
) -> str:
    """The cache that `root` names: itself, or the one with these options in the folder `root`."""
    path = os.fsdecode(root)
    if not os.path.isdir(path):
        return path
    if duration is not None and frames_number is None:
        split = Split("duration", 0, duration)
    elif frames_number is not None and split_by is not None and duration is None:
        split = Split(split_by, frames_number, 0)
    else:
        raise ValueError(
            f"{path} is a folder: name the cache in it, or give frames_number and split_by, or duration. SpikingJelly "
            "wants these, too"
        )
    return os.path.join(path, split.file_name)
