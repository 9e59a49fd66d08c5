"""What the generated test runs on: a small config, the cases of it, and meshes.

Equal or even sizes would let a transpose or a swap pass unseen, so sizes are pairwise coprime; where a mesh asks for
more, single sizes are doubled until every mesh fits. Meshes that never fit are left out and named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, cycle, product

from ..dsl import syntax
from . import hir
from .drawing import PRIMES, drawn, expressions, let_nodes, movable
from .fitting import fitted
from .guard import TooMuch
from .instance import running
from .kinds import paths
from .layout import splits
from .lower_config import config_env, mesh_dependent
from .proof import Proven
from .trial import Dims, Fields, Trial, derived
from .witness import Walk, Witness

# Steps of all trials together: a map of its size takes a half of them at most.
STEPS, A_STATEMENT, AT_MOST = 600_000, 40_000, 4_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """Fields of Config; what each case changes and on which mesh; sizes to measure; meshes that do not fit."""

    fields: Fields
    cases: tuple[tuple[Fields, Dims], ...]
    sizes: Mapping[str, tuple[int, ...]]
    left_out: tuple[Dims, ...]
    witnesses: tuple[Witness, ...]


def sample(proven: Proven, core: str, functions: Mapping[int, str]) -> Sample | None:
    """A config on which the whole map runs; None where none was found.

    `core` is the converter without files, `functions` the name of each statement's recipe function.
    """
    try:
        return _sample(proven, core, functions)
    except TooMuch:
        return None


def _sample(proven: Proven, core: str, functions: Mapping[int, str]) -> Sample | None:
    map_ = proven.hir
    meshes = tuple(dict.fromkeys(_meshes(map_.sharded)))
    measured = _measured(proven, functions)
    steps = min(STEPS + A_STATEMENT * len(proven.every), AT_MOST)
    with running(core, map_.name, steps) as names:
        trial = Trial(names, measured, derived(map_))
        first = drawn(map_)
        first = {name: one for name, one in first.items() if name not in trial.derived}
        fields = fitted(trial, first, meshes, movable(map_))
        fields = _with_variants(trial, fields, meshes, map_)
        fitting = tuple(mesh for mesh in meshes if trial.fits(fields, mesh))
        if not fitting:
            return None
        base, fields = fields, trial.complete(fields)
        changed = trial.changed(base, _changes(map_))
        changes, cases = _cases(trial, fields, changed, fitting)
        probes = product(trial.changed(base, _probes(map_, fields)), meshes)
        more = [
            (change, mesh)
            for change, mesh in trial.covering(fields, cases, probes)
            if trial.fits({**fields, **change}, fitting[0])
        ]
        cases += [
            (change, one)
            for change, mesh in more
            for one in dict.fromkeys((mesh, fitting[-1]))
            if trial.fits({**fields, **change}, one)
        ]
        changes += [change for change, _ in more if change not in changes]
        configs = [{**fields, **change} for change in changes]
        witnesses = _witnesses(proven, trial, functions, configs)
    left_out = tuple(mesh for mesh in meshes if mesh not in fitting)
    return Sample(fields, tuple(cases), measured, left_out, witnesses)


def _cases(
    trial: Trial, fields: Fields, changed: Iterable[Fields], fitting: tuple[Dims, ...]
) -> tuple[list[Fields], list[tuple[Fields, Dims]]]:
    """The changes that fit the first mesh, and those meshes that each is tried on: all where nothing is changed."""
    changes = [c for c in changed if trial.fits({**fields, **c}, fitting[0])]
    cases = [
        (change, mesh)
        for change in changes
        for mesh in fitting
        if (change == {} or mesh in (fitting[0], fitting[-1]))
        and trial.fits({**fields, **change}, mesh)
    ]
    return changes, cases


def _with_variants(
    trial: Trial, fields: Fields, meshes: tuple[Dims, ...], map_: hir.Map
) -> Fields:
    """The fields with sizes doubled that alternatives other than the first need, on the mesh that they are tried on."""
    held = [mesh for mesh in meshes if trial.fits(fields, mesh)]
    for variant in map_.variants if held else ():
        for choice in variant.choices[1:]:
            other = {**fields, variant.name: choice}
            if not trial.fits(other, held[-1]):
                found = fitted(trial, other, (held[-1],), movable(map_))
                found = {**found, variant.name: fields[variant.name]}
                if all(trial.fits(found, mesh) for mesh in held):
                    fields = found
    return fields


def _witnesses(
    proven: Proven, trial: Trial, functions: Mapping[int, str], configs: list[Fields]
) -> tuple[Witness, ...]:
    """A witness for each config; of the later ones only what the first does not say."""
    map_, proofs = proven.hir, {proof.statement.number: proof for proof in proven.every}
    sizes = {
        number: dict(zip(proof.measured, trial.measured[functions[number]]))
        for number, proof in proofs.items()
        if proof.measured
    }
    env = config_env(map_, mesh_dependent(map_))
    walk = Walk(map_, proofs, trial.names, env, sizes)
    found = [walk.witness(trial.config(fields)) for fields in configs]
    return found[0], *(witness.beyond(found[0]) for witness in found[1:])


def _meshes(layout: hir.Layout | None) -> Iterator[Dims]:
    """Every dimension at 1, 2 and 4 with the others at 1, two at 2 that count the same ranks, and all at 2."""
    dims = layout.dims if layout else ()
    yield tuple((dim, 1) for dim in dims)
    for dim, size in product(dims, (2, 4)):
        yield tuple((other, size if other == dim else 1) for other in dims)
    countings = layout.countings if layout else ()
    for one, two in combinations(countings, 2):
        for pair in product(_beyond(one, two), _beyond(two, one)):
            yield tuple((dim, 2 if dim in pair else 1) for dim in dims)
    yield tuple((dim, 2) for dim in dims)


def _beyond(one: tuple[str, ...], two: tuple[str, ...]) -> list[str]:
    return [dim for dim in one if dim not in two]


def _changes(map_: hir.Map) -> Iterator[Fields]:
    """The config itself, each flag on, each alternative of a variant."""
    yield {}
    for entry in map_.entries:
        if entry.bound and entry.kind == "bool":
            yield {entry.field: True}
    for variant in map_.variants:
        yield from ({variant.name: choice} for choice in variant.choices[1:])


def _probes(map_: hir.Map, fields: Fields) -> Iterator[Fields]:
    """What conditions compare a name with, and sizes of one; each with every alternative of a variant."""
    stored = [{}, *({v.name: one} for v in map_.variants for one in v.choices[1:])]
    for probe, choice in product(_compared(map_, fields), stored):
        yield {**probe, **choice}


def _compared(map_: hir.Map, fields: Fields) -> Iterator[Fields]:
    names = {*fields, *(option.name for option in map_.options)}
    for node in (*expressions(map_.items), *let_nodes(map_)):
        match node:
            case syntax.Binary(
                operator="==" | "!=", left=syntax.Path(text=name), right=right
            ) if (name in names):
                if isinstance(right, (syntax.String, syntax.Number)):
                    yield {name: right.value}
                elif isinstance(right, syntax.Nothing):
                    yield {name: 2}
                elif isinstance(right, syntax.Path) and right.text in fields:
                    yield {name: fields[right.text]}
            case _:
                pass
    deciding = _deciding(map_)
    yield from ({name: 1} for name in movable(map_) if name in deciding)


def _deciding(map_: hir.Map) -> set[str]:
    """The names that say which statements hold, and those that these are computed from."""
    tensors = (
        tensor
        for statement in hir.statements(map_.items)
        for tensor in statement.left + statement.right
    )
    asked = (
        placed.when
        for tensor in tensors
        for placed in tensor.names
        if placed.when is not None
    )
    found = {
        node.text
        for value in (*expressions(map_.items), *asked)
        for node in syntax.walk(value)
        if isinstance(node, syntax.Path)
    }
    sources = _sources(map_)
    while more := {one for name in found for one in sources.get(name, ())} - found:
        found |= more
    return found


def _sources(map_: hir.Map) -> dict[str, tuple[str, ...]]:
    """What each name is computed from, where it is."""
    values = [(let.name, let.value) for let in map_.lets]
    for entry in map_.entries:
        for side in (entry.left, entry.right):
            if isinstance(side, hir.Formula):
                values.append((entry.field, side.value))
            elif isinstance(side, hir.Keys) and side.default is not None:
                values.append((entry.field, side.default))
    found: dict[str, tuple[str, ...]] = {}
    for name, value in values:
        found[name] = (*found.get(name, ()), *(path.text for path in paths(value)))
    return found


def _measured(
    proven: Proven, functions: Mapping[int, str]
) -> dict[str, tuple[int, ...]]:
    """Sizes for the indices that are measured on tensors; multiples of 4 where a mesh splits the statement."""
    primes = cycle(PRIMES)
    found: dict[str, tuple[int, ...]] = {}
    for proof in proven.proofs:
        if proof.measured:
            tensors = proof.statement.left + proof.statement.right
            split = any(
                True for tensor in tensors for axis in tensor.axes for _ in splits(axis)
            )
            sizes = tuple(next(primes) * (4 if split else 1) for _ in proof.measured)
            found.setdefault(functions[proof.statement.number], sizes)
            primes = cycle(PRIMES)
    return found
