"""The config that a sample begins with: coprime sizes, flags off, lists of one value a layer.

What has no value here follows from the others. `sample` doubles sizes where a mesh asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, cycle
from typing import Any

from ..dsl import syntax
from . import hir
from .kinds import paths
from .layout import axis_indices
from .settle import carried, repeated
from .trial import Fields, derived

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


def _layers(map_: hir.Map) -> set[str]:
    """The sizes that are LAYERS: of stages, of lists by layer, and of indices that a mesh splits in names.

    So a map with experts has few enough of them for a test that takes seconds.
    """
    stages = [layout.stages for layout in map_.layouts if layout.stages is not None]
    found = {path.text for stage in stages for path in paths(stage.over)}
    indexed = {
        path.text
        for node in expressions(map_.items)
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
    return {path.text for let in lets for path in paths(let.value)} | _rounds(map_)


def _rounds(map_: hir.Map) -> set[str]:
    """The sizes that count the rounds of loops, and that stand on no axis as their indices do not."""
    axes = _on_axes(map_)
    return {
        loop.range.text
        for loop in _loops(map_.items)
        if isinstance(loop.range, syntax.Path)
        and not {loop.index, loop.range.text} & axes
    }


def _factors(map_: hir.Map) -> set[str]:
    """The sizes that only multiply others: large ones would make tensors large, and show no more."""
    return {
        path.text
        for node in let_nodes(map_)
        if isinstance(node, syntax.Binary) and node.operator == "*"
        for path in paths(node)
    } - _on_axes(map_)


def _on_axes(map_: hir.Map) -> set[str]:
    tensors = [
        tensor
        for statement in hir.statements(map_.items)
        for tensor in statement.left + statement.right
    ]
    return {name for one in tensors for axis in one.axes for name in axis_indices(axis)}


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


def drawn(map_: hir.Map) -> Fields:
    """The first config that is tried: a value for each field that nothing else computes."""
    return {**carried(map_), **_sizes(map_), **_others(map_)}


def movable(map_: hir.Map) -> tuple[str, ...]:
    """The sizes that may be doubled."""
    return tuple(
        e.field
        for e in map_.entries
        if e.bound
        and e.kind == "int"
        and e.field
        not in {*_layers(map_), *_chunks(map_), *_rounds(map_), *derived(map_)}
    )


def _sizes(map_: hir.Map) -> dict[str, int]:
    """A prime for every size; what is divided by another is a multiple of it."""
    primes = cycle(PRIMES)  # those of a long config come again
    layers = _layers(map_)
    few = (_chunks(map_) | _counted(map_) | _factors(map_)) - layers
    given = {name: LAYERS for name in layers}
    given |= {name: 1 for name in repeated(map_)}
    given |= {name: 2 for name in few}
    given |= {name: value for name, value in _required(map_) if value != []}
    fields = [
        entry.field
        for entry in map_.entries
        if entry.bound and entry.kind == "int" and entry.field not in derived(map_)
    ]
    multiples = {above for above, below in _divided(map_) if below in fields}
    sizes: dict[str, int] = {}
    for name in fields:
        if name in given:
            sizes[name] = given[name]
        else:
            sizes[name] = 0 if name in multiples else next(primes)
    for above, below in _divided(map_):
        if above in sizes and below in sizes:
            sizes[above] = sizes[below] * 2
    return sizes


def _divided(map_: hir.Map) -> Iterator[tuple[str, str]]:
    """What a let divides by what."""
    for node in let_nodes(map_):
        match node:
            case syntax.Binary(
                operator="/",
                left=syntax.Path(text=above),
                right=syntax.Path(text=below),
            ):
                yield above, below
            case _:
                pass


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
    if (name, []) in _required(map_):
        return []
    values: list[Any] = []
    read = False
    if any(name in _ranged(loop.range) for loop in _loops(map_.items)):
        return [0, LAYERS - 1]
    for node in expressions(map_.items):
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


def _ranged(range_: syntax.Expr) -> Iterator[str]:
    """The lists whose values, or as many numbers as they have, are a range."""
    match range_:
        case syntax.Path(text=text):
            yield text
        case syntax.Call(function="len", arguments=(syntax.Path(text=text),)):
            yield text


def _required(map_: hir.Map) -> list[tuple[str, Any]]:
    """What has to be a number, and what has to be an empty list, for the whole map or for a layout of its variants."""
    found: list[tuple[str, Any]] = []
    tests = [require.test for require in (*map_.requires, *_requires(map_.items))]
    while tests:
        match tests.pop():
            case syntax.Binary(operator="and", left=left, right=right):
                tests += [left, right]
            case syntax.Binary(
                operator="==", left=syntax.Path(text=name), right=syntax.Number() as one
            ):
                found.append((name, one.value))
            case syntax.Binary(
                operator="==",
                left=syntax.Call(function="len", arguments=(syntax.Path(text=name),)),
                right=syntax.Number(text="0"),
            ):
                found.append((name, []))
    return found


def _requires(items: tuple[hir.Item, ...]) -> Iterator[hir.Require]:
    """The requirements in blocks; those under conditions are not always met."""
    for item in items:
        match item:
            case hir.Require():
                yield item
            case hir.Stored(bodies=bodies):
                for body in bodies:
                    yield from _requires(body)
            case _:
                pass


def expressions(items: tuple[hir.Item, ...]) -> Iterator[syntax.Node]:
    """Every piece of an expression in conditions, ranges, lets and values."""
    for item in items:
        match item:
            case hir.Loop(range=value, body=body):
                yield from (*syntax.walk(value), *expressions(body))
            case hir.Choice(test=test, then=then, otherwise=otherwise):
                yield from (
                    *syntax.walk(test),
                    *expressions(then),
                    *expressions(otherwise),
                )
            case hir.Stored(bodies=bodies):
                yield from (node for body in bodies for node in expressions(body))
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


def let_nodes(map_: hir.Map) -> Iterator[syntax.Node]:
    return (node for let in map_.lets for node in syntax.walk(let.value))
