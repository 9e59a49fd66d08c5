"""Blocks in words, against every single element."""

from __future__ import annotations

from itertools import product
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapc.compiler.slices import Along, along, blocks, words
from mapc.templates.runtime.recipe import Copy


@st.composite
def copies(draw: st.DrawFn) -> tuple[Copy, int]:
    """A box of a tensor and its elements in another, whose dims stand in another order; and the size of both."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    first = [draw(st.integers(0, size - 1)) for size in sizes]
    counts = [draw(st.integers(1, size - start)) for size, start in zip(sizes, first)]
    here = [prod(sizes[dim + 1 :]) for dim in range(len(sizes))]
    order = draw(st.permutations(range(len(sizes))))
    there = [
        prod(sizes[d] for d in order[order.index(dim) + 1 :])
        for dim in range(len(sizes))
    ]
    dims = [(here[d], there[d], counts[d]) for d in range(len(sizes)) if counts[d] > 1]
    copy = Copy(
        0,
        sum(step * start for step, start in zip(there, first)),
        tuple(step for _, step, _ in dims),
        sum(stride * start for stride, start in zip(here, first)),
        tuple(stride for stride, _, _ in dims),
        tuple(count for _, _, count in dims),
    )
    return copy, prod(sizes)


def addresses(start: int, steps: tuple[int, ...], counts: tuple[int, ...]) -> list[int]:
    return [
        start + sum(step * index for step, index in zip(steps, indices))
        for indices in product(*map(range, counts))
    ]


@given(copies())
def test_blocks_are_the_copy(drawn: tuple[Copy, int]) -> None:
    """The same pairs of elements; in each block both sides run upwards."""
    copy, _ = drawn
    expected = zip(
        addresses(copy.offset, copy.strides, copy.counts),
        addresses(copy.start, copy.steps, copy.counts),
    )
    found: list[tuple[int, int]] = []
    for block in blocks(copy):
        here = addresses(block.here, block.strides, block.counts)
        there = addresses(block.there, block.steps, block.counts)
        assert here == sorted(set(here)) and there == sorted(set(there))
        found += zip(here, there)
    assert sorted(found) == sorted(expected)


@given(copies(), st.data())
def test_positions_are_the_addresses(
    drawn: tuple[Copy, int], data: st.DataObject
) -> None:
    """However the elements are cut into axes, the positions along these are the addresses, in order."""
    copy, size = drawn
    shape = data.draw(st.sampled_from(shapes(size)))
    for block in blocks(copy):
        found = along(shape, block.here, block.strides, block.counts)
        if found is None:
            assert len(shape) > 1
            continue
        steps = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
        read = [
            sum(step * position for step, position in zip(steps, positions))
            for positions in product(*(axis.positions for axis in found))
        ]
        assert read == addresses(block.here, block.strides, block.counts)
        assert all(
            max(axis.positions) == axis.last < n for axis, n in zip(found, shape)
        )


def shapes(size: int) -> list[tuple[int, ...]]:
    """The ways to cut a size into three axes at most."""
    pairs = [(a, size // a) for a in range(1, size + 1) if size % a == 0]
    threes = [
        (a, b, rest // b)
        for a, rest in pairs
        for b in range(1, rest + 1)
        if rest % b == 0
    ]
    return [(size,), *pairs, *threes]


@pytest.mark.parametrize(
    ("shape", "start", "steps", "counts", "expected"),
    [
        ((6, 5), 0, (1,), (30,), "all"),
        ((6, 5), 10, (1,), (5,), "row 2"),
        ((6, 5), 10, (1,), (15,), "rows 2..4"),
        ((6, 5), 0, (10, 1), (3, 5), "rows 0, 2, 4"),
        ((8, 5), 0, (10, 1), (4, 5), "rows 0, 2, .., 6"),
        ((24, 5), 0, (30, 1), (4, 10), "rows 0..1, 6..7, .., 18..19"),
        ((6, 5), 3, (5,), (6,), "column 3"),
        ((6, 5), 1, (5, 1), (6, 3), "columns 1..3"),
        ((6, 5), 11, (5, 1), (2, 3), "rows 2..3; columns 1..3"),
        ((6, 5), 13, (), (), "row 2; column 3"),
        ((7,), 2, (1,), (4,), "elements 2..5"),
        ((7,), 2, (), (), "element 2"),
        ((1,), 0, (), (), "all"),
        ((), 0, (), (), "all"),
        ((2, 3, 4), 4, (12, 1), (2, 4), "axis 1, position 1"),
        ((2, 3, 4), 12, (1,), (8,), "axis 0, position 1; axis 1, positions 0..1"),
        ((4, 1, 8), 8, (8, 1), (2, 8), "axis 0, positions 1..2"),
        ((6, 5), 3, (1,), (4,), "elements 3..6 in memory"),
        ((6, 5), 0, (3,), (4,), "elements 0, 3, .., 9 in memory"),
        ((4, 6), 0, (3,), (4,), "rows 0..1; columns 0, 3"),
        ((4, 6), 0, (3,), (5,), "elements 0, 3, .., 12 in memory"),
        ((2, 6), 0, (4, 1), (2, 3), "elements 0..2, 4..6 in memory"),
    ],
)
def test_words(
    shape: tuple[int, ...],
    start: int,
    steps: tuple[int, ...],
    counts: tuple[int, ...],
    expected: str,
) -> None:
    assert words(shape, start, steps, counts) == expected


def test_the_fewest_blocks_are_told() -> None:
    """Two interleaved halves are two blocks, not one for each pair."""
    copy = Copy(0, 0, (1, 16), 0, (2, 1), (16, 2))
    assert len(list(blocks(copy))) == 2


def test_elements_that_are_read_twice() -> None:
    """Four elements written two times over are two blocks, each from all four."""
    found = list(blocks(Copy(0, 0, (0, 1), 0, (4, 1), (2, 4))))
    assert [(block.here, block.there, block.counts) for block in found] == [
        (0, 0, (4,)),
        (4, 0, (4,)),
    ]
    found = list(blocks(Copy(0, 3, (0,), 0, (4,), (2,))))
    assert [(block.here, block.there, block.counts) for block in found] == [
        (0, 3, ()),
        (4, 3, ()),
    ]


def test_positions_in_order() -> None:
    assert list(Along(3, ((2, 10), (3, 1))).positions) == [3, 4, 5, 13, 14, 15]
