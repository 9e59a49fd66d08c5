"""Which launches there can be: those of moves over a grid of copies, and what of them is compiled for which GPU."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any, NamedTuple

from mapc.templates.runtime.moves import Computed, Launch, computed_moves, moves_of
from mapc.templates.runtime.recipe import Copy

SIZES = {"BF16": 2, "F16": 2, "F32": 4, "F64": 8}
EVERY_STEP = (0, 1, 2, 3, 4), (1.0, 0.1, 39.1918, 3.0, 0.0)
LENGTHS = [1 << n for n in range(13)]


class Gpu(NamedTuple):
    """A GPU that kernels are compiled for: what triton calls it, and the threads of its warps."""

    backend: str
    arch: Any
    lanes: int


GPUS = {
    "sm_90": Gpu("cuda", 90, 32),
    "sm_80": Gpu("cuda", 80, 32),
    "sm_100": Gpu("cuda", 100, 32),
    "gfx942": Gpu("hip", "gfx942", 64),
}
# What is compiled for one of them alone: every tile, every step for itself.
WHOLE = "sm_90"


@cache
def moved() -> frozenset[Launch]:
    """Every launch that moves words as they are."""
    found = set()
    shifts = 0, 1, 2, 4, 8
    for size, shift, down, across in product(
        (1, 2, 4, 8, 16), shifts, LENGTHS, LENGTHS
    ):
        inner = down * across
        rows = Copy(0, 0, (across, 1), 0, (across, 1), (down, across))
        turned = Copy(0, 0, (inner, 1, down), 0, (inner, across, 1), (2, down, across))
        for copy in (rows, turned):
            moves = moves_of(copy, size, 4096 + shift, 8192 + shift)
            found |= {move.launch for move in moves}
    return frozenset(found)


def computed(change: Computed) -> list[Launch]:
    """Every launch that computes this, in order."""
    found = set()
    sizes = SIZES[change[0]], SIZES[change[1]]
    for shift, down, across in product((0, 8), LENGTHS, LENGTHS):
        copy = Copy(0, 0, (across, 1), 0, (across, 1), (down, across))
        moves = computed_moves(copy, sizes, change, 4096 + shift, 8192 + shift)
        found |= {move.launch for move in moves}
    return sorted(found)


def chosen(name: str) -> list[Launch]:
    """What is compiled for a GPU; for those that are not WHOLE one tile of each kernel, size of words and alignment."""
    launches = [*sorted(moved(), key=lambda launch: launch[:5]), *computing()]
    if name == WHOLE:
        return launches
    return list({kind(launch): launch for launch in reversed(launches)}.values())


def kind(launch: Launch) -> Any:
    """What a launch has in common with those that run the same branches of a kernel."""
    change = launch.change and launch.change[:2]
    return launch.kernel, launch.word, launch.unit, change


def is_compiled(launch: Any) -> bool:
    """Whether what a launch of any converter runs is compiled, if with other numbers where it computes."""
    if launch.change is None:
        return launch in moved()
    return kind(launch) in map(kind, computing())


@cache
def computing() -> list[Launch]:
    """Every branch for each pair of dtypes, each alignment and each tile; then every step for itself."""
    found = []
    for number, pair in enumerate(product(SIZES, SIZES)):
        launches = computed((*pair, *EVERY_STEP))
        for unit in (1, 8):
            alike = [launch for launch in launches if launch.unit == unit]
            found.append(alike[number % len(alike)])
    alone = [((), ()), *(((step,), (0.1,)) for step in range(5))]
    for dtype, (steps, numbers) in product(SIZES, alone):
        found.append(computed((dtype, dtype, steps, numbers))[-1])
    return found
