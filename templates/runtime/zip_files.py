"""Zip files as torch.save writes them, planned before there are bytes: where each record begins, and what stands between.

Only the checksums of tensors are not known then. They are zero until the file is sealed, when all else is written.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from .compare import first_difference
from .output_files import OutputFile
from .stored import StoredTensor
from .stream import CHUNK, write_at
from .verifying import differing, unreliable, verify_tensors

ALIGNMENT = 64  # bytes; where a record begins, from the beginning of its archive
LONG = 0xFFFFFFFF  # sizes and places from here on are written in eight bytes
MANY = 0xFFFF  # so are numbers of records
DAY = 0x21  # the first of January 1980, on which every record was written
LOCAL = 30  # bytes of the head of a record, without its name
CHECKSUM = 14, 16  # where it stands in the head of a record, and in the list at the end


class ZipRecord(NamedTuple):
    """A record of `size` bytes; `data` are these, or None where they are a tensor's."""

    name: str
    size: int
    data: bytes | None = None


class Seal(NamedTuple):
    """Where in a file the checksum of a tensor stands, twice; `number` is that of the tensor in the file."""

    number: int
    places: tuple[int, int]


class Archive(NamedTuple):
    """A planned zip file: what stands before the tensors, between them and behind; where each begins, and the end."""

    frames: tuple[bytes, ...]
    begins: tuple[int, ...]
    seals: tuple[Seal, ...]
    end: int


def plain_record(name: str, data: bytes) -> ZipRecord:
    """A record whose bytes are known."""
    return ZipRecord(name, len(data), data)


def plan_archive(
    folder: str, records: Sequence[ZipRecord], begin: int = 0, number: int = 0
) -> Archive:
    """The archive of these records, in a folder of this name, which begins at byte `begin` of a file.

    The first tensor in it is the one with this number in the file.
    """
    frames, begins, places = [bytearray()], list[int](), list[tuple[int, int]]()
    listed, position = bytearray(), 0
    for record in records:
        checksum = 0 if record.data is None else _checksum(record.data)
        name, here = f"{folder}/{record.name}".encode("ascii"), position
        head = _head(name, record.size, checksum, here)
        frames[-1] += head + (record.data or b"")
        position += len(head)
        if record.data is None:
            begins.append(begin + position)
            frames.append(bytearray())
            places.append((here + CHECKSUM[0], len(listed) + CHECKSUM[1]))
        position += record.size
        listed += _entry(name, record.size, checksum, here)
    frames[-1] += listed + _end(len(records), len(listed), position)
    seals = [
        Seal(number + n, (begin + one, begin + position + other))
        for n, (one, other) in enumerate(places)
    ]
    end = (
        begin + position + len(listed) + len(_end(len(records), len(listed), position))
    )
    return Archive(tuple(map(bytes, frames)), tuple(begins), tuple(seals), end)


def _head(name: bytes, size: int, checksum: int, position: int) -> bytes:
    """What stands before a record at a position of its archive, as long as it takes to align what comes behind it."""
    long = size >= LONG
    extra = struct.pack("<HHQQ", 1, 16, size, size) if long else b""
    room = -(position + LOCAL + len(name) + len(extra) + 4) % ALIGNMENT
    extra += struct.pack("<2sH", b"FB", room) + b"Z" * room
    said = LONG if long else size
    version = 45 if long else 20
    numbers = (version, 0, 0, 0, DAY, checksum, said, said, len(name), len(extra))
    return struct.pack("<4s5H3I2H", b"PK\3\4", *numbers) + name + extra


def _entry(name: bytes, size: int, checksum: int, position: int) -> bytes:
    """A record in the list at the end of its archive."""
    long = [size, size] if size >= LONG else []
    long += [position] if position >= LONG else []
    extra = struct.pack(f"<HH{len(long)}Q", 1, 8 * len(long), *long) if long else b""
    said, place = min(size, LONG), min(position, LONG)
    version = 45 if long else 20
    numbers = (version, version, 0, 0, 0, DAY, checksum, said, said)
    rest = (len(name), len(extra), 0, 0, 0, 0, place)
    return struct.pack("<4s6H3I5H2I", b"PK\1\2", *numbers, *rest) + name + extra


def _end(count: int, size: int, position: int) -> bytes:
    """What stands behind the list of `count` records, which has so many bytes and begins at this position."""
    long = b""
    if count >= MANY or size >= LONG or position >= LONG:
        numbers = (44, 45, 45, 0, 0, count, count, size, position)
        long = struct.pack("<4sQ2H2I4Q", b"PK\6\6", *numbers)
        long += struct.pack("<4sIQI", b"PK\6\7", 0, position + size, 1)
    counts, places = min(count, MANY), (min(size, LONG), min(position, LONG))
    return long + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, counts, counts, *places, 0)


def _checksum(data: bytes) -> int:
    import zlib

    return zlib.crc32(data)


class ZipClosing(NamedTuple):
    """What is left to do with a written file that consists of archives; `read` gives its tensors if it is one."""

    seals: tuple[Seal, ...]
    read: Callable[[str], Mapping[str, StoredTensor]] | None

    def seal(self, file: OutputFile, path: str) -> None:
        """Put the checksums of the tensors into a file that is written."""
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            for seal in self.seals:
                text = memoryview(_tensor_checksum(descriptor, file, seal.number))
                for place in seal.places:
                    write_at(descriptor, text, place, path)
        finally:
            os.close(descriptor)

    def verify(self, file: OutputFile, path: str) -> None:
        """ConversionError where a sealed file is not read as it was meant; its tensors have been compared."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            found = bytearray(os.pread(descriptor, len(file.header), 0))
            for seal in self.seals:
                text = _tensor_checksum(descriptor, file, seal.number)
                for place in seal.places:
                    _check_same(path, place, text, os.pread(descriptor, 4, place))
                    if place < len(found):
                        found[place : place + 4] = bytes(4)
            _check_same(path, 0, file.header, found)
        finally:
            os.close(descriptor)
        if self.read is not None:
            verify_tensors(file, path, self.read(path))


def _tensor_checksum(descriptor: int, file: OutputFile, number: int) -> bytes:
    """The checksum of the bytes that a file has where a tensor is, as a zip file has it."""
    import zlib

    tensor, found = file.tensors[number], 0
    buffer = memoryview(bytearray(min(CHUNK, tensor.size)))
    begin, end = tensor.begin, tensor.begin + tensor.size
    while begin < end:
        count = os.preadv(descriptor, [buffer[: end - begin]], begin)
        if count == 0:
            raise unreliable(
                f"{file.name}", f"byte {begin}: expected more, found the end"
            )
        found = zlib.crc32(buffer[:count], found)
        begin += count
    return struct.pack("<I", found)


def _check_same(
    path: str, begin: int, expected: bytes, found: bytes | bytearray
) -> None:
    if found != expected:
        at = first_difference(expected, found)
        raise differing(path, begin + at, expected, found, begin)
