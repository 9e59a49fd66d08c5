"""Moves against torch: every size of words, alignment and kind of box, and what is computed on the way."""

from __future__ import annotations

from itertools import permutations
from math import prod

import pytest
import torch
from mapc.templates.runtime.launching import MoveTable
from mapc.templates.runtime.moves import (
    ROW_TILES,
    WORD_TILES,
    ZEROS,
    Launch,
    Move,
    computed_moves,
    moves_of,
    turned_tiles,
    zero_moves,
)
from mapc.templates.runtime.recipe import Copy

pytestmark = pytest.mark.usefixtures("interpreted")
CPU = torch.device("cpu")
SIZES = {
    1: torch.uint8,
    2: torch.int16,
    4: torch.int32,
    8: torch.int64,
    16: torch.complex128,
}


def numbered(count: int, size: int) -> torch.Tensor:
    """Elements of so many bytes, each of which has other bits."""
    if size == 16:
        return torch.arange(2 * count, dtype=torch.float64).view(torch.complex128)
    return torch.arange(count).to(SIZES[size])


def block(
    tensor: torch.Tensor, offset: int, steps: tuple[int, ...], copy: Copy
) -> torch.Tensor:
    return tensor.as_strided(copy.counts, steps, tensor.storage_offset() + offset)


def check(copy: Copy, size: int, shift: int = 0) -> list[Move]:
    """Do a copy by moves, on memory that begins `shift` elements behind an aligned address, and compare."""
    ends = [
        first + sum((n - 1) * step for n, step in zip(copy.counts, steps)) + 1
        for first, steps in ((copy.start, copy.steps), (copy.offset, copy.strides))
    ]
    source = numbered(ends[0] + shift, size)[shift:]
    made, expected = (torch.zeros(ends[1] + shift, dtype=SIZES[size]) for _ in range(2))
    made, expected = made[shift:], expected[shift:]
    block(expected, copy.offset, copy.strides, copy).copy_(
        block(source, copy.start, copy.steps, copy)
    )
    moves = list(moves_of(copy, size, source.data_ptr(), made.data_ptr()))
    MoveTable(moves, CPU).launch()
    assert torch.equal(made, expected)
    for move in moves:
        assert_hints_hold(move)
    return moves


def assert_hints_hold(move: Move) -> None:
    """What a kernel is compiled to believe: triton's interpreter does not look."""
    row, turned = move.row, move.launch.kernel == "move_tiles"
    counts = row[4:6] if turned else row[5:6]
    steps = [*row[6:8], row[9], *row[10:13]] if turned else [*row[6:9], *row[10:13]]
    assert (row[8] if turned else row[9], row[13]) == (1, 1)
    assert all(address % move.launch.aligned == 0 for address in row[:2])
    assert all(number % move.launch.unit == 0 for number in (*counts, *steps))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shift", [0, 1, 2, 3])
@pytest.mark.parametrize("run", [1, 3, 8, 32, 4096 + 48])
def test_rows(size: int, shift: int, run: int) -> None:
    copy = Copy(0, 5 * run, (3 * run, run), run, (6 * run, 2 * run), (5, 2))
    rows = copy._replace(
        steps=(*copy.steps, 1), strides=(*copy.strides, 1), counts=(*copy.counts, run)
    )
    for move in check(rows, size, shift):
        words = size * run * (1 if shift == 0 else shift)
        assert move.launch.kernel == "move_rows"
        assert words % move.launch.aligned == 0
        aligned = 16 if move.launch.unit == 2 else move.launch.word
        assert move.launch.aligned == aligned


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("down, across", [(64, 128), (67, 33), (2, 1031), (1031, 2)])
def test_turned(size: int, shift: int, down: int, across: int) -> None:
    inner = down * across
    copy = Copy(0, 0, (inner, 1, down), 0, (inner, across, 1), (3, down, across))
    (move,) = check(copy, size, shift)
    vectors = shift == 0 and down * size % 16 == across * size % 16 == 0
    expected = (16 // size, 16) if vectors else (1, size)
    assert move.launch.kernel == "move_tiles"
    assert (move.launch.unit, move.launch.aligned) == expected


def test_elements_of_sixteen_bytes_are_turned_as_rows() -> None:
    (move,) = check(Copy(0, 0, (1, 3), 0, (5, 1), (3, 5)), 16)
    assert move.launch == Launch("move_rows", 8, 2, 16, (16, 256))


@pytest.mark.parametrize("order", [*permutations(range(4))][::5])
def test_every_order_of_dims(order: tuple[int, ...]) -> None:
    counts, strides = (2, 3, 5, 7), (105, 35, 7, 1)
    steps = [0] * 4
    step = 1
    for dim in order:
        steps[dim], step = step, step * counts[dim]
    check(Copy(0, 0, tuple(steps), 0, strides, counts), 2)


def test_elements_that_are_apart_on_both_sides() -> None:
    (move,) = check(Copy(0, 1, (14, 2), 2, (33, 3), (5, 7)), 4)
    assert move.launch.kernel == "move_rows"
    assert move.row[2:6] == (1, 5, 7, 1)


def test_more_dims_are_more_moves() -> None:
    counts, strides = (2, 3, 2, 3, 5), (99, 33, 15, 5, 1)
    steps = (1, 2, 18, 6, 36)
    moves = check(Copy(0, 0, steps, 0, strides, counts), 2)
    assert [move.row[2:6] for move in moves] == [(2, 3, 2, 5)] * 3


def test_rows_that_cannot_be_counted_in_31_bits() -> None:
    copy = Copy(0, 0, (2,), 0, (3,), (2**31 + 3,))
    moves = list(moves_of(copy, 2, 4096, 8192))
    assert [move.row[2:6] for move in moves] == [
        (1, 1, 2**30 + 1, 1),
        (1, 1, 2**30 + 2, 1),
    ]
    assert moves[1].row[:2] == (4096 + (2**30 + 1) * 4, 8192 + (2**30 + 1) * 6)


@pytest.mark.parametrize("counts", [(2, 2**31), (2, 50_000, 50_000), (1, 2**33)])
def test_boxes_of_too_many_rows_are_cut(counts: tuple[int, ...]) -> None:
    strides = tuple(3 * 10**i for i in range(len(counts)))[::-1]
    moves = list(moves_of(Copy(0, 0, strides, 0, strides, counts), 2, 4096, 8192))
    rows = [prod(move.row[2:5]) for move in moves]
    assert sum(rows) == prod(counts) and max(rows) < 2**31
    assert len({move.row[:2] for move in moves}) == len(moves)


@pytest.mark.parametrize(
    "tiles", [ROW_TILES, WORD_TILES, *map(turned_tiles, (1, 2, 4, 8, 16))]
)
def test_tiles_are_of_one_size(tiles: tuple[tuple[int, int], ...]) -> None:
    assert len({down * across for down, across in tiles}) == 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("run", [1, 5, ZEROS + 3])
def test_zeros(size: int, run: int) -> None:
    copy = Copy(-1, 0, (), 2, (run + 4, 1), (3, run))
    made = torch.ones(3 * (run + 4) + 2, dtype=SIZES[size])
    expected = made.clone()
    block(expected, copy.offset, copy.strides, copy).zero_()
    zeros = torch.zeros(ZEROS, dtype=torch.uint8)
    moves = list(zero_moves(copy, size, zeros.data_ptr(), made.data_ptr()))
    MoveTable(moves, CPU).launch()
    assert torch.equal(made, expected)


FLOATS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
# The steps that a map states, as kernels count them, and as torch does them.
STEPS = {
    "none": ((), ()),
    "add": ((0,), (1.0,)),
    "subtract": ((1,), (0.1,)),
    "multiply": ((2,), (39.1918,)),
    "divide": ((3,), (3.0,)),
    "negate": ((4,), (0.0,)),
    "several": ((2, 0, 4), (0.1, 1.0, 0.0)),
}


def every_number(dtype: torch.dtype) -> torch.Tensor:
    """Every number of 16 bits; of more bits random ones, small, large and none, and those between numbers of fewer."""
    if dtype.itemsize == 2:
        return torch.arange(-(2**15), 2**15, dtype=torch.int32).short().view(dtype)
    generator = torch.Generator().manual_seed(7)
    bits = torch.randint(-(2**31), 2**31, (8192,), generator=generator)
    halves = torch.arange(4096) << 15
    if dtype == torch.float32:
        return torch.cat([bits, halves]).to(torch.int32).view(dtype)
    doubles = torch.cat([bits << 32, bits]).view(dtype)
    return torch.cat([doubles, every_number(torch.float32).double()])


def in_torch(
    value: torch.Tensor, steps: tuple[int, ...], numbers: tuple[float, ...]
) -> torch.Tensor:
    wide = value.to(torch.promote_types(value.dtype, torch.float32))
    for step, number in zip(steps, numbers):
        operand = torch.tensor(number, dtype=wide.dtype)
        wide = [wide + operand, wide - operand, wide * operand, wide / operand, -wide][
            step
        ]
    return wide


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("after", FLOATS)
@pytest.mark.parametrize("before", FLOATS)
@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")  # numpy's, of NaN
def test_computed(before: str, after: str, name: str) -> None:
    steps, numbers = STEPS[name]
    source = every_number(FLOATS[before])
    expected = in_torch(source, steps, numbers).to(FLOATS[after])
    made = torch.zeros_like(expected)
    count = len(source)
    copy = Copy(0, 0, (1,), 0, (1,), (count,))
    change = before, after, steps, numbers
    sizes = source.element_size(), made.element_size()
    addresses = source.data_ptr(), made.data_ptr()
    table = MoveTable([*computed_moves(copy, sizes, change, *addresses)], CPU)
    table.launch()
    nothing = expected.isnan()
    assert torch.equal(made.isnan(), nothing)
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[made.element_size()]
    assert torch.equal(made[~nothing].view(bits), expected[~nothing].view(bits))
    lost = bool((source.isfinite() & ~made.isfinite()).any())
    assert table.infinite.tolist() == [lost]


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("run", [1, 5, 4096 + 8])
def test_computed_rows(shift: int, run: int) -> None:
    copy = Copy(0, run, (2 * run, 1), 3, (3 * run, 1), (3, run))
    source = torch.linspace(-2, 2, 7 * run + shift).bfloat16()[shift:]
    made, expected = (torch.zeros(10 * run + 3) for _ in range(2))
    there = block(source, copy.start, copy.steps, copy)
    block(expected, copy.offset, copy.strides, copy).copy_(there + 1.0)
    change = "BF16", "F32", (0,), (1.0,)
    addresses = source.data_ptr(), made.data_ptr()
    MoveTable([*computed_moves(copy, (2, 4), change, *addresses)], CPU).launch()
    block(expected, copy.offset, copy.strides, copy).copy_(there.float() + 1)
    assert torch.equal(made, expected)
