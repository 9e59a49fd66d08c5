"""Copying a rectangular block of elements from one memory to another, with any steps on either side.

With numpy where it is installed, else with torch, else with slices of memoryviews; the bytes are the same.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, NamedTuple

# Unsigned words by size: bytes are moved, not numbers.
TILE = 256  # elements of the fastest dim of the target; measured for 2 bytes each
WORDS: dict[int, Literal["B", "H", "I", "Q"]] = {1: "B", 2: "H", 4: "I", 8: "Q"}


class StridedBlock(NamedTuple):
    """Elements of `width` bytes. Everything else is in bytes too, dims sorted by the stride in the target."""

    start: int  # of the first element in the source
    steps: tuple[int, ...]
    offset: int  # of the first element in the target
    strides: tuple[int, ...]
    counts: tuple[int, ...]
    width: int

    def run(self) -> tuple[int, int]:
        """The bytes that lie together on both sides, and the number of dims around them."""
        if self.counts and self.steps[-1] == self.strides[-1] == self.width:
            return self.counts[-1] * self.width, len(self.counts) - 1
        return self.width, len(self.counts)

    def end(self) -> int:
        """The byte behind the last element in the source."""
        far = sum(step * (n - 1) for step, n in zip(self.steps, self.counts))
        return self.start + far + self.width

    def corners(self, dims: int) -> list[tuple[int, int]]:
        """Where the parts that the first `dims` dims enumerate begin, in the source and in the target."""
        found = [(self.start, self.offset)]
        for count, step, stride in zip(self.counts[:dims], self.steps, self.strides):
            found = [
                (s + i * step, t + i * stride) for s, t in found for i in range(count)
            ]
        return found


class ArrayLibrary(NamedTuple):
    """What numpy and torch have in common."""

    view: Callable[
        [memoryview, int, tuple[int, ...], list[int], int], Any
    ]  # of strided memory
    permute: Callable[[Any, list[int]], Any]
    copy: Callable[[Any, Any], Any]  # to, from


def copy_block(
    block: StridedBlock, source: memoryview, target: memoryview, scratch: memoryview
) -> None:
    """Copy one block. Scratch is memory of the block's size or more, for blocks that are turned."""
    library = _numpy_library() or _torch_library()
    if library is None:
        _copy_slices(block, source, target)
    else:
        _copy_arrays(library, block, source, target, scratch)


@cache
def _numpy_library() -> ArrayLibrary | None:
    try:
        import numpy
    except ImportError:
        return None

    def view(
        memory: memoryview,
        start: int,
        steps: tuple[int, ...],
        counts: list[int],
        width: int,
    ) -> Any:
        return numpy.ndarray(counts, f"u{width}", memory, start, steps)

    return ArrayLibrary(view, numpy.transpose, numpy.copyto)


@cache
def _torch_library() -> ArrayLibrary | None:
    loaded = "torch" in sys.modules
    try:
        import torch
    except ImportError:
        return None
    if not loaded:
        torch.set_num_threads(1)  # a chunk is too small to be worth several
    words = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    with (
        warnings.catch_warnings()
    ):  # torch says once that memory is read-only; nothing writes to it
        warnings.simplefilter("ignore")
        torch.frombuffer(b"\0", dtype=torch.uint8)

    def view(
        memory: memoryview,
        start: int,
        steps: tuple[int, ...],
        counts: list[int],
        width: int,
    ) -> Any:
        count = 1 + sum(step // width * (size - 1) for step, size in zip(steps, counts))
        flat = torch.frombuffer(memory, dtype=words[width], count=count, offset=start)
        return flat.as_strided(counts, [step // width for step in steps])

    return ArrayLibrary(view, torch.permute, lambda here, there: here.copy_(there))


def _copy_arrays(
    library: ArrayLibrary,
    block: StridedBlock,
    source: memoryview,
    target: memoryview,
    scratch: memoryview,
) -> None:
    start, steps, offset, strides, counts, width = block
    # From the slowest to the fastest dim of the source, whose memory is then read line by line.
    order = sorted(range(len(counts)), key=lambda dim: (steps[dim] > 0, -steps[dim]))
    if order[-1] == len(counts) - 1:
        there = library.view(source, start, steps, list(counts), width)
        here = library.view(target, offset, strides, list(counts), width)
        library.copy(here, there)
        return
    # A turned block goes through scratch in the order of the source, in tiles that stay in the cache.
    for first in range(0, counts[-1], TILE):
        sizes = [*counts[:-1], min(TILE, counts[-1] - first)]
        there = library.view(source, start + first * steps[-1], steps, sizes, width)
        here = library.view(target, offset + first * strides[-1], strides, sizes, width)
        turned = [sizes[dim] for dim in order]
        between = library.view(scratch, 0, _row_major(turned, width), turned, width)
        library.copy(between, library.permute(there, order))
        back = [order.index(dim) for dim in range(len(counts))]
        library.copy(here, library.permute(between, back))


def _row_major(counts: list[int], width: int) -> tuple[int, ...]:
    strides = [width]
    for count in reversed(counts[1:]):
        strides.append(strides[-1] * count)
    return tuple(reversed(strides))


def _copy_slices(block: StridedBlock, source: memoryview, target: memoryview) -> None:
    run, dims = block.run()
    if dims < len(block.counts):
        for start, offset in block.corners(dims):
            target[offset : offset + run] = source[start : start + run]
        return
    width, count = block.width, block.counts[-1]
    step, stride = block.steps[-1], block.strides[-1]
    for start, offset in block.corners(dims - 1):
        here = _every(target, offset, stride, count, width)
        if step:
            here[:] = _every(source, start, step, count, width)
        else:  # one element, again and again
            here[:] = memoryview(bytes(source[start : start + width]) * count).cast(
                WORDS[width]
            )


def _every(
    memory: memoryview, first: int, step: int, count: int, width: int
) -> memoryview:
    """`count` words of a memory, `step` bytes apart."""
    end = first + (count - 1) * step + width
    return memory[first:end].cast(WORDS[width])[:: step // width]
