"""Reads the text attributes of the root from the bytes of the file.

HDF5 stores a text of variable length as a length and a position in a heap. If these are damaged, the HDF5 library
crashes, loops without end or allocates gigabytes. So this module reads the texts itself, from the object header of the
root (HDF5 File Format Specification 3.0, II.A, III.E, IV.A.1.a and IV.A.2.m).
"""

from typing import Dict, Iterator, Optional, Tuple

from dvs_prep.cache_file import CacheFile
from dvs_prep.cache_format import MAX_TEXT_BYTES
from dvs_prep.errors import CacheError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
SUPERBLOCK_BYTES = 96
MAX_HEADER_BYTES = 1 << 20
MAX_PIECES = 64

ATTRIBUTE = 0x0C
CONTINUATION = 0x10
VARIABLE_LENGTH = 9
TEXT = 1


class _Broken(Exception):
    """The bytes are not what the specification describes. The message says which."""


def read_root_texts(file: CacheFile) -> Dict[str, str]:
    """The text attributes of the root by name.

    Raises:
        CacheDamagedError: they are damaged, or the file is cut off.
        CacheError: this is no HDF5 file, or one of a newer HDF5 format. dvs-prep and dvs-train refuse these, too.
    """
    start = file.read(SUPERBLOCK_BYTES, 0)
    if not start.startswith(SIGNATURE):
        raise file.not_a_cache("it does not begin with HDF5's signature")
    if start[8:9] > b"\0":
        raise CacheError(
            f"{file.path} is in HDF5's newer format: its superblock has version {start[8]}, not 0. "
            "Rewrite it with `h5repack --low=0 OLD NEW`, or make it again with dvs-prep"
        )
    try:
        return dict(_texts(file, start))
    except _Broken as error:
        raise file.damaged("the attributes of its root", str(error)) from error


def _texts(file: CacheFile, superblock: bytes) -> Iterator[Tuple[str, str]]:
    sizes_of_addresses_and_lengths, base_address = superblock[13:15], _number(superblock, 24, 8)
    if sizes_of_addresses_and_lengths != b"\x08\x08" or base_address != 0:
        raise _Broken("its superblock is not one that dvs-prep writes")
    for kind, message in _messages(file, _number(superblock, 64, 8)):
        if kind == ATTRIBUTE:
            text = _text(file, message)
            if text is not None:
                yield text


def _messages(file: CacheFile, header: int) -> Iterator[Tuple[int, bytes]]:
    """Type and content of each message of the object header at byte `header`."""
    prefix = _bytes(file, header, 16)
    if prefix[0] != 1:
        raise _Broken(f"the version of its object header is {prefix[0]}, not 1")
    pieces = [(header + 16, _number(prefix, 8, 4))]
    for position, size in pieces:
        piece = _bytes(file, position, size)
        at = 0
        while at + 8 <= len(piece):
            kind, length, flags = _number(piece, at, 2), _number(piece, at + 2, 2), piece[at + 4]
            message = _part(piece, at + 8, length)
            at += 8 + length
            if kind == CONTINUATION:
                pieces.append((_number(message, 0, 8), _number(message, 8, 8)))
                if len(pieces) > MAX_PIECES:
                    raise _Broken(f"its object header has more than {MAX_PIECES} pieces")
            elif kind == ATTRIBUTE and flags & 2:
                raise _Broken("an attribute is stored elsewhere")
            yield kind, message


def _text(file: CacheFile, message: bytes) -> Optional[Tuple[str, str]]:
    """Name and value of an attribute that is a text, or `None` if it is none."""
    version = _number(message, 0, 1)
    if version not in (1, 2, 3):
        raise _Broken(f"an attribute has version {version}, not 1, 2 or 3")
    # Version 1 pads each part to 8 bytes. Version 3 adds a byte for the encoding of the name.
    pad = 8 if version == 1 else 1
    ends = [9 if version == 3 else 8]
    sizes = [_number(message, at, 2) for at in (2, 4, 6)]
    for size in sizes:
        ends.append(ends[-1] + -(-size // pad) * pad)
    name, kind, space = (_part(message, at, size) for at, size in zip(ends, sizes))
    if version > 1 and message[1] != 0:
        raise _Broken(f"attribute {name!r} has a type that is stored elsewhere")
    if _number(kind, 0, 1) & 0x0F != VARIABLE_LENGTH or _number(kind, 1, 1) & 0x0F != TEXT:
        return None
    label = f"attribute `{_decoded(name, 'the name of an attribute')}`"
    if _number(space, 1, 1) != 0:
        raise _Broken(f"{label} is not one text")
    length, heap, index = (_number(message, ends[3] + at, width) for at, width in ((0, 4), (4, 8), (12, 4)))
    if length > MAX_TEXT_BYTES:
        raise _Broken(f"{label} claims a text of {length} bytes; at most {MAX_TEXT_BYTES} are allowed")
    value = _part(_heap_object(file, heap, index), 0, length) if length > 0 else b""
    return _decoded(name, label), _decoded(value, label)


def _heap_object(file: CacheFile, heap: int, wanted: int) -> bytes:
    """The object with the index `wanted` of the global heap at byte `heap`."""
    prefix = _bytes(file, heap, 16)
    if prefix[:4] != b"GCOL":
        raise _Broken(f"there is no heap at byte {heap}")
    content = _bytes(file, heap, _number(prefix, 8, 8))
    at = 16
    while at + 16 <= len(content):
        index, size = _number(content, at, 2), _number(content, at + 8, 8)
        if index == wanted:
            return _part(content, at + 16, size)
        if index == 0:
            break  # free space, which is last
        at += 16 + -(-size // 8) * 8
    raise _Broken(f"the heap at byte {heap} has no object {wanted}")


def _bytes(file: CacheFile, position: int, size: int) -> bytes:
    if size > MAX_HEADER_BYTES or position + size > file.size:
        raise _Broken(f"{size} bytes from byte {position} on belong to it, and the file has {file.size}")
    return file.read(size, position)


def _part(data: bytes, at: int, size: int) -> bytes:
    part = data[at : at + size]
    if len(part) < size:
        raise _Broken(f"a part of {size} bytes reaches beyond the {len(data)} bytes that hold it")
    return part


def _number(data: bytes, at: int, width: int) -> int:
    return int.from_bytes(_part(data, at, width), "little")


def _decoded(text: bytes, label: str) -> str:
    try:
        return text.partition(b"\0")[0].decode()
    except UnicodeDecodeError:
        raise _Broken(f"{label} is not UTF-8") from None
