"""What the generated test runs on: a small config, the cases of it, and meshes.

Equal or even sizes would let a transpose or a swap pass unseen, so sizes are pairwise coprime; where a mesh asks for
more, single sizes are doubled until every mesh fits. Meshes that never fit are left out and named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, count, cycle, product
from typing import Any

from ..dsl import syntax
from . import hir
from .fitting import fitted
from .guard import TooMuch
from .instance import running
from .kinds import paths
from .layout import splits
from .lower_config import config_env, mesh_dependent
from .proof import Proven
from .settle import carried, repeated
from .trial import Dims, Fields, Trial, derived
from .witness import Walk, Witness

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
# Steps of all trials together: a map of its size takes a half of them at most.
STEPS, A_STATEMENT, AT_MOST = 600_000, 40_000, 4_000_000
LAYERS = 4  # so that stages of 1, 2 and 4 can be even


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
        drawn = {**carried(map_), **_sizes(map_), **_others(map_)}
        drawn = {name: one for name, one in drawn.items() if name not in trial.derived}
        fields = fitted(trial, drawn, meshes, _movable(map_))
        fields = _with_variants(trial, fields, meshes, map_)
        fitting = tuple(mesh for mesh in meshes if trial.fits(fields, mesh))
        if not fitting:
            return None
        base, fields = fields, trial.complete(fields)
        changes = [
            change
            for change in trial.changed(base, _changes(map_))
            if trial.fits({**fields, **change}, fitting[0])
        ]
        cases = [
            (change, mesh)
            for change in changes
            for mesh in fitting
            if (change == {} or mesh in (fitting[0], fitting[-1]))
            and trial.fits({**fields, **change}, mesh)
        ]
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


def _with_variants(
    trial: Trial, fields: Fields, meshes: tuple[Dims, ...], map_: hir.Map
) -> Fields:
    """The fields with sizes doubled that alternatives other than the first need, on the mesh that they are tried on."""
    held = [mesh for mesh in meshes if trial.fits(fields, mesh)]
    for variant in map_.variants if held else ():
        for choice in variant.choices[1:]:
            other = {**fields, variant.name: choice}
            if not trial.fits(other, held[-1]):
                found = fitted(trial, other, (held[-1],), _movable(map_))
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


def _layers(map_: hir.Map) -> set[str]:
    """The sizes that are LAYERS: of stages, of lists by layer, and of indices that a mesh splits in names.

    So a map with experts has few enough of them for a test that takes seconds.
    """
    stages = [layout.stages for layout in map_.layouts if layout.stages is not None]
    found = {path.text for stage in stages for path in paths(stage.over)}
    indexed = {
        path.text
        for node in _expressions(map_.items)
        if isinstance(node, syntax.Item)
        for path in paths(node.index)
    } | {
        path.text
        for statement in hir.statements(map_.items)
        for tensor in statement.left + statement.right
        for placed in tensor.names
        for hole in syntax.walk(placed.name)
        if isinstance(hole, syntax.Hole) and hole.mesh
        for path in paths(hole.value)
    }
    return found | {
        path.text
        for loop in _loops(map_.items)
        if loop.index in indexed
        for path in paths(loop.range)
    }


def _counted(map_: hir.Map) -> set[str]:
    """The sizes that a loop's range is computed from: a few rounds show as much as many."""
    ranges = {path.text for loop in _loops(map_.items) for path in paths(loop.range)}
    lets = (let for let in map_.lets if let.name in ranges)
    return {path.text for let in lets for path in paths(let.value)}


def _loops(items: tuple[hir.Item, ...]) -> Iterator[hir.Loop]:
    for item in items:
        match item:
            case hir.Loop(body=body):
                yield item
                yield from _loops(body)
            case hir.Choice(then=then, otherwise=otherwise):
                yield from _loops((*then, *otherwise))
            case hir.Stored(bodies=bodies):
                yield from (loop for body in bodies for loop in _loops(body))
            case _:
                pass


def _chunks(map_: hir.Map) -> set[str]:
    """The sizes that say how many chunks of layers a stage has."""
    stages = [layout.stages for layout in map_.layouts if layout.stages is not None]
    virtual = [stage.virtual for stage in stages if stage.virtual is not None]
    return {path.text for value in virtual for path in paths(value)}


def _movable(map_: hir.Map) -> tuple[str, ...]:
    """The sizes that may be doubled."""
    return tuple(
        e.field
        for e in map_.entries
        if e.bound
        and e.kind == "int"
        and e.field not in {*_layers(map_), *_chunks(map_), *derived(map_)}
    )


def _sizes(map_: hir.Map) -> dict[str, int]:
    """A prime for every size; what is divided by another is a multiple of it."""
    primes = cycle(PRIMES)  # those of a long config come again
    layers = _layers(map_)
    fields = [
        entry.field
        for entry in map_.entries
        if entry.bound and entry.kind == "int" and entry.field not in derived(map_)
    ]
    sizes = {field: LAYERS if field in layers else next(primes) for field in fields}
    sizes |= {name: 1 for name in repeated(map_) if name in sizes}
    few = (_chunks(map_) | _counted(map_)) - layers
    sizes |= {name: 2 for name in few if name in sizes}
    for node in _let_nodes(map_):
        match node:
            case syntax.Binary(
                operator="/",
                left=syntax.Path(text=above),
                right=syntax.Path(text=below),
            ):
                if above in sizes and below in sizes:
                    sizes[above] = sizes[below] * 2
            case _:
                pass
    return sizes


def _others(map_: hir.Map) -> Fields:
    """Values for what is not a size: flags off, lists as the map reads them, the first spelling of a table."""
    found: Fields = {v.name: v.choices[0] for v in map_.variants}
    numbers = (0.75 + 0.5 * number for number in count())  # exact, and none is 1
    for entry in map_.entries:
        if not entry.bound or entry.kind == "int" or entry.field in derived(map_):
            continue
        first = entry.table[0][0] if entry.table else None
        if isinstance(first, (syntax.String, syntax.Number, syntax.Boolean)):
            found[entry.field] = first.value
        elif entry.kind == "str" and _may_lack(entry):
            found[entry.field] = None
        else:
            number = next(numbers)
            plain: Fields = {"bool": False, "float": number, "str": ""}
            value = plain.get(entry.kind, _listed(map_, entry.field))
            found[entry.field] = number if value is None and _needed(entry) else value
    return found


def _needed(entry: hir.Entry) -> bool:
    """Whether a config without the value is refused."""
    sides = (entry.left, entry.right)
    return any(isinstance(one, hir.Keys) and one.default is None for one in sides)


def _may_lack(entry: hir.Entry) -> bool:
    """Whether a name is none where the left layout does not say it."""
    left = entry.left
    return isinstance(left, hir.Keys) and isinstance(left.default, syntax.Nothing)


def _listed(map_: hir.Map, name: str) -> list[Any] | None:
    """A list of one value a layer: what its items are compared with, in turn, else counts. None where no item is read."""
    values: list[Any] = []
    read = False
    ranges = [loop.range for loop in _loops(map_.items)]
    if any(isinstance(one, syntax.Path) and one.text == name for one in ranges):
        return [0, LAYERS - 1]
    for node in _expressions(map_.items):
        match node:
            case syntax.Binary(operator="in", right=syntax.Path(text=text)) if (
                text == name
            ):
                return [0, LAYERS - 1]
            case syntax.Binary(
                left=syntax.Item(value=syntax.Path(text=text)), right=right
            ) if (text == name):
                if isinstance(right, (syntax.String, syntax.Number, syntax.Boolean)):
                    values.append(right.value)
            case syntax.Item(value=syntax.Path(text=text)) if text == name:
                read = True
    if not read:
        return None
    others: list[Any] = []
    if values and isinstance(values[0], str):
        others = ["other"]
    elif values:
        others = [not values[0] if isinstance(values[0], bool) else max(values) + 1]
    values = list(dict.fromkeys([*values, *others])) or [2, 1]
    return [values[number % len(values)] for number in range(LAYERS)]


def _expressions(items: tuple[hir.Item, ...]) -> Iterator[syntax.Node]:
    """Every piece of an expression in conditions, ranges, lets and values."""
    for item in items:
        match item:
            case hir.Loop(range=value, body=body):
                yield from (*syntax.walk(value), *_expressions(body))
            case hir.Choice(test=test, then=then, otherwise=otherwise):
                yield from (
                    *syntax.walk(test),
                    *_expressions(then),
                    *_expressions(otherwise),
                )
            case hir.Stored(bodies=bodies):
                yield from (node for body in bodies for node in _expressions(body))
            case hir.Let(value=value):
                yield from syntax.walk(value)
            case hir.Statement(left=left, right=right):
                for value in _values(left + right):
                    yield from syntax.walk(value)
            case hir.Make(tensor=tensor, fill=fill):
                for value in (*_values((tensor,)), *fill.arguments):
                    yield from syntax.walk(value)
            case _:
                pass


def _values(tensors: tuple[hir.Tensor, ...]) -> Iterator[syntax.Expr]:
    """The numbers of the steps and the defaults of tensors."""
    for tensor in tensors:
        yield from (step.operand for step in tensor.steps if step.operand is not None)
        yield from tensor.default.arguments if tensor.default is not None else ()


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
    for node in (*_expressions(map_.items), *_let_nodes(map_)):
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
    yield from ({name: 1} for name in _movable(map_))


def _let_nodes(map_: hir.Map) -> Iterator[syntax.Node]:
    return (node for let in map_.lets for node in syntax.walk(let.value))


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
