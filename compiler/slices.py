"""Blocks of a recipe in words: `rows 0..31, 48..79` of a target come from `rows 0..63` of a source.

`a..b` includes both ends. The words of a block name the same number of elements on both sides, and read row by row
these are the same elements in the same order; a block for which that is not so (a transposition) is told as several.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from math import prod

from ..templates.runtime.grid import Counts
from ..templates.runtime.recipe import Copy

SHOWN = 3  # Of more runs than this along an axis, the first two and the last are told.


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a copy: where it begins on both sides, in elements, and its steps and counts, slowest first."""

    here: int
    strides: Counts
    there: int
    steps: Counts
    counts: Counts


@dataclass(frozen=True, slots=True)
class Along:
    """The positions of a block along one axis: the first, then (count, step) of what runs, slowest first."""

    first: int
    runs: tuple[tuple[int, int], ...]

    @property
    def last(self) -> int:
        return self.first + sum((count - 1) * step for count, step in self.runs)

    @property
    def positions(self) -> Iterator[int]:
        for steps in product(
            *(range(0, count * step, step) for count, step in self.runs)
        ):
            yield self.first + sum(steps)


def blocks(copy: Copy) -> Iterator[Block]:
    """The fewest parts of a copy that are read and written in the same order."""
    dims = list(zip(copy.strides, copy.steps, copy.counts, strict=True))
    apart = min(
        (
            set(some)
            for size in range(len(dims) + 1)
            for some in combinations(range(len(dims)), size)
        ),
        key=lambda some: (
            not _in_order(dims, some),
            prod(dims[dim][2] for dim in some),
        ),
    )
    kept = [dim for number, dim in enumerate(dims) if number not in apart]
    taken = [dim for number, dim in enumerate(dims) if number in apart]
    for index in product(*(range(count) for _, _, count in taken)):
        yield Block(
            copy.offset
            + sum(i * stride for i, (stride, _, _) in zip(index, taken, strict=True)),
            tuple(stride for stride, _, _ in kept),
            copy.start
            + sum(i * step for i, (_, step, _) in zip(index, taken, strict=True)),
            tuple(step for _, step, _ in kept),
            tuple(count for _, _, count in kept),
        )


def _in_order(dims: Sequence[tuple[int, int, int]], apart: set[int]) -> bool:
    """Whether the dims that are not taken apart run from slow to fast on both sides, none into the next."""
    kept = [dim for number, dim in enumerate(dims) if number not in apart]
    for number, (stride, step, _) in enumerate(kept):
        inside = kept[number + 1 :]
        if stride <= sum(s * (count - 1) for s, _, count in inside):
            return False
        if step <= sum(s * (count - 1) for _, s, count in inside):
            return False
    return True


def words(shape: Counts, start: int, steps: Counts, counts: Counts) -> str:
    """Which elements of a tensor these are; `all` for all."""
    found = along(shape, start, steps, counts)
    if found is None:
        flat = along((prod(shape),), start, steps, counts)
        assert flat is not None, "addresses in order fit on one axis"
        return f"{_positions(flat[0], 'element')} in memory"
    told = [
        _positions(axis, _axis_word(number, len(shape)))
        for number, (axis, size) in enumerate(zip(found, shape, strict=True))
        if axis != Along(0, ((size, 1),) if size > 1 else ())
    ]
    return "; ".join(told) or "all"


def along(
    shape: Counts, start: int, steps: Counts, counts: Counts
) -> tuple[Along, ...] | None:
    """The positions on every axis, slowest axis first; None where they are not the same in every row."""
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    firsts = [
        start // stride % size for stride, size in zip(strides, shape, strict=True)
    ]
    runs: list[list[tuple[int, int]]] = [[] for _ in shape]
    left = [
        (step, count) for step, count in zip(steps, counts, strict=True) if count > 1
    ]
    while left:
        step, count = left.pop(0)
        axis = next(
            (a for a, s in enumerate(strides) if s <= step < s * shape[a]), None
        )
        if axis is None or step % strides[axis]:
            return None
        by = step // strides[axis]
        inner = -(-(shape[axis] - firsts[axis]) // by)  # how many fit on the axis
        if count > inner:  # the run goes on in the next row: only a whole row can
            if firsts[axis] >= by or shape[axis] % by or count % inner or axis == 0:
                return None
            left = [(strides[axis - 1], count // inner), (step, inner), *left]
            continue
        runs[axis].append((count, by))
    found = tuple(
        Along(first, _merged(run)) for first, run in zip(firsts, runs, strict=True)
    )
    fits = all(axis.last < size for axis, size in zip(found, shape, strict=True))
    return found if fits else None


def _merged(runs: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Runs that follow one another without a gap as one."""
    merged: list[tuple[int, int]] = []
    for count, step in runs:
        if merged and merged[-1][1] == count * step:
            merged[-1] = (merged[-1][0] * count, step)
        else:
            merged.append((count, step))
    return tuple(merged)


def _axis_word(axis: int, axes: int) -> str:
    if axes == 1:
        return "element"
    return ("row", "column")[axis] if axes == 2 else f"axis {axis}, position"


def _positions(axis: Along, word: str) -> str:
    """`rows 0..31, 48..79`, `row 5`, `columns 0, 2, .., 62`."""
    *outer, (count, step) = axis.runs or ((1, 1),)
    starts = list(Along(axis.first, tuple(outer)).positions)
    told = [_run(start, count, step) for start in _some(starts)]
    if len(starts) > SHOWN:
        told.insert(2, "..")
    plural = "" if count * len(starts) == 1 else "s"
    return f"{word}{plural} {', '.join(told)}"


def _run(first: int, count: int, step: int) -> str:
    if step == 1 and count > 1:
        return f"{first}..{first + count - 1}"
    some = [str(n) for n in _some(range(first, first + count * step, step))]
    return ", ".join([*some[:2], *([".."] if count > SHOWN else []), *some[2:]])


def _some(numbers: Sequence[int]) -> list[int]:
    """All of a few, else the first two and the last."""
    return list(numbers) if len(numbers) <= SHOWN else [*numbers[:2], numbers[-1]]
