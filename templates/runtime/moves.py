"""Moves: the copies of targets as the kernels take them, by address, in words as large as all addresses and steps allow.

A move has four dims. One that needs more, or whose rows cannot be counted in 31 bits, is cut into several.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import gcd, prod
from typing import NamedTuple, TypeAlias

from .recipe import Copy

# The tiles of a program, as words down and across: that one is taken which leaves the least of it empty. Words that no
# vector has take registers for an address each, and numbers that are computed take more, so there are fewer of them.
ROW_TILES = ((1, 4096), (16, 256), (128, 32), (1024, 4))
WORD_TILES = ((1, 2048), (64, 32), (512, 4))
VECTOR = 16  # bytes that a thread moves at once
MOST_ROWS = 2**31 - 1
ZEROS = 1 << 16  # bytes of zeros, which padding is copied from

# A dim of a box, in bytes: its count, its step in the source and in the target.
Dim: TypeAlias = "tuple[int, int, int]"
# What a kernel computes: the dtypes from and to, the numbers of its steps, and what stands behind each.
Computed: TypeAlias = "tuple[str, str, tuple[int, ...], tuple[float, ...]]"


class Launch(NamedTuple):
    """What the moves of one launch have in common.

    `unit` is the number of words that every count and step is a multiple of, and `aligned` the bytes that addresses
    are. Moves that compute have a `change`, others a size of words.
    """

    kernel: str
    word: int
    unit: int
    aligned: int
    tile: tuple[int, int]
    change: Computed | None = None


class Move(NamedTuple):
    """One row of the table that a kernel reads, and how many tiles it is."""

    launch: Launch
    row: tuple[int, ...]
    tiles: int


def moves_of(copy: Copy, size: int, source: int, target: int) -> Iterator[Move]:
    """The moves of a copy of elements of `size` bytes, between tensors at these addresses."""
    there, here = source % VECTOR, target % VECTOR
    for launch, row, tiles in _moves_at(copy, size, there, here):
        addresses = row[0] + source - there, row[1] + target - here
        yield Move(launch, addresses + row[2:], tiles)


@lru_cache(maxsize=64)
def _moves_at(copy: Copy, size: int, source: int, target: int) -> tuple[Move, ...]:
    """The same, worked out once for the layers and experts that only lie elsewhere."""
    return tuple(_worked_out_moves(copy, size, source, target))


def _worked_out_moves(
    copy: Copy, size: int, source: int, target: int
) -> Iterator[Move]:
    box = [
        (count, step * size, stride * size)
        for count, step, stride in zip(copy.counts, copy.steps, copy.strides)
    ]
    source, target = source + copy.start * size, target + copy.offset * size
    if box and box[-1][1] == box[-1][2] == size:
        yield from _row_moves(box[:-1], box[-1][0] * size, source, target)
        return
    down = _longest(box[:-1], size)
    if down is None or box[-1][2] != size or size > 8:
        yield from _row_moves(box, size, source, target)
    else:
        outer = [dim for dim in box[:-1] if dim is not down]
        yield from _turned_moves(outer, down, box[-1], size, source, target)


def zero_moves(copy: Copy, size: int, zeros: int, target: int) -> Iterator[Move]:
    """The moves that make a block of a target zero, from so many bytes of zeros as ZEROS says."""
    box = [
        (count, 0, stride * size) for count, stride in zip(copy.counts, copy.strides)
    ]
    target += copy.offset * size
    run = box.pop()[0] * size if box and box[-1][2] == size else size
    whole, rest = divmod(run, ZEROS)
    if whole:
        yield from _row_moves([*box, (whole, 0, ZEROS)], ZEROS, zeros, target)
    if rest:
        yield from _row_moves(box, rest, zeros, target + whole * ZEROS)


def computed_moves(
    copy: Copy, sizes: tuple[int, int], change: Computed, source: int, target: int
) -> Iterator[Move]:
    """The moves of a copy that computes; `sizes` are the bytes of an element there and here.

    Steps are counted in elements. It is none of them where elements do not lie together on both sides.
    """
    box = list(zip(copy.counts, copy.steps, copy.strides))
    source, target = source + copy.start * sizes[0], target + copy.offset * sizes[1]
    run = box.pop()[0] if box else 1
    for (there, here), outer in _small_parts(box, 3):
        start, end = source + there * sizes[0], target + here * sizes[1]
        steps = [step for dim in outer for step in dim[1:]]
        aligned = gcd(VECTOR, start, end) == VECTOR and gcd(8, run, *steps) == 8
        tile, tiles = _tiling(WORD_TILES, prod(dim[0] for dim in outer), run)
        unit, address = (8, VECTOR) if aligned else (1, min(sizes))
        launch = Launch("compute_rows", 0, unit, address, tile, change)
        yield Move(launch, _table_row(start, end, [*outer, (run, 1, 1)], 1), tiles)


def can_compute(copy: Copy) -> bool:
    """Whether the elements of a copy lie together on both sides, along its last dim."""
    return not copy.counts or copy.steps[-1] == copy.strides[-1] == 1


def _row_moves(box: list[Dim], run: int, source: int, target: int) -> Iterator[Move]:
    """The moves of rows of `run` bytes."""
    for (there, here), outer in _small_parts(box, 3):
        start, end = source + there, target + here
        steps = [step for dim in outer for step in dim[1:]]
        aligned = gcd(VECTOR, start, end, run, *steps)
        word = min(aligned, 8)
        choice = ROW_TILES if aligned == VECTOR else WORD_TILES
        tile, tiles = _tiling(choice, prod(dim[0] for dim in outer), run // word)
        launch = Launch("move_rows", word, aligned // word, aligned, tile)
        row = _table_row(start, end, [*outer, (run // word, word, word)], word)
        yield Move(launch, row, tiles)


def _turned_moves(
    box: list[Dim], down: Dim, across: Dim, word: int, source: int, target: int
) -> Iterator[Move]:
    """The moves of boxes whose elements lie together along `down` there and along `across` here."""
    for (there, here), outer in _small_parts(box, 2):
        start, end = source + there, target + here
        steps = [step for dim in outer for step in dim[1:]]
        counts = down[0] * word, across[0] * word
        vectors = gcd(VECTOR, start, end, across[1], down[2], *counts, *steps)
        aligned = vectors == VECTOR
        unit = VECTOR // word if aligned else 1
        tile, tiles = _tiling(turned_tiles(unit), down[0], across[0])
        launch = Launch("move_tiles", word, unit, VECTOR if aligned else word, tile)
        row = _table_row(start, end, [*outer, down, across], word)
        yield Move(launch, row, tiles * prod(dim[0] for dim in outer))


def turned_tiles(unit: int) -> tuple[tuple[int, int], ...]:
    """The tiles of boxes that are turned, none thinner than the words that a thread moves at once."""
    thin = max(4, unit)
    return (64, 64), (thin, 4096 // thin), (4096 // thin, thin)


def _longest(box: list[Dim], size: int) -> Dim | None:
    """The longest of the dims along which elements lie together in the source."""
    together = [dim for dim in box if dim[1] == size]
    return max(together, default=None)


def _small_parts(
    box: list[Dim], most: int
) -> Iterator[tuple[tuple[int, int], list[Dim]]]:
    """The parts of a box that have at most so many dims and can be counted, with where they begin on both sides."""
    if len(box) <= most and prod(dim[0] for dim in box) <= MOST_ROWS:
        yield (0, 0), [(1, 0, 0)] * (most - len(box)) + box
        return
    cut = 0 if len(box) > most else max(range(len(box)), key=lambda dim: box[dim])
    (count, step, stride), before, behind = box[cut], box[:cut], box[cut + 1 :]
    if len(box) > most:
        firsts = [(number, behind) for number in range(count)]
    else:
        half = count // 2
        firsts = [
            (0, [*before, (half, step, stride), *behind]),
            (half, [*before, (count - half, step, stride), *behind]),
        ]
    for first, inner in firsts:
        for (there, here), part in _small_parts(inner, most):
            yield (there + first * step, here + first * stride), part


def _tiling(
    tiles: tuple[tuple[int, int], ...], rows: int, columns: int
) -> tuple[tuple[int, int], int]:
    """The tiles that cover so many rows and columns with the fewest, and their number."""
    counts = [-(-rows // down) * -(-columns // across) for down, across in tiles]
    fewest = min(counts)
    return tiles[counts.index(fewest)], fewest


def _table_row(source: int, target: int, dims: list[Dim], word: int) -> tuple[int, ...]:
    """The row of the table for a move of four dims, in words."""
    counts, steps, strides = zip(*dims)
    return (
        source,
        target,
        *counts,
        *(step // word for step in steps),
        *(stride // word for stride in strides),
    )
