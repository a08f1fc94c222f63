"""Reads and checks everything in a cache but the frames.

h5py only locates the chunks of the frames. `FrameCache` reads them without it, because the HDF5 library has one lock
for all threads, and its state in memory does not survive a fork.
"""

import re
import zlib
from typing import Any, Dict, List, Optional, Sequence, Tuple

import h5py  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from dvs_prep.cache_file import CacheFile
from dvs_prep.cache_format import (
    FORMAT,
    FORMAT_VERSION,
    GESTURES,
    LAYOUTS,
    MAX_CHUNK_BYTES,
    MAX_CLASSES,
    MAX_FRAMES,
    MAX_MEMBERS,
    MAX_NAME_BYTES,
    MAX_PIXELS,
    MAX_ROWS,
    MAX_SKIPPED,
    POLARITIES,
    SETS,
    Header,
    SampleSet,
    Split,
    shape_text,
)
from dvs_prep.errors import CacheDamagedError, CacheError, CacheVersionError
from dvs_prep.root_texts import read_root_texts

if not hasattr(h5py.h5d.DatasetID, "chunk_iter"):
    raise ImportError(
        f"dvs_prep needs h5py 3.10 with HDF5 1.14, or newer; this is h5py {h5py.version.version} with HDF5 "
        f"{h5py.version.hdf5_version}: pip install --upgrade h5py"
    )

COUNT_TYPES = tuple(map(np.dtype, ("u1", "<u2", "<u4")))
UINT32 = (0, (1 << 32) - 1)
UINT64 = (0, (1 << 64) - 1)
INT32 = (-(1 << 31), (1 << 31) - 1)


def read_cache(file: CacheFile, set_name: str) -> Tuple[Header, SampleSet]:
    """Reads the header and the set `set_name`, "train" or "test", without its frames.

    Raises:
        CacheVersionError: the cache has another format version.
        CacheDamagedError: the cache is cut off, damaged, or not as its format says.
        CacheError: the file is not a cache.
    """
    texts = read_root_texts(file)
    try:
        # HDF5 gets the open file and not its name, which another file may have taken. It then uses no lock, either:
        # a network file system may have none.
        root = h5py.File(file.open(), "r")
    except Exception as error:
        raise CacheDamagedError(
            f"the cache {file.path} is damaged or cut off: HDF5 cannot open it ({error}). "
            "Copy it again, or make it again with `dvs-prep --force`"
        ) from error
    with root:
        reader = _Reader(file, root, texts)
        try:
            header = reader.header()
            return header, reader.sample_set(set_name, header)
        except CacheError:
            raise
        except Exception as error:
            # A damaged file makes h5py raise errors of many types.
            raise file.damaged(reader.key, f"HDF5 cannot read it ({error})") from error


class _Reader:
    """Reads the parts of one cache. An error names the part that is not as the format says."""

    def __init__(self, file: CacheFile, root: Any, texts: Dict[str, str]) -> None:
        self.file = file
        self.root = root
        self.texts = texts
        self.key = "/"
        """The part that is being read."""

    def wrong(self, reason: str) -> CacheDamagedError:
        return self.file.damaged(self.key, reason)

    # Attributes

    def attribute(self, holder: Any, name: str) -> Any:
        """The attribute, whose value is not read yet, or `None` if there is none."""
        self.key = f"attribute `{name}`" + ("" if holder.name == "/" else f" of {holder.name}")
        return holder.attrs.get_id(name) if name in holder.attrs else None

    def number(self, holder: Any, name: str, low: int, high: int) -> Optional[int]:
        attribute = self.attribute(holder, name)
        if attribute is None:
            return None
        if attribute.shape not in ((), (1,)) or attribute.dtype.kind not in "ui":
            raise self.wrong(f"its type is {attribute.dtype} {shape_text(attribute.shape)}, not one integer")
        number = int(np.asarray(holder.attrs[name]).item())
        if not low <= number <= high:
            raise self.wrong(f"it is {number}; it must lie between {low} and {high}")
        return number

    def text(self, name: str) -> Optional[str]:
        attribute = self.attribute(self.root, name)
        if attribute is not None and name not in self.texts:
            raise self.wrong(f"its type is {attribute.dtype}, not a text of variable length")
        return self.texts.get(name)

    def sha256(self, name: str) -> Optional[str]:
        text = self.text(name)
        if text is not None and (len(text) != 64 or not set(text) <= set("0123456789abcdefABCDEF")):
            raise self.wrong(f"{text!r} is not 64 hexadecimal digits")
        return text

    def required(self, value: Any) -> Any:
        if value is None:
            raise self.wrong("it is missing")
        return value

    def check_crc32(self, holder: Any, name: str, covered: str, found: int) -> None:
        expected = self.number(holder, name, *UINT32)
        if expected is not None and expected != found:
            self.key = covered
            raise self.wrong(f"CRC-32 is {found:08x}, attribute `{name}` says {expected:08x}")

    # The root

    def header(self) -> Header:
        self.check_kind()
        self.check_members(self.root)
        split_by = self.required(self.text("split_by"))
        frames = self.required(self.number(self.root, "frames", 0, MAX_FRAMES))
        duration_us = self.required(self.number(self.root, "duration_us", *UINT64))
        height = self.required(self.number(self.root, "height", 1, MAX_PIXELS))
        width = self.required(self.number(self.root, "width", 1, MAX_PIXELS))
        self.required(self.number(self.root, "polarities", POLARITIES, POLARITIES))
        split = self.checked_split(Split(split_by, frames, duration_us), height, width)
        keep_invalid = self.number(self.root, "keep_invalid", 0, 1) or 0
        created_by = self.required(self.text("created_by"))
        source_sha256 = self.required(self.sha256("source_sha256"))
        input_sha256 = self.sha256("input_sha256")
        skipped = self.skipped()
        label_names = self.label_names()
        dataset = self.required(self.text("dataset"))
        expected = "DVS128Gesture" if label_names == GESTURES else "other"
        if dataset != expected:
            raise self.wrong(f"it is {dataset!r}, not {expected!r}, as /label_names says")
        lines: List[Any] = [*split, height, width, keep_invalid, created_by, source_sha256, *skipped]
        lines += [] if input_sha256 is None else [input_sha256]
        lines += [] if label_names == GESTURES else label_names
        lines += self.reading()
        covered = "".join(f"{line}\n" for line in lines).encode()
        self.check_crc32(self.root, "header_crc32", "the attributes of its root", zlib.crc32(covered))
        return Header(
            split=split,
            height=height,
            width=width,
            keep_invalid=keep_invalid == 1,
            created_by=created_by,
            source_sha256=source_sha256,
            skipped=skipped,
            label_names=label_names,
        )

    def check_kind(self) -> None:
        """Checks that the file is a whole cache of the version that this package reads."""
        found = self.texts.get("format")
        if found != FORMAT:
            raise self.file.not_a_cache(f"its attribute `format` is {found!r}, not {FORMAT!r}")
        version = self.required(self.number(self.root, "format_version", *UINT32))
        if version != FORMAT_VERSION:
            raise CacheVersionError(
                f"{self.file.path} has cache format version {version}; this package reads version {FORMAT_VERSION}. "
                f"Install a dvs-prep that knows version {version}, or make the cache again with this one's dvs-prep"
            )
        if self.number(self.root, "complete", *UINT32) != 1:
            raise CacheDamagedError(
                f"the cache {self.file.path} was cut off while it was written: attribute `complete` is not 1. "
                "Make it again with `dvs-prep --force`"
            )

    def checked_split(self, split: Split, height: int, width: int) -> Split:
        self.key = "attributes `split_by`, `frames`, `duration_us`"
        if split.by == "duration":
            fits = split.frames == 0 and split.duration_us > 0
        else:
            fits = split.by in ("number", "time") and split.frames > 0 and split.duration_us == 0
        if not fits:
            raise self.wrong(f"{split.by!r}, {split.frames} and {split.duration_us} do not go together")
        chunk_bytes = max(split.frames, 1) * POLARITIES * height * width * 4
        if chunk_bytes > MAX_CHUNK_BYTES:
            self.key = "attributes `frames`, `height`, `width`"
            raise self.wrong(f"a chunk takes {chunk_bytes} bytes as uint32; at most {MAX_CHUNK_BYTES} are allowed")
        return split

    def skipped(self) -> Tuple[str, ...]:
        attribute = self.attribute(self.root, "skipped")
        if attribute is None:
            return ()
        if len(attribute.shape) != 1 or not 1 <= attribute.shape[0] <= MAX_SKIPPED:
            raise self.wrong(f"its shape is {shape_text(attribute.shape)}, not [N] with N from 1 to {MAX_SKIPPED}")
        self.check_names_type(attribute.dtype)
        return self.decoded(self.root.attrs["skipped"])

    def label_names(self) -> Tuple[str, ...]:
        data = self.dataset(self.root, "label_names")
        if len(data.shape) != 1 or not 1 <= data.shape[0] <= MAX_CLASSES:
            raise self.wrong(f"its shape is {shape_text(data.shape)}, not [K] with K from 1 to {MAX_CLASSES}")
        names = self.names(self.root, "label_names", data.shape[0])
        for row, name in enumerate(names):
            if not name or any(c < " " or "\x7f" <= c <= "\x9f" for c in name):
                raise self.wrong(f"row {row} is {name!r}, which is not the name of a class")
        return names

    def reading(self) -> List[str]:
        """How the recordings were read, as far as an option said so, in the form in which a checksum covers it."""
        outside = self.number(self.root, "events_outside", *UINT64)
        sensor = self.number(self.root, "sensor_said", *UINT32)
        layout = self.text("address_layout")
        if layout is not None and layout not in LAYOUTS:
            raise self.wrong(f"it is {layout!r}, not one of {', '.join(LAYOUTS)}")
        stream = self.number(self.root, "stream", *INT32)
        share = self.text("test_share")
        if share is not None and not re.fullmatch(r"0\.[0-9]{0,5}[1-9]", share):
            raise self.wrong(f"it is {share!r}, not a share such as 0.1")
        seed = self.number(self.root, "split_seed", *UINT64)
        if seed is not None and share is None:
            raise self.wrong("there is no attribute `test_share`")
        said = {
            "events_outside": outside,
            "sensor_said": sensor,
            "address_layout": layout,
            "stream": stream,
            "test_share": share,
            "split_seed": seed,
        }
        return [f"{name}={value}" for name, value in said.items() if value is not None]

    # Groups and datasets

    def check_members(self, group: Any) -> None:
        """Refuses links as members of a group: they may lead to another file, or back to the group."""
        self.key = group.name
        if len(group) > MAX_MEMBERS:
            raise self.wrong(f"it has {len(group)} members; at most {MAX_MEMBERS} are allowed")
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise self.wrong(f"its member {name!r} is a link")

    def member(self, group: Any, name: str, kind: type) -> Any:
        self.key = f"{group.name.rstrip('/')}/{name}"
        found = self.required(group.get(name))
        if not isinstance(found, kind):
            raise self.wrong(f"it is not a {kind.__name__.lower()}")
        return found

    def dataset(self, group: Any, name: str) -> Any:
        return self.member(group, name, h5py.Dataset)

    def stored_rows(self, group: Any, name: str, rows: Optional[int]) -> Any:
        """A dataset of one dimension and of `rows` rows, if they are known, that lies in the file in one piece."""
        data = self.dataset(group, name)
        wanted = f"[{rows}]" if rows is not None else f"[N] with N at most {MAX_ROWS}"
        if len(data.shape) != 1 or data.shape[0] > MAX_ROWS or rows not in (None, data.shape[0]):
            raise self.wrong(f"its shape is {shape_text(data.shape)}, not {wanted}")
        plan = data.id.get_create_plist()
        if plan.get_layout() not in (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS) or plan.get_external_count() > 0:
            raise self.wrong("it is not stored in one piece in this file")
        needed = data.shape[0] * data.dtype.itemsize
        if needed > self.file.size:
            raise self.wrong(f"its {data.shape[0]} rows take {needed} bytes, and the file has {self.file.size}")
        return data

    def column(self, group: Any, name: str, dtype: Any, rows: Optional[int]) -> NDArray[Any]:
        data = self.stored_rows(group, name, rows)
        wanted = np.dtype(dtype)
        if (data.dtype.kind, data.dtype.itemsize) != (wanted.kind, wanted.itemsize):
            raise self.wrong(f"its type is {data.dtype}, not {wanted}")
        return np.asarray(data[:], wanted)

    def names(self, group: Any, name: str, rows: int) -> Tuple[str, ...]:
        data = self.stored_rows(group, name, rows)
        self.check_names_type(data.dtype)
        return self.decoded(data[:])

    def check_names_type(self, dtype: Any) -> None:
        kind = h5py.check_string_dtype(dtype)
        if kind is None or kind.encoding != "utf-8" or not 1 <= (kind.length or 0) <= MAX_NAME_BYTES:
            raise self.wrong(f"its type is {dtype}, not UTF-8 of at most {MAX_NAME_BYTES} bytes")

    def decoded(self, names: Sequence[bytes]) -> Tuple[str, ...]:
        try:
            return tuple(name.decode() for name in names)
        except UnicodeDecodeError as error:
            raise self.wrong(f"a name is not UTF-8 ({error})") from error

    # A set

    def sample_set(self, set_name: str, header: Header) -> SampleSet:
        count_types = [str(self.dataset(self.group(name), "frames").dtype) for name in SETS]
        if len(set(count_types)) > 1:
            raise self.wrong(f"its counts are {count_types[1]}, those of /train/frames {count_types[0]}")
        group = self.group(set_name)
        labels = self.column(group, "labels", np.uint8, None)
        last_label = len(header.label_names) - 1
        for row in np.flatnonzero(labels > last_label):
            raise self.wrong(f"row {row} is {labels[row]}, beyond the last label, {last_label}")
        rows = len(labels)
        names = self.names(group, "names", rows)
        if len(set(zip(names, labels.tolist()))) < rows:
            raise self.wrong("a name occurs twice with the same label")
        events = self.column(group, "events", np.uint64, rows)
        start_us = self.column(group, "start_us", np.int64, rows)
        end_us = self.column(group, "end_us", np.int64, rows)
        checksums = self.column(group, "checksums", np.uint32, rows)
        by_duration = header.split.by == "duration"
        offsets = self.offsets(group, rows) if by_duration else np.arange(rows + 1, dtype=np.uint64)
        columns = [labels, events, start_us, end_us, checksums, *([offsets] if by_duration else [])]
        covered = b"".join(
            [name.encode() + b"\0" for name in names]
            + [column.astype(column.dtype.newbyteorder("<")).tobytes() for column in columns]
        )
        self.check_crc32(group, "rows_crc32", f"the columns of {group.name}", zlib.crc32(covered))
        count_type, chunk_shape, chunks = self.frames(group, header, int(offsets[-1]))
        return SampleSet(
            labels=labels,
            names=names,
            events=events,
            start_us=start_us,
            end_us=end_us,
            checksums=checksums,
            offsets=offsets,
            count_type=count_type,
            chunk_shape=chunk_shape,
            chunks=chunks,
        )

    def group(self, name: str) -> Any:
        group = self.member(self.root, name, h5py.Group)
        self.check_members(group)
        return group

    def offsets(self, group: Any, rows: int) -> NDArray[np.uint64]:
        offsets: NDArray[np.uint64] = self.column(group, "offsets", np.uint64, rows + 1)
        if offsets[0] != 0 or (offsets[1:] <= offsets[:-1]).any() or offsets[-1] > MAX_ROWS:
            raise self.wrong(f"its rows do not increase from 0 to at most {MAX_ROWS}")
        return offsets

    def frames(
        self, group: Any, header: Header, chunks: int
    ) -> Tuple["np.dtype[Any]", Tuple[int, int, int, int], NDArray[np.int64]]:
        """Type of the counts, shape of a chunk, and positions of the chunks."""
        data = self.dataset(group, "frames")
        if data.dtype not in COUNT_TYPES:
            raise self.wrong(f"its type is {data.dtype}, not uint8, uint16 or uint32, little-endian")
        frame = (POLARITIES, header.height, header.width)
        chunk_shape = (max(header.split.frames, 1), *frame)
        row = frame if header.split.by == "duration" else chunk_shape
        if data.shape != (chunks, *row):
            raise self.wrong(f"its shape is {shape_text(data.shape)}, not {shape_text((chunks, *row))}")
        if chunks > 0 and data.chunks != (1, *row):
            raise self.wrong(f"its chunks are {shape_text(data.chunks)}, not {shape_text((1, *row))}")
        filters = [h5py.h5z.FILTER_SHUFFLE] if data.dtype.itemsize > 1 else []
        filters += [h5py.h5z.FILTER_DEFLATE]
        plan = data.id.get_create_plist()
        found = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
        if chunks > 0 and found != filters:
            raise self.wrong(f"its filters have the HDF5 numbers {found}, not {filters}")
        limit = 2 * int(np.prod(chunk_shape)) * data.dtype.itemsize + 64
        return data.dtype, chunk_shape, self.chunk_positions(data, chunks, limit)

    def chunk_positions(self, data: Any, chunks: int, limit: int) -> NDArray[np.int64]:
        """[chunks, 2]: position in the file and size of each chunk, in bytes. `limit` is the largest size."""
        file_size = self.file.size
        positions = np.zeros((chunks, 2), np.int64)
        located: List[Any] = []
        if chunks > 0:
            data.id.chunk_iter(located.append)
        for chunk in located:
            row, end = chunk.chunk_offset[0], chunk.byte_offset + chunk.size
            if chunk.filter_mask != 0 or chunk.size > limit or end > file_size or row >= chunks:
                raise self.wrong(
                    f"the chunk of row {row} lies at byte {chunk.byte_offset}, {chunk.size} bytes long with filter "
                    f"mask {chunk.filter_mask}; a chunk has at most {limit} bytes, and the file has {file_size}"
                )
            positions[row] = chunk.byte_offset, chunk.size
        missing = int((positions[:, 1] == 0).sum())
        if missing > 0:
            raise self.wrong(f"{missing} of its {chunks} chunks are missing")
        return positions
