"""Scattering: bytes that lie together in the source go to many places of buffers, with one read.

So the kernel moves the rows of a matrix whose columns are shared out among ranks, or put together from theirs. The
places are the same for most chunks of a tensor, and are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple

SHORT_RUN = 1 << 8  # bytes; shorter ones are copied from mapped memory in less time
AT_ONCE = 1024  # pieces that one system call fills: what Linux and macOS allow
KEPT = 1 << 12  # pieces that stay
KEPT_SIZE = 256 * KEPT  # bytes


class Pieces(NamedTuple):
    """Pieces of buffers that one read fills in this order, and the bytes they have."""

    views: list[memoryview]
    size: int


class KnownPieces:
    """The pieces of the buffers of one thread, by what they depend on."""

    def __init__(self) -> None:
        self._known: dict[Hashable, list[Pieces]] = {}
        self._count = 0

    def get(self, key: Hashable, make: Callable[[], list[memoryview]]) -> list[Pieces]:
        """The pieces that are kept under a key, or else made, as reads that a system takes."""
        found = self._known.get(key)
        if found is None:
            views = make()
            if self._count + len(views) > KEPT:
                self._known.clear()
                self._count = 0
            found = self._known[key] = in_reads(views)
            self._count += len(views)
        return found


def in_reads(views: list[memoryview]) -> list[Pieces]:
    """As many reads as it takes to fill all views."""
    reads = [views[i : i + AT_ONCE] for i in range(0, len(views), AT_ONCE)]
    return [Pieces(some, sum(map(len, some))) for some in reads]


def row_pieces(
    view: memoryview, first: int, stride: int, run: int, rows: int
) -> list[memoryview]:
    """`run` bytes of every `stride` of a view, from byte `first` on, as far as they lie in it.

    `first` may be negative: the view then begins in the first row.
    """
    begins = range(first, first + rows * stride, stride)
    return [view[max(begin, 0) : begin + run] for begin in begins]
