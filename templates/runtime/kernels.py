"""The kernels for a GPU: boxes of numbers moved as a table says, those of many tensors in one launch.

Each program does one tile of one move: `programs` has the number of the move and of the tile in it. `table` has 14
numbers a move: the addresses of the first words there and here, then how many words along each of four dims, and the
steps between them there and here. Words are moved as they are, whatever dtype they are part of.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

OLDEST_TRITON = (3, 6)
# triton.language, under the name that kernels have for it, once they are asked for
tl: Any = None


@cache
def kernels() -> Mapping[str, Any]:
    """The functions below as triton compiles them, by name; empty without it, or their text, which it reads."""
    global tl
    try:
        import triton.language  # type: ignore[import-not-found,import-untyped,unused-ignore]

        if tuple(map(int, triton.__version__.split(".")[:2])) < OLDEST_TRITON:
            return {}
        tl = triton.language
        functions = (move_rows, move_tiles, compute_rows)
        return {function.__name__: triton.jit(function) for function in functions}
    except (ImportError, ValueError):
        return {}


def words(size: int) -> Any:
    """The type of words of so many bytes."""
    return {1: tl.int8, 2: tl.int16, 4: tl.int32, 8: tl.int64}[size]


def move_rows(
    table: tl.tensor,
    programs: tl.tensor,
    WORD: tl.constexpr,
    UNIT: tl.constexpr,
    ALIGNED: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """Move rows of words that lie together on both sides, along the last dim.

    Addresses are multiples of ALIGNED bytes; counts, steps and strides of UNIT words.
    """
    program = programs + 2 * tl.program_id(0)
    move = table + 14 * tl.load(program).to(tl.int64)
    tile = tl.load(program + 1)
    source = tl.multiple_of(tl.load(move).to(tl.pointer_type(WORD)), ALIGNED)
    target = tl.multiple_of(tl.load(move + 1).to(tl.pointer_type(WORD)), ALIGNED)
    count0 = tl.load(move + 2).to(tl.int32)
    count1 = tl.load(move + 3).to(tl.int32)
    count2 = tl.load(move + 4).to(tl.int32)
    run = tl.multiple_of(tl.load(move + 5), UNIT)

    across = (run + COLUMNS - 1) // COLUMNS
    row = (tile // across).to(tl.int32) * ROWS + tl.arange(0, ROWS)
    column = (tile % across) * COLUMNS + tl.arange(0, COLUMNS)
    index2 = (row % count2).to(tl.int64)
    index1 = (row // count2 % count1).to(tl.int64)
    index0 = (row // count2 // count1).to(tl.int64)
    there = (
        index0 * tl.multiple_of(tl.load(move + 6), UNIT)
        + index1 * tl.multiple_of(tl.load(move + 7), UNIT)
        + index2 * tl.multiple_of(tl.load(move + 8), UNIT)
    )
    here = (
        index0 * tl.multiple_of(tl.load(move + 10), UNIT)
        + index1 * tl.multiple_of(tl.load(move + 11), UNIT)
        + index2 * tl.multiple_of(tl.load(move + 12), UNIT)
    )
    inside = (index0 < count0)[:, None] & (column < run)[None, :]
    moved = tl.load(source + there[:, None] + column[None, :], mask=inside)
    tl.store(target + here[:, None] + column[None, :], moved, mask=inside)


def move_tiles(
    table: tl.tensor,
    programs: tl.tensor,
    WORD: tl.constexpr,
    UNIT: tl.constexpr,
    ALIGNED: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """Move words that lie together along the last dim here and along the one before it there, as in a transpose.

    A tile is read in the order of the source, turned in shared memory, and written in the order of the target.
    """
    program = programs + 2 * tl.program_id(0)
    move = table + 14 * tl.load(program).to(tl.int64)
    tile = tl.load(program + 1)
    source = tl.multiple_of(tl.load(move).to(tl.pointer_type(WORD)), ALIGNED)
    target = tl.multiple_of(tl.load(move + 1).to(tl.pointer_type(WORD)), ALIGNED)
    count1 = tl.load(move + 3)
    rows = tl.multiple_of(tl.load(move + 4), UNIT)
    columns = tl.multiple_of(tl.load(move + 5), UNIT)

    down, across = (rows + ROWS - 1) // ROWS, (columns + COLUMNS - 1) // COLUMNS
    index1 = tile // across // down % count1
    index0 = tile // across // down // count1
    row = (tile // across % down) * ROWS + tl.arange(0, ROWS)
    column = (tile % across) * COLUMNS + tl.arange(0, COLUMNS)
    source += index0 * tl.multiple_of(tl.load(move + 6), UNIT)
    source += index1 * tl.multiple_of(tl.load(move + 7), UNIT)
    target += index0 * tl.multiple_of(tl.load(move + 10), UNIT)
    target += index1 * tl.multiple_of(tl.load(move + 11), UNIT)
    there = column * tl.multiple_of(tl.load(move + 9), UNIT)
    here = row * tl.multiple_of(tl.load(move + 12), UNIT)
    inside = (row < rows)[:, None] & (column < columns)[None, :]
    moved = tl.load(source + row[:, None] + there[None, :], mask=inside)
    tl.store(target + here[:, None] + column[None, :], moved, mask=inside)


def compute_rows(
    table: tl.tensor,
    programs: tl.tensor,
    infinite: tl.tensor,
    FROM: tl.constexpr,
    TO: tl.constexpr,
    STEPS: tl.constexpr,
    NUMBERS: tl.constexpr,
    UNIT: tl.constexpr,
    ALIGNED: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """Move rows of numbers, from one dtype to another and by way of arithmetic: in float32, or float64 from that.

    STEPS says `+ - * /` and `neg` as 0 to 4, NUMBERS has what stands behind each. It is rounded to the nearest, to 16 bits from float32, as torch does it.
    `infinite` has a number a move; it becomes 1 where a finite number does not stay one.
    """
    program = programs + 2 * tl.program_id(0)
    number = tl.load(program)
    move = table + 14 * number.to(tl.int64)
    tile = tl.load(program + 1)
    if FROM == "BF16":
        source = tl.load(move).to(tl.pointer_type(tl.uint16))
    elif FROM == "F16":
        source = tl.load(move).to(tl.pointer_type(tl.float16))
    elif FROM == "F32":
        source = tl.load(move).to(tl.pointer_type(tl.float32))
    else:
        source = tl.load(move).to(tl.pointer_type(tl.float64))
    source = tl.multiple_of(source, ALIGNED)
    address = tl.load(move + 1)
    count0 = tl.load(move + 2).to(tl.int32)
    count1 = tl.load(move + 3).to(tl.int32)
    count2 = tl.load(move + 4).to(tl.int32)
    run = tl.multiple_of(tl.load(move + 5), UNIT)

    across = (run + COLUMNS - 1) // COLUMNS
    row = (tile // across).to(tl.int32) * ROWS + tl.arange(0, ROWS)
    column = (tile % across) * COLUMNS + tl.arange(0, COLUMNS)
    index2 = (row % count2).to(tl.int64)
    index1 = (row // count2 % count1).to(tl.int64)
    index0 = (row // count2 // count1).to(tl.int64)
    there = (
        index0 * tl.multiple_of(tl.load(move + 6), UNIT)
        + index1 * tl.multiple_of(tl.load(move + 7), UNIT)
        + index2 * tl.multiple_of(tl.load(move + 8), UNIT)
    )
    here = (
        index0 * tl.multiple_of(tl.load(move + 10), UNIT)
        + index1 * tl.multiple_of(tl.load(move + 11), UNIT)
        + index2 * tl.multiple_of(tl.load(move + 12), UNIT)
    )
    inside = (index0 < count0)[:, None] & (column < run)[None, :]
    value = tl.load(source + there[:, None] + column[None, :], mask=inside, other=0)
    if (
        FROM == "BF16"
    ):  # by their bits, as below: what interprets kernels rounds wrongly
        value = (value.to(tl.uint32) << 16).to(tl.float32, bitcast=True)
    elif FROM == "F16":
        value = value.to(tl.float32)
    finite = tl.abs(value) < float("inf")
    for i in tl.static_range(len(STEPS)):
        operand = tl.full((1, 1), NUMBERS[i], value.dtype)
        if STEPS[i] == 0:
            value = value + operand
        elif STEPS[i] == 1:
            value = value - operand
        elif STEPS[i] == 2:
            value = value * operand
        elif STEPS[i] == 3 and FROM == "F64":
            value = value / operand
        elif STEPS[i] == 3:
            value = tl.div_rn(value, operand)
        else:
            value = value * -1.0
    place = here[:, None] + column[None, :]
    if TO == "F64":
        made = value.to(tl.float64)
        lost = finite & ~(tl.abs(made) < float("inf"))
        target = address.to(tl.pointer_type(tl.float64))
    elif TO == "F32":
        made = value.to(tl.float32)
        lost = finite & ~(tl.abs(made) < float("inf"))
        target = address.to(tl.pointer_type(tl.float32))
    elif TO == "F16":
        made = value.to(tl.float32).to(tl.float16)
        lost = finite & ~(tl.abs(made.to(tl.float32)) < float("inf"))
        target = address.to(tl.pointer_type(tl.float16))
    else:
        bits = value.to(tl.float32).to(tl.uint32, bitcast=True)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        made = tl.where((bits & 0x7FFFFFFF) > 0x7F800000, 0x7FC0, rounded)
        lost = finite & ((made & 0x7FFF) >= 0x7F80)
        made = made.to(tl.uint16)
        target = address.to(tl.pointer_type(tl.uint16))
    target = tl.multiple_of(target, ALIGNED)
    tl.store(target + place, made, mask=inside)
    # One number for the tile, for as many masks as it has elements do not fit into registers.
    tl.store(infinite + number, 1, mask=tl.max((lost & inside).to(tl.int32)) > 0)
