"""Comparing bytes: tensors that must be equal, padding that should be zero, files against their source.

Everything is read in chunks, so memory does not grow with the tensors.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from math import prod
from typing import Any

from .casting import as_tensor
from .checks import Source
from .errors import ConversionError
from .output_files import OutputFile, OutputTensor, find_blocks
from .recipe import Copy
from .safetensors_io import read_header
from .sources import SourceReader
from .stored import StoredTensor, item_size
from .stream import CHUNK, Assembler
from .strided import WORDS
from .transfers import Transfer, made_differs
from .values import unequal


def check_equal(
    found: Mapping[Any, Mapping[str, StoredTensor]],
    pairs: Iterable[tuple[Source, Source]],
    why: str,
) -> None:
    """ConversionError for the first pair of tensors that are not the same; `why` says why they should be."""
    reader = SourceReader()
    try:
        for one, other in pairs:
            _check_pair(
                reader,
                (one, found[one.rank][one.name]),
                (other, found[other.rank][other.name]),
                why,
            )
    finally:
        reader.close()


def count_nonzero(
    found: Mapping[Any, Mapping[str, StoredTensor]],
    paddings: Iterable[tuple[Source, tuple[Copy, ...]]],
) -> dict[str, int]:
    """The elements of padding that are not zero, by tensor, where there are any."""
    assembler = Assembler(found, CHUNK, 0)
    try:
        counts = {
            str(source): _nonzero(assembler, source, copies)
            for source, copies in paddings
        }
    finally:
        assembler.close()
    return {name: count for name, count in counts.items() if count}


def check_made(
    found: Mapping[Any, Mapping[str, StoredTensor]],
    pairs: Iterable[tuple[Source, Transfer]],
) -> None:
    """ConversionError for the first tensor of the source that does not have the values that the map makes."""
    assembler = Assembler(found, CHUNK, 0)
    try:
        for source, transfer in pairs:
            stored = found[source.rank][source.name]
            blocks = find_blocks(transfer.copies)
            tensor = OutputTensor(transfer, blocks, stored.dtype, 0, stored.size)
            _check_made(assembler, source, stored, tensor)
    finally:
        assembler.close()


def _check_made(
    assembler: Assembler, source: Source, stored: StoredTensor, tensor: OutputTensor
) -> None:
    for begin in range(0, stored.size, CHUNK):
        made = assembler.buffer[: min(CHUNK, stored.size - begin)]
        assembler.fill_part(tensor, begin, made)
        theirs = memoryview(bytearray(len(made)))
        assembler.reader.read(stored, begin, theirs)
        one, other = as_tensor(theirs, stored.dtype), as_tensor(made, stored.dtype)
        at = unequal(one, other, tensor.transfer.changes)
        if at is not None:
            first = begin // item_size(stored.dtype)
            raise made_differs(source, tensor.transfer, first + at, other[at], one[at])


def verify_header(file: OutputFile, path: str, look: Callable[[], None]) -> None:
    """ConversionError where the header of a written file is not read as it was meant.

    `look` is called while all that was read is in memory.
    """
    written = read_header(path)
    look()
    for tensor in file.tensors:
        name = tensor.transfer.name
        meant = (
            tensor.dtype,
            tensor.transfer.shape,
            path,
            tensor.begin,
            tensor.size,
            None,
        )
        if written.get(name) != meant:
            raise ConversionError(
                f"{path}: {name}: expected {meant}, found {written.get(name)}"
            )


def verify_part(
    assembler: Assembler,
    file: OutputFile,
    begin: int,
    end: int,
    path: str,
    progress: Callable[[int], None],
) -> None:
    """Compute the bytes [begin, end) of a written file again; ConversionError names the first element that differs."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        found = bytearray()
        for low, view in assembler.chunks(file, begin, end):
            if len(found) != len(view):
                found = bytearray(len(view))
            _read_back(descriptor, low, found)
            if found != view:
                raise _difference(file, path, low, bytes(view), found)
            progress(len(view))
    finally:
        os.close(descriptor)


def _read_back(descriptor: int, position: int, found: bytearray) -> None:
    """Fill with the bytes of a file from a position on; shortened where the file ends before."""
    done = 0
    while done < len(found):
        with memoryview(found) as view:
            count = os.preadv(descriptor, [view[done:]], position + done)
        done += count
        if count == 0:
            del found[done:]


def _check_pair(
    reader: SourceReader,
    one: tuple[Source, StoredTensor],
    other: tuple[Source, StoredTensor],
    why: str,
) -> None:
    both, (first, second) = f"{one[0]} and {other[0]} {why}", (one[1], other[1])
    if (first.dtype, first.shape) != (second.dtype, second.shape):
        raise ConversionError(
            f"{both}: expected {first.dtype} {list(first.shape)} twice, found {second.dtype} {list(second.shape)}"
        )
    for begin in range(0, first.size, CHUNK):
        length = min(CHUNK, first.size - begin)
        mine, theirs = bytearray(length), bytearray(length)
        reader.read(first, begin, memoryview(mine))
        reader.read(second, begin, memoryview(theirs))
        if mine != theirs:
            at = _first_difference(mine, theirs)
            raise ConversionError(
                f"{both}: {_element(first.shape, first.dtype, begin + at, mine, theirs, at)}"
            )


def _nonzero(assembler: Assembler, source: Source, copies: tuple[Copy, ...]) -> int:
    """The elements of these blocks of a source that are not zero: the blocks are read as one dense tensor."""
    stored = assembler.found[source.rank][source.name]
    width = item_size(stored.dtype)
    offsets = [0, *accumulate(prod(copy.counts) for copy in copies)]
    dense = tuple(
        copy._replace(source=0, offset=offset, strides=_dense_strides(copy.counts))
        for copy, offset in zip(copies, offsets)
    )
    transfer = Transfer(
        "", source.name, (offsets[-1],), (source,), dense, (), stored.dtype
    )
    tensor = OutputTensor(
        transfer, find_blocks(dense), stored.dtype, 0, offsets[-1] * width
    )
    count = 0
    for first in range(0, offsets[-1], CHUNK // width):
        last = min(offsets[-1], first + CHUNK // width)
        view = assembler.buffer[: (last - first) * width]
        assembler.fill_elements(tensor, first, last, view)
        if bytes(view).count(0) < len(view):
            count += sum(map(bool, view.cast(WORDS[width])))
    return count


def _dense_strides(counts: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(prod(counts[dim + 1 :]) for dim in range(len(counts)))


def _difference(
    file: OutputFile, path: str, low: int, expected: bytes, found: bytearray
) -> ConversionError:
    """The error for a chunk of a file, from byte `low` on, that is not as expected."""
    at = _first_difference(expected, found)
    tensor = max(
        (t for t in file.tensors if t.begin <= low + at),
        key=lambda t: t.begin + bool(t.size),
    )
    where = low + at - tensor.begin
    element = _element(tensor.transfer.shape, tensor.dtype, where, expected, found, at)
    return ConversionError(
        f"{path}: {tensor.transfer.name}: {element}; the file differs from what was written to it, "
        "the storage is not reliable"
    )


def _first_difference(one: bytes | bytearray, other: bytes | bytearray) -> int:
    """The first byte that differs, found by halves."""
    low, high = 0, max(len(one), len(other))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if one[low:middle] != other[low:middle] else (middle, high)
        )
    return low


def _element(
    shape: tuple[int, ...],
    dtype: str,
    byte: int,
    expected: bytes | bytearray,
    found: bytes | bytearray,
    at: int,
) -> str:
    """The element at a byte of a tensor, which is byte `at` of what was expected and found."""
    width = item_size(dtype)
    index, rest = [], byte // width
    for size in reversed(shape):
        rest, position = divmod(rest, size)
        index.append(position)
    begin = at - byte % width
    return (
        f"element {index[::-1]}: expected the bytes {expected[begin : begin + width].hex(' ')}, "
        f"found {found[begin : begin + width].hex(' ')}"
    )
