"""Blocks copied with each library against a loop over every element."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapc.templates.runtime import strided
from mapc.templates.runtime.strided import StridedBlock

Copier = Callable[[StridedBlock, memoryview, memoryview], None]


def with_library(make: Callable[[], strided.ArrayLibrary | None]) -> Copier:
    def copy(block: StridedBlock, source: memoryview, target: memoryview) -> None:
        library = make()
        assert library is not None
        scratch = memoryview(bytearray(prod(block.counts) * block.width))
        strided._copy_arrays(library, block, source, target, scratch)

    return copy


COPIERS: dict[str, Copier] = {
    "numpy": with_library(strided._numpy_library),
    "torch": with_library(strided._torch_library),
    "slices": strided._copy_slices,
}


@st.composite
def blocks(draw: st.DrawFn) -> tuple[StridedBlock, int, int]:
    """A block whose elements do not overlap in the target, and the sizes of its source and target."""
    width = draw(st.sampled_from([1, 2, 4, 8]))
    counts = draw(st.lists(st.integers(2, 4), max_size=4))
    strides: list[int] = []
    size = 1
    for count in reversed(counts):
        strides.insert(0, size + draw(st.integers(0, 2)))
        size = strides[0] * count
    order = draw(st.permutations(range(len(counts))))
    steps, extent = [0] * len(counts), 1
    for dim in order:
        if draw(st.integers(0, 5)):  # else replicated
            steps[dim] = extent + draw(st.integers(0, 2))
            extent = steps[dim] * counts[dim]
    start, offset = draw(st.integers(0, 9)), draw(
        st.integers(0, 9)
    )  # aligned to nothing
    block = StridedBlock(
        start,
        tuple(step * width for step in steps),
        offset,
        tuple(stride * width for stride in strides),
        tuple(counts),
        width,
    )
    return block, start + extent * width, offset + size * width


def element_by_element(block: StridedBlock, source: bytes, target: bytearray) -> None:
    for index in product(*map(range, block.counts)):
        start = block.start + sum(i * step for i, step in zip(index, block.steps))
        offset = block.offset + sum(
            i * stride for i, stride in zip(index, block.strides)
        )
        target[offset : offset + block.width] = source[start : start + block.width]


@pytest.mark.parametrize("name", COPIERS)
@given(case=blocks(), tile=st.sampled_from([1, 3, 256]))
def test_every_element(
    name: str, case: tuple[StridedBlock, int, int], tile: int
) -> None:
    block, there, here = case
    if not block.counts:
        return  # one element is one run, which is read and not copied
    source = bytes(1 + i % 255 for i in range(there))
    expected, found = bytearray(here), bytearray(here)
    element_by_element(block, source, expected)
    with pytest.MonkeyPatch.context() as context:
        context.setattr(strided, "TILE", tile)
        COPIERS[name](block, memoryview(source), memoryview(found))
    assert found == expected


@given(case=blocks())
def test_runs_cover_the_block(case: tuple[StridedBlock, int, int]) -> None:
    block, there, here = case
    source = bytes(1 + i % 255 for i in range(there))
    expected, found = bytearray(here), bytearray(here)
    element_by_element(block, source, expected)
    run, dims = block.run()
    for start, offset in block.corners(dims):
        found[offset : offset + run] = source[start : start + run]
    assert found == expected


def test_the_first_library_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same block is copied whatever is installed."""
    block = StridedBlock(0, (2, 8), 0, (8, 2), (4, 4), 2)  # 4 x 4, turned
    source = memoryview(bytes(range(32)))
    results = []
    for absent in ([], ["numpy"], ["numpy", "torch"]):
        strided._numpy_library.cache_clear()
        strided._torch_library.cache_clear()
        with monkeypatch.context() as context:
            for name in absent:
                context.setitem(__import__("sys").modules, name, None)
            target = bytearray(32)
            strided.copy_block(
                block, source, memoryview(target), memoryview(bytearray(32))
            )
            used = (
                strided._numpy_library() is not None,
                strided._torch_library() is not None,
            )
            results.append((bytes(target), used))
    strided._numpy_library.cache_clear()
    strided._torch_library.cache_clear()
    turned = b"".join(
        bytes(source[2 * i : 2 * i + 2]) for c in range(4) for i in range(c, 16, 4)
    )
    assert results == [
        (turned, (True, True)),
        (turned, (False, True)),
        (turned, (False, False)),
    ]
