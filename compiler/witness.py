"""Witnesses for the generated test: names, shapes and single elements, worked out without the generated code.

Walks the map itself for one config on a mesh of ones, and evaluates each axis position by position. What it finds
is written into the test as literals, so a converter that is wrong on both ways alike does not pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any, TypeAlias

from ..dsl import syntax
from ..dsl.never import assert_never
from . import hir
from .arithmetic import computes
from .emit import Env, attribute, expression, identifier
from .guard import counted
from .kinds import paths
from .layout import Cut, Front, Leaf, Picked, Place, Row, size
from .proof import Proof, spellings

ANY = (2, 3)  # the shape that whole tensors have in the generated test
TAILS = ("unnamed", "unnamed.too")  # and what `**` stands for there

Index: TypeAlias = "tuple[int, ...]"
Element: TypeAlias = "tuple[str, Index, str, Index]"
# The name, the index and the steps on each side.
Computed: TypeAlias = "tuple[str, Index, Steps, str, Index, Steps]"
Steps: TypeAlias = "tuple[tuple[str, Any], ...]"
# Of a tensor that is made: its side, its name, its shape, and some elements with their values.
Made: TypeAlias = "tuple[int, str, Index, tuple[tuple[Index, Any], ...]]"


@dataclass(slots=True)
class Witness:
    """For one config: the shape under each name of both sides, and elements that are one.

    The computed ones are one behind the steps of each side; `made` are tensors that one side does not have.
    """

    shapes: tuple[dict[str, Index | None], dict[str, Index | None]] = field(
        default_factory=lambda: ({}, {})
    )
    elements: list[Element] = field(default_factory=list)
    computed: list[Computed] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)

    def beyond(self, other: Witness) -> Witness:
        """What it says that the other does not; a shape of None is a name that is not there."""
        sides: list[dict[str, Index | None]] = []
        for mine, theirs in zip(self.shapes, other.shapes):
            more = {
                name: shape for name, shape in mine.items() if theirs.get(name) != shape
            }
            sides.append(
                {**dict.fromkeys(name for name in theirs if name not in mine), **more}
            )
        elements = [
            element for element in self.elements if element not in other.elements
        ]
        computed = [one for one in self.computed if one not in other.computed]
        made = [one for one in self.made if one not in other.made]
        return Witness((sides[0], sides[1]), elements, computed, made)


@dataclass(frozen=True, slots=True)
class Walk:
    """Evaluates a map: `names` is the loaded core, `env` how bound names are spelled in it."""

    map: hir.Map
    proofs: Mapping[int, Proof]
    names: Mapping[str, Any]
    env: Env
    measured: Mapping[int, Mapping[str, int]]

    def witness(self, config: Any) -> Witness:
        """What holds for a config on a mesh of ones."""
        made = Witness()
        mesh = self.names["Mesh"]() if self.map.sharded else None
        self._items(
            self.map.items, self.env, {"config": config, "mesh": mesh}, True, made
        )
        return made

    @property
    def _prefixes(self) -> list[str]:
        return [layout.prefixes[0] for layout in self.map.layouts]

    def _value(self, value: syntax.Expr, env: Env, scope: Mapping[str, Any]) -> Any:
        code = counted(expression(value, env), "<map>", "eval")
        return eval(code, {**self.names, **scope})

    def _items(
        self,
        items: tuple[hir.Item, ...],
        env: Env,
        scope: Mapping[str, Any],
        first: bool,
        made: Witness,
    ) -> None:
        for item in items:
            match item:
                case hir.Statement():
                    self._statement(item, env, scope, first, made)
                case hir.Loop():
                    self._loop(item, env, scope, first, made)
                case hir.Choice(test=test, then=then, otherwise=otherwise):
                    self._items(
                        then if self._value(test, env, scope) else otherwise,
                        env,
                        scope,
                        first,
                        made,
                    )
                case hir.Stored(variant=variant, bodies=bodies):
                    chosen = getattr(scope["config"], attribute(variant.name))
                    self._items(
                        bodies[variant.choices.index(chosen)], env, scope, first, made
                    )
                case hir.Let(name=name, value=value):
                    scope = {**scope, identifier(name): self._value(value, env, scope)}
                    env = env.adding({name: identifier(name)}, {name: item.kind})
                case hir.Make():
                    self._make(item, env, scope, first, made)
                case hir.Drop() | hir.Require():
                    pass
                case _:
                    assert_never(item)

    def _loop(
        self,
        loop: hir.Loop,
        env: Env,
        scope: Mapping[str, Any],
        first: bool,
        made: Witness,
    ) -> None:
        name = identifier(loop.index)
        inner = env.adding({loop.index: name}, {loop.index: "int"})
        values = self._range(loop, env, scope)
        for number, at in enumerate(values):
            now = {**scope, name: at, f"#{loop.index}": len(values)}
            self._items(loop.body, inner, now, first and number == 0, made)

    def _range(self, loop: hir.Loop, env: Env, scope: Mapping[str, Any]) -> list[int]:
        values = self._value(loop.range, env, scope)
        return list(range(values)) if isinstance(values, int) else list(values)

    def _statement(
        self,
        statement: hir.Statement,
        env: Env,
        scope: Mapping[str, Any],
        first: bool,
        made: Witness,
    ) -> None:
        proof = self.proofs[statement.number]
        sizes = self._sizes(proof, env, scope)
        for side, tensors in enumerate(statement.sides):
            for tensor in tensors:
                shape = tuple(_number(axis, sizes) for axis in tensor.axes)
                shape = ANY if tensor.whole else shape
                for now in self._bundles(proof, scope, sizes):
                    for placed in tensor.names:
                        if placed.when is None or self._value(placed.when, env, now):
                            name = self._prefixes[side]
                            name += self._name(placed.name, env, now)
                            for text in TAILS if statement.tail else ("",):
                                made.shapes[side][name.replace("**", text)] = shape
        if first and not computes(statement):
            made.elements += self._elements(proof, env, scope, sizes)
        elif first:
            for pair in proof.pairs:
                left, right = (
                    self._steps(statement.sides[side][leaf.term], env, scope)
                    for side, leaf in enumerate(pair)
                )
                for a, at, b, there in self._elements_of(
                    pair, proof, env, scope, sizes
                ):
                    made.computed.append((a, at, left, b, there, right))

    def _make(
        self,
        make: hir.Make,
        env: Env,
        scope: Mapping[str, Any],
        first: bool,
        made: Witness,
    ) -> None:
        """The shape of a tensor that is made, and of the first values of loops some elements."""
        proof = self.proofs[make.statement.number]
        sizes = self._sizes(proof, env, scope)
        shape = tuple(_number(axis, sizes) for axis in make.tensor.axes)
        values = [self._value(value, env, scope) for value in make.fill.arguments]
        elements = []
        if first and all(shape):
            plain = not any(
                isinstance(node, syntax.Padded)
                for axis in make.tensor.axes
                for node in syntax.walk(axis)
            )
            middle = tuple((5 * k + 3) % size for k, size in enumerate(shape))
            indices = (tuple(0 for _ in shape), middle, tuple(n - 1 for n in shape))
            for index in dict.fromkeys(indices) if plain else ():
                value = made_value(make.fill.function, values, index, shape)
                elements.append((index, value))
        for now in self._bundles(proof, scope, sizes):
            name = self._name(make.tensor.names[0].name, env, now)
            made.made.append((make.side, name, shape, tuple(elements)))

    def _steps(self, tensor: hir.Tensor, env: Env, scope: Mapping[str, Any]) -> Steps:
        """The arithmetic on a tensor, its numbers evaluated."""
        return tuple(
            (
                step.operator,
                0.0 if step.operand is None else self._value(step.operand, env, scope),
            )
            for step in tensor.steps
        )

    def _sizes(
        self, proof: Proof, env: Env, scope: Mapping[str, Any]
    ) -> dict[str, int]:
        """The size of every index and padded axis of a statement."""
        tensors = proof.statement.left + proof.statement.right
        nodes = [node for t in tensors for axis in t.axes for node in syntax.walk(axis)]
        known = [node.name for node in nodes if isinstance(node, syntax.Index)]
        known += [node.size for node in nodes if isinstance(node, syntax.Padded)]
        sizes = dict(self.measured.get(proof.statement.number, {}))
        for loop in proof.bundled:
            sizes[loop.index] = scope[f"#{loop.index}"]
        for name in known:
            if name not in sizes:
                again = dict(proof.make.again) if proof.make is not None else {}
                path = syntax.Path(again.get(name, name), span=proof.statement.span)
                sizes[name] = self._value(path, env, scope)
        return sizes

    def _bundles(
        self, proof: Proof, scope: Mapping[str, Any], sizes: Mapping[str, int]
    ) -> Iterator[Mapping[str, Any]]:
        """The scope for every value of the loops that a statement bundles."""
        loops = [loop.index for loop in proof.bundled]
        for values in product(*(range(sizes[index]) for index in loops)):
            yield {**scope, **{f"@{index}": at for index, at in zip(loops, values)}}

    def _name(self, name: syntax.Name, env: Env, scope: Mapping[str, Any]) -> str:
        texts = []
        for part in spellings(name)[0].parts:
            if isinstance(part, syntax.Hole):
                own = {
                    path.text: f"at_{path.text}"
                    for path in paths(part.value)
                    if f"@{path.text}" in scope
                }
                now = {**scope, **{own[n]: scope[f"@{n}"] for n in own}}
                inner = env.adding(own, dict.fromkeys(own, "int"))
                texts.append(str(self._value(part.value, inner, now)))
            elif isinstance(part, syntax.Text):
                texts.append(part.text)
            elif isinstance(part, syntax.Deep):
                texts.append("**")
        return "".join(texts)

    def _elements(
        self, proof: Proof, env: Env, scope: Mapping[str, Any], sizes: Mapping[str, int]
    ) -> Iterator[Element]:
        """Three elements of each part."""
        for pair in proof.pairs:
            yield from self._elements_of(pair, proof, env, scope, sizes)

    def _elements_of(
        self,
        pair: tuple[Leaf, Leaf],
        proof: Proof,
        env: Env,
        scope: Mapping[str, Any],
        sizes: Mapping[str, int],
    ) -> Iterator[Element]:
        """Three elements of a part: the first, the last, and one between."""
        bundled = [loop.index for loop in proof.bundled]
        indices = list(dict.fromkeys([*pair[0].indices, *pair[1].indices, *bundled]))
        if not all(sizes[index] for index in indices):
            return
        middle = {index: (5 * k + 3) % sizes[index] for k, index in enumerate(indices)}
        last = {i: sizes[i] - 1 for i in indices}
        for at in ({i: 0 for i in indices}, middle, last):
            now = {**scope, **{f"@{index}": at[index] for index in bundled}}
            ends: list[Any] = []
            for side, leaf in enumerate(pair):
                tensor = proof.statement.sides[side][leaf.term]
                name = self._name(tensor.names[0].name, env, now)
                ends.append(self._prefixes[side] + name)
                index = tuple(_position(place, at, sizes) for place in leaf.axes)
                ends.append((1, 2) if tensor.whole else index)
            for text in TAILS if proof.statement.tail else ("",):
                names = [ends[n].replace("**", text) for n in (0, 2)]
                yield (names[0], ends[1], names[1], ends[3])


def made_value(
    function: str, values: list[Any], index: Index, shape: Index
) -> float | int:
    """An element of a tensor that is made, from the meaning of the word."""
    long = [at for at, size in zip(index, shape) if size > 1]
    last = long[-1] if long else 0
    match function:
        case "zeros" | "ones":
            return int(function == "ones")
        case "full":
            value: float | int = values[0]
            return value
        case "arange":
            return last
        case "tril":
            return int(index[-1] <= index[-2])
        case "rotary_inv_freq":
            return float(values[1] ** (-2 * last / values[0]))
        case _:
            heads = values[0]
            power = 2 ** math.floor(math.log2(heads))
            if last < power:
                return float(2 ** (-8 * (last + 1) / power))
            return float(2 ** (-8 * (2 * (last - power) + 1) / (2 * power)))


def _number(axis: syntax.Axis, sizes: Mapping[str, int]) -> int:
    """The size of an axis as a number."""
    return sum(
        factor * prod(sizes[name] for name in names)
        for names, factor in size(axis).items()
    )


def _position(place: Place, at: Mapping[str, int], sizes: Mapping[str, int]) -> int:
    """Where an element stands on an axis, given the values of the indices."""
    match place:
        case syntax.Index(name=name):
            return at[name]
        case syntax.One():
            return 0
        case Row(whole=whole, factors=factors):
            position = 0
            for factor, axis in zip(factors, whole.factors):
                position = position * _number(axis, sizes) + _position(
                    factor, at, sizes
                )
            return position
        case Picked(whole=whole, part=part, value=value):
            before = sum(_number(other.value, sizes) for other in whole.parts[:part])
            return before + _position(value, at, sizes)
        case Cut(value=value) | Front(value=value):
            return _position(value, at, sizes)
        case _:
            assert_never(place)
