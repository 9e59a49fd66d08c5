"""Comparing bytes of the source: tensors that must be equal, padding that should be zero, values that a map makes.

Everything is read in chunks, so memory does not grow with the tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate
from math import prod
from typing import Any

from .casting import as_tensor
from .checks import Source
from .errors import ConversionError
from .grid import index_of
from .output_files import OutputTensor, find_blocks
from .recipe import Copy
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


def _check_pair(
    reader: SourceReader,
    one: tuple[Source, StoredTensor],
    other: tuple[Source, StoredTensor],
    why: str,
) -> None:
    first, second = one[1], other[1]
    both = f"{first.path}: {one[0]} and {second.path}: {other[0]} {why}"
    if first.path == second.path:
        both = f"{first.path}: {one[0]} and {other[0]} {why}"
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
            at = first_difference(mine, theirs)
            raise ConversionError(
                f"{both}: {element_difference(first.shape, first.dtype, begin + at, mine, theirs, at)}"
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


def first_difference(one: bytes | bytearray, other: bytes | bytearray) -> int:
    """The first byte that differs, found by halves."""
    low, high = 0, max(len(one), len(other))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if one[low:middle] != other[low:middle] else (middle, high)
        )
    return low


def element_difference(
    shape: tuple[int, ...],
    dtype: str,
    byte: int,
    expected: bytes | bytearray,
    found: bytes | bytearray,
    at: int,
) -> str:
    """The element at a byte of a tensor, which is byte `at` of what was expected and found."""
    width = item_size(dtype)
    begin = at - byte % width
    return (
        f"element {index_of(byte // width, shape)}: expected the bytes {expected[begin : begin + width].hex(' ')}, "
        f"found {found[begin : begin + width].hex(' ')}"
    )
