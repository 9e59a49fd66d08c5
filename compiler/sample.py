"""A small config for the generated test: sizes that are pairwise coprime wherever the map allows it.

Equal or even sizes would let a transpose or a swap pass unseen. Where a mesh asks for more, single sizes are
doubled until every mesh fits; meshes that never fit are left out and named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from ..dsl import syntax
from . import hir
from .instance import running
from .kinds import paths

PRIMES = (
    5,
    3,
    7,
    11,
    13,
    17,
    19,
    23,
    29,
    31,
    37,
    41,
    43,
    47,
    53,
    59,
    61,
    67,
    71,
    73,
    79,
    83,
    89,
    97,
)
LAYERS = 4  # so that stages of 1, 2 and 4 can be even


@dataclass(frozen=True, slots=True)
class Sample:
    """Fields of Config, the flags and variants to vary, and the meshes that fit."""

    fields: tuple[tuple[str, Any], ...]
    flags: tuple[str, ...]
    meshes: tuple[tuple[tuple[str, int], ...], ...]


def sample(map_: hir.Map, core: str) -> Sample:
    """A config on which the whole map runs; AssertionError where none was found."""
    dims = map_.sharded.dims if map_.sharded else ()
    sizes, others = _sizes(map_), _others(map_)
    with running(core, map_.name) as names:
        meshes = tuple(_meshes(dims))
        best = _doubled(names, sizes, others, meshes, _movable(map_))
        fitting = tuple(mesh for mesh in meshes if _fits(names, {**best, **others}, mesh))
    assert fitting, f"no sizes were found on which {map_.name} runs"
    flags = tuple(entry.field for entry in map_.entries if entry.bound and entry.kind == "bool")
    return Sample(tuple({**best, **others}.items()), flags, fitting)


def _meshes(dims: tuple[str, ...]) -> Iterator[tuple[tuple[str, int], ...]]:
    """Every dimension at 1, 2 and 4, with the others at 1; and all at 2."""
    yield tuple((dim, 1) for dim in dims)
    for dim, size in product(dims, (2, 4)):
        yield tuple((other, size if other == dim else 1) for other in dims)
    if len(dims) > 1:
        yield tuple((dim, 2) for dim in dims)


def _sizes(map_: hir.Map) -> dict[str, int]:
    primes = iter(PRIMES)
    layers = {
        path.text for layout in map_.layouts if layout.stages for path in paths(layout.stages.over)
    }
    fields = [entry.field for entry in map_.entries if entry.bound and entry.kind == "int"]
    sizes = {field: LAYERS if field in layers else next(primes) for field in fields}
    for let in map_.lets:
        match let.value:
            case syntax.Binary(
                operator="/", left=syntax.Path(text=above), right=syntax.Path(text=below)
            ):
                if above in sizes and below in sizes:
                    sizes[above] = sizes[below] * 2
    return sizes


def _movable(map_: hir.Map) -> tuple[str, ...]:
    layers = {
        path.text for layout in map_.layouts if layout.stages for path in paths(layout.stages.over)
    }
    return tuple(
        e.field for e in map_.entries if e.bound and e.kind == "int" and e.field not in layers
    )


def _others(map_: hir.Map) -> dict[str, Any]:
    """Values for what is not a size: flags off, lists empty, the first spelling of a table."""
    found: dict[str, Any] = {}
    for entry in map_.entries:
        if entry.bound and entry.kind != "int":
            first = entry.table[0][0] if entry.table else None
            spelled = (
                first.value
                if isinstance(first, (syntax.String, syntax.Number, syntax.Boolean))
                else None
            )
            found[entry.field] = {"bool": False, "float": 1.0, "str": "", "list": []}.get(
                entry.kind
            )
            found[entry.field] = spelled if spelled is not None else found[entry.field]
    return found


def _fits(
    names: Mapping[str, Any], fields: Mapping[str, Any], mesh: tuple[tuple[str, int], ...]
) -> bool:
    try:
        config = names["Config"](**fields)
        made = names["Mesh"](**dict(mesh)) if mesh else None
        for group in names["groups"](
            names["converter"](), config, made, names["AnyShapes"](None, {})
        ):
            assert group.recipe
    except names["ConversionError"]:
        return False
    return True


def _doubled(
    names: Mapping[str, Any],
    sizes: dict[str, int],
    others: Mapping[str, Any],
    meshes: tuple[tuple[tuple[str, int], ...], ...],
    movable: tuple[str, ...],
) -> dict[str, int]:
    """The sizes with as few doublings as let the most meshes fit, one size at a time."""

    def score(candidate: Mapping[str, int]) -> int:
        return sum(_fits(names, {**candidate, **others}, mesh) for mesh in meshes)

    best, fitting = dict(sizes), score(sizes)
    for rounds in range(3 * len(movable)):
        if fitting == len(meshes):
            break
        tries = [{**best, name: best[name] * factor} for name in movable for factor in (2, 4)]
        tries += [
            {**best, one: best[one] * 2, two: best[two] * 2}
            for one in movable
            for two in movable
            if one < two
        ]
        scored = [(score(candidate), -sum(candidate.values()), candidate) for candidate in tries]
        top = max(scored, key=lambda item: item[:2])
        if top[0] <= fitting:
            break
        fitting, best = top[0], top[2]
    return best
