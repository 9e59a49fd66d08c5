"""Grids: strided views of tensors without their data, and the boxes of indices that a rank or a chunk holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import NamedTuple, TypeAlias

Counts: TypeAlias = "tuple[int, ...]"
Box: TypeAlias = "tuple[Counts, Counts]"  # the first index and the count of each dim


def boxes(
    counts: Counts, weights: Counts, start: int, low: int, high: int
) -> list[Box]:
    """The boxes of indices whose address, start + sum(weight * index), lies in [low, high).

    A box is cut along the dim of the largest weight only where the range cuts through it, so a range
    of a row-major tensor gives at most two boxes a dim.
    """
    last = start + sum(weight * (count - 1) for weight, count in zip(weights, counts))
    if 0 in counts or last < low or start >= high:
        return []
    if low <= start and last < high:
        return [((0,) * len(counts), counts)]
    dim = max(range(len(counts)), key=lambda d: weights[d] if counts[d] > 1 else -1)
    weight, rest = weights[dim], last - start - weights[dim] * (counts[dim] - 1)
    first = max(
        0, (low - start - rest + weight - 1) // weight
    )  # the first index that is touched
    stop = min(counts[dim], (high - 1 - start) // weight + 1)
    full = max(
        first, -((start - low) // weight)
    )  # the first that lies inside as a whole
    end = max(full, min(stop, (high - 1 - start - rest) // weight + 1))
    found: list[Box] = []
    for begin, count in [
        *((i, 1) for i in range(first, min(full, stop))),
        (full, end - full),
    ]:
        found += _within(counts, weights, start, low, high, dim, begin, count)
    for begin in range(max(end, min(full, stop)), stop):
        found += _within(counts, weights, start, low, high, dim, begin, 1)
    return found


def _within(
    counts: Counts,
    weights: Counts,
    start: int,
    low: int,
    high: int,
    dim: int,
    begin: int,
    count: int,
) -> Iterator[Box]:
    """The boxes of the part [begin, begin + count) of one dim."""
    part = (*counts[:dim], count, *counts[dim + 1 :])
    for first, sizes in boxes(part, weights, start + weights[dim] * begin, low, high):
        yield (*first[:dim], first[dim] + begin, *first[dim + 1 :]), sizes


class Share(NamedTuple):
    """The positions [start, stop) of a whole of `whole` positions, which one rank holds."""

    whole: int
    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start


class Piece(NamedTuple):
    """A tensor of a statement as one rank holds it: side (0 left, 1 right), position, mesh coordinates."""

    side: int
    position: int
    at: tuple[tuple[str, int], ...]


class Limit(NamedTuple):
    """Only the indices with low <= start + sum(weight * index) < high are in the tensor."""

    weights: Counts
    start: int
    low: int
    high: int


@dataclass(frozen=True)
class Grid:
    """A strided view of a tensor, without its data: counts, steps and offset in elements."""

    piece: Piece
    counts: Counts
    steps: Counts
    offset: int = 0
    limits: tuple[Limit, ...] = ()

    def view(self, *sizes: int) -> Grid:
        """The same elements with dims cut into several, slowest first."""
        if 0 in sizes:
            return replace(self, counts=sizes, steps=(0,) * len(sizes), limits=())
        dims = _factored(self.counts, sizes)
        return replace(
            self,
            counts=sizes,
            steps=tuple(self.steps[dim] * inner for dim, inner in dims),
            limits=tuple(
                limit._replace(
                    weights=tuple(limit.weights[dim] * inner for dim, inner in dims)
                )
                for limit in self.limits
            ),
        )

    def __getitem__(self, key: int | slice | tuple[int | slice, ...]) -> Grid:
        """A part of the elements: an int takes a dim away, a slice keeps it."""
        keys = key if isinstance(key, tuple) else (key,)
        starts, counts, kept = [0] * len(self.counts), list(self.counts), []
        for dim, item in enumerate(
            (*keys, *[slice(None)] * (len(self.counts) - len(keys)))
        ):
            if isinstance(item, slice):
                starts[dim], stop, _ = item.indices(self.counts[dim])
                counts[dim] = max(0, stop - starts[dim])
                kept.append(dim)
            else:
                starts[dim] = item
        return replace(
            self,
            offset=self.offset + dot(self.steps, starts),
            limits=tuple(
                limit._replace(start=limit.start + dot(limit.weights, starts))
                for limit in self.limits
            ),
            counts=tuple(counts),
        ).permute(*kept)

    def permute(self, *dims: int) -> Grid:
        """The same elements with the dims in another order; dims that are not named have one index."""
        return replace(
            self,
            counts=tuple(self.counts[dim] for dim in dims),
            steps=tuple(self.steps[dim] for dim in dims),
            limits=tuple(
                limit._replace(weights=tuple(limit.weights[dim] for dim in dims))
                for limit in self.limits
            ),
        )

    def repeat(self, dim: int, count: int) -> Grid:
        """The same elements `count` times along a new dim."""
        return replace(
            self,
            counts=(*self.counts[:dim], count, *self.counts[dim:]),
            steps=(*self.steps[:dim], 0, *self.steps[dim:]),
            limits=tuple(
                limit._replace(weights=(*limit.weights[:dim], 0, *limit.weights[dim:]))
                for limit in self.limits
            ),
        )

    def of(self, dim: int, own: Share) -> Grid:
        """The grid of the whole dim, of which this tensor holds a share."""
        weights = tuple(int(d == dim) for d in range(len(self.counts)))
        return replace(
            self,
            counts=(*self.counts[:dim], own.whole, *self.counts[dim + 1 :]),
            offset=self.offset - own.start * self.steps[dim],
            limits=(
                *(
                    limit._replace(start=limit.start - own.start * limit.weights[dim])
                    for limit in self.limits
                ),
                Limit(weights, 0, own.start, own.stop),
            ),
        )


def dot(steps: Counts, indices: list[int] | Counts) -> int:
    """How far apart two elements are: the sum of step * index."""
    return sum(step * index for step, index in zip(steps, indices))


def index_of(number: int, shape: Counts) -> list[int]:
    """The index of an element of a row-major tensor, by its number."""
    index: list[int] = []
    for size in reversed(shape):
        number, position = divmod(number, size)
        index.insert(0, position)
    return index


def _factored(counts: Counts, sizes: Counts) -> list[tuple[int, int]]:
    """For each of sizes, the dim of counts that it is cut from and the step inside it."""
    found: list[tuple[int, int]] = []
    rest = list(sizes)
    for dim, count in enumerate(counts):
        group = [rest.pop(0)] if rest else []
        while prod(group) < count and rest:
            group.append(rest.pop(0))
        if dim == len(counts) - 1:
            group += rest
        assert prod(group) == count, f"{counts} cannot be viewed as {sizes}"
        found += [(dim, prod(group[i + 1 :])) for i in range(len(group))]
    return found
