"""Single moves by kernels: tiles and warps of every kind, and a kernel that has counts and steps as constants.

The converters move everything by tables, since what a constant would gain has not been measured; here it can be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from mapc.templates.runtime import launching, moves
from mapc.templates.runtime.recipe import Copy

from .gpu_clock import Clock, copying, same_bits
from .gpu_conversions import Row

tl: Any = None  # triton.language, once a kernel is asked for
WARPS = (4, 8, 16)
ROWS = ((1, 4096), (1, 8192), (4, 1024), (16, 256), (16, 512), (128, 32))
TURNED = ((32, 32), (64, 64), (32, 128), (128, 32), (128, 128))
Pair = tuple[Any, Any]  # views of a source and of a target


Case = tuple[str, Any, Any, list[Pair]]


def cases(device: Any, width: int) -> Iterator[Case]:
    """What is moved: a name, the whole source and target, and their parts that are one block each."""
    import torch

    for dtype in (torch.uint8, torch.bfloat16, torch.float32):
        for name, source, target, pairs in _cases_of(dtype, device, width):
            yield f"{name} {str(dtype).removeprefix('torch.')}", source, target, pairs


def _cases_of(dtype: Any, device: Any, width: int) -> Iterator[Case]:
    """The same for one dtype, of 8 groups with 4 heads of queries each."""
    import torch

    def random(*shape: int) -> Any:
        size = (*shape[:-1], shape[-1] * dtype.itemsize)
        numbers = torch.empty(size, dtype=torch.uint8, device=device)
        return numbers.random_().view(dtype)

    grouped, apart = random(8, 6, width // 8, width), random(48 * width // 8 * width)
    yield "split qkv", grouped, (made := torch.empty_like(apart)), _qkv(grouped, made)
    joined = torch.empty_like(grouped)
    turned = [(there, here) for here, there in _qkv(joined, apart)]
    yield "fuse qkv", apart, joined, turned
    both, gated = random(2, 8, width, width), random(8, 2, width, width)
    yield "gate/up", both, gated, [(both.transpose(0, 1), gated)]
    wide, part = random(width, 8 * width), random(width, width)
    yield "shard of dim 1", wide, part, [(wide[:, width : 2 * width], part)]
    stack, other = random(16, width, width), random(16, width, width)
    yield "stack of experts", stack, other, [*zip(stack, other)]
    turned_stack = torch.empty_like(stack)
    yield "transposes", stack, turned_stack, [(stack.transpose(1, 2), turned_stack)]


def _qkv(grouped: Any, apart: Any) -> list[Pair]:
    """Groups of queries, keys and values beside all queries, then all keys, then all values."""
    groups, _, *head = grouped.shape
    queries, rest = apart[: grouped[:, :4].numel()], apart[grouped[:, :4].numel() :]
    return [
        (grouped[:, :4], queries.view(groups, 4, *head)),
        (grouped[:, 4:].transpose(0, 1), rest.view(2, groups, *head)),
    ]


def measure_kernels(clock: Clock, width: int) -> list[Row]:
    """A row a case, whose functions are the tiles and warps of the table's kernels, and the one with constants."""
    rows = []
    for name, source, target, pairs in cases(clock.device, width):
        row = Row("kernels", name, target.nbytes)
        expected = target.clone()
        for there, here in pairs:
            here.copy_(there)
        expected, functions = target.clone(), {}
        for said, function in _variants(clock, source, target, pairs):
            target.zero_()
            function()
            clock.wait()
            if same_bits(target, expected):
                functions[said] = function
            else:
                row.wrong.append(f"{name} by {said} differs")
        row.times = clock.times({"copy": copying(clock, row.size), **functions})
        rows.append(row)
    return rows


def _variants(
    clock: Clock, source: Any, target: Any, pairs: list[Pair]
) -> Iterator[tuple[str, Callable[[], object]]]:
    copies = [_copy(there, here) for there, here in pairs]
    size, addresses = source.element_size(), (source.data_ptr(), target.data_ptr())
    kinds: tuple[tuple[str, Any, Any], ...] = (("as shipped", None, None),)
    turned = any(copy.steps and copy.steps[-1] != 1 for copy in copies)
    tiles = TURNED if turned else ROWS
    kinds += tuple(
        (f"{down} x {across}", (down, across), None) for down, across in tiles
    )
    kinds += tuple((f"{warps} warps", None, warps) for warps in WARPS)
    for said, tile, warps in kinds:
        with _chosen(tile, warps):
            every = [
                m for copy in copies for m in moves.moves_of(copy, size, *addresses)
            ]
        table = launching.MoveTable(every, clock.device)

        def launch(table: Any = table, warps: Any = warps) -> None:
            with _chosen(None, warps):
                table.launch()

        yield said, launch
    if not turned:
        yield "constants", lambda: [_launch_constants(move) for move in every]


@contextmanager
def _chosen(tile: tuple[int, int] | None, warps: int | None) -> Iterator[None]:
    """Other tiles and warps than those that are shipped."""
    kept = moves.ROW_TILES, moves.WORD_TILES, moves.turned_tiles, launching.THREADS
    moves._moves_at.cache_clear()
    if tile is not None:
        moves.ROW_TILES = moves.WORD_TILES = (tile,)  # type: ignore[assignment]
        moves.turned_tiles = lambda unit: (tile,)
    if warps is not None:
        launching.THREADS = warps * _lanes()
    try:
        yield
    finally:
        moves.ROW_TILES, moves.WORD_TILES, moves.turned_tiles, launching.THREADS = kept
        moves._moves_at.cache_clear()


def _lanes() -> int:
    """The threads of a warp."""
    import torch

    return 64 if torch.version.hip else 32


def _copy(there: Any, here: Any) -> Copy:
    """A copy between views as a recipe has it: dims that can be counted as one are one."""
    dims: list[list[int]] = []
    for count, step, stride in zip(there.shape, there.stride(), here.stride()):
        if dims and dims[-1][1] == step * count and dims[-1][2] == stride * count:
            dims[-1] = [dims[-1][0] * count, step, stride]
        else:
            dims.append([count, step, stride])
    counts, steps, strides = (tuple(values) for values in zip(*dims))
    start, offset = there.storage_offset(), here.storage_offset()
    return Copy(0, start, steps, offset, strides, counts)


def _launch_constants(move: Any) -> None:
    """A launch a move, whose counts and steps are part of the kernel."""
    row, (down, across) = move.row, move.launch.tile
    numbers = {
        name: row[at]
        for name, at in zip(CONSTANTS, (3, 4, 5, 6, 7, 8, 10, 11, 12), strict=True)
    }
    _jitted()[(move.tiles,)](
        *row[:2],
        row[2],
        WORD=launching.words(move.launch.word),
        ALIGNED=move.launch.aligned,
        ROWS=down,
        COLUMNS=across,
        num_warps=launching.THREADS // _lanes(),
        **numbers,
    )


CONSTANTS = ("C1", "C2", "RUN", "S0", "S1", "S2", "T0", "T1", "T2")


@cache
def _jitted() -> Any:
    global tl
    import triton.language

    tl = triton.language
    return triton.jit(constant_rows)


def constant_rows(
    source: tl.tensor,
    target: tl.tensor,
    count0: tl.tensor,
    WORD: tl.constexpr,
    ALIGNED: tl.constexpr,
    C1: tl.constexpr,
    C2: tl.constexpr,
    RUN: tl.constexpr,
    S0: tl.constexpr,
    S1: tl.constexpr,
    S2: tl.constexpr,
    T0: tl.constexpr,
    T1: tl.constexpr,
    T2: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """What `move_rows` of templates/runtime/kernels.py does, of one move that is known when this is compiled."""
    tile = tl.program_id(0)
    source = tl.multiple_of(source.to(tl.pointer_type(WORD)), ALIGNED)
    target = tl.multiple_of(target.to(tl.pointer_type(WORD)), ALIGNED)
    across = (RUN + COLUMNS - 1) // COLUMNS
    row = tile // across * ROWS + tl.arange(0, ROWS)
    column = tile % across * COLUMNS + tl.arange(0, COLUMNS)
    index2 = (row % C2).to(tl.int64)
    index1 = (row // C2 % C1).to(tl.int64)
    index0 = (row // C2 // C1).to(tl.int64)
    there = index0 * S0 + index1 * S1 + index2 * S2
    here = index0 * T0 + index1 * T1 + index2 * T2
    inside = (index0 < count0)[:, None] & (column < RUN)[None, :]
    moved = tl.load(source + there[:, None] + column[None, :], mask=inside)
    tl.store(target + here[:, None] + column[None, :], moved, mask=inside)
