"""The resolved map: every name bound, prefixes joined, lists written out, derived statements in place.

Second form of a map (text -parse-> syntax -resolve-> hir -check-> hir -lower-> plan). What holds here is said by
`verify`, which runs after the pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from ..dsl.never import assert_never
from ..dsl.source import Source, Span
from ..dsl.syntax import Alternates, Axis, Deep, Expr, Hole, Name, Stages, Text


@dataclass(frozen=True, slots=True)
class Layout:
    """One side. `dims` are the mesh dimensions in order; `countings` how they count the ranks.

    `files` are the names of the ranks' files by format, of which the first is written unless another is asked for.
    `prefixes` are what all names of a checkpoint may begin with; the first is written.
    """

    name: str
    countings: tuple[tuple[str, ...], ...]
    stages: Stages | None
    files: tuple[tuple[str, Name], ...]
    prefixes: tuple[str, ...] = ("",)

    @property
    def dims(self) -> tuple[str, ...]:
        return tuple(
            dict.fromkeys(dim for counting in self.countings for dim in counting)
        )


@dataclass(frozen=True, slots=True)
class Option:
    """A fact of one layout that the other cannot know, stored there under `key`."""

    name: str
    kind: str
    default: Expr
    layout: str
    key: str
    span: Span


@dataclass(frozen=True, slots=True)
class Keys:
    """A config side that is read and written: keys to fall through, then a default."""

    keys: tuple[str, ...]
    default: Expr | None


@dataclass(frozen=True, slots=True)
class Formula:
    """A config side that is only read: an expression of keys and bound names."""

    value: Expr
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fixed:
    """A config key that always has one value."""

    key: str
    value: Expr


ConfigSide: TypeAlias = Keys | Formula | Fixed | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A config equation; `field` is where Config keeps the value, `bound` whether it is a name of the map.

    A value table holds (left, right) spellings; Config keeps the left one.
    """

    field: str
    bound: bool
    kind: str
    left: ConfigSide
    right: ConfigSide
    table: tuple[tuple[Expr, Expr], ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Let:
    """A name for a value. `replica` is an index that may stand on one side."""

    name: str
    value: Expr
    kind: str
    replica: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Require:
    """A condition, for the whole map or where it stands in a block; `indices` are those of the loops around."""

    test: Expr
    message: str
    span: Span
    indices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Variant:
    """A layout that is stored in several ways; the first is written unless the caller says otherwise."""

    name: str
    choices: tuple[str, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Placed:
    """One name of a tensor, with its prefixes; `at` is its place among the stages, `when` its condition."""

    name: Name
    at: str | None
    when: Expr | None


@dataclass(frozen=True, slots=True)
class Step:
    """One operation on every element of a tensor: `+ - * /` with a number, or a function without one."""

    operator: str
    operand: Expr | None


@dataclass(frozen=True, slots=True)
class Fill:
    """Values that no tensor holds: a function of the language, or `full`."""

    function: str
    arguments: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A term: a tensor under one name, or under several that are tied, and its axes.

    `whole`: of any shape, without axes. The equation is about what the steps make of the elements that are stored,
    always in `dtype` if there is one. `default`: its values where it is absent.
    """

    names: tuple[Placed, ...]
    axes: tuple[Axis, ...]
    span: Span
    whole: bool = False
    steps: tuple[Step, ...] = ()
    dtype: str | None = None
    default: Fill | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """An index equation. `number` counts the statements of the map.

    `optional`: its tensors are there all together or not at all. A statement of whole tensors has one a side.
    """

    number: int
    left: tuple[Tensor, ...]
    right: tuple[Tensor, ...]
    span: Span
    optional: bool = False

    @property
    def sides(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        return self.left, self.right

    @property
    def whole(self) -> bool:
        """Whether its tensors are of any shape and move unchanged."""
        return self.left[0].whole

    @property
    def tail(self) -> bool:
        """Whether it takes every tensor of its names, in which `**` stands for any components."""
        return any(isinstance(p, Deep) for p in self.left[0].names[0].name.parts)


@dataclass(frozen=True, slots=True)
class Drop:
    """Tensors of one side (0 left, 1 right) that are left behind."""

    side: int
    name: Name
    span: Span


@dataclass(frozen=True, slots=True)
class Make:
    """A tensor of one side (0 left, 1 right) that is made.

    `statement` equates it with a whole tensor of the other side that is always absent and has its values as default.
    There a size that stands on two axes has a second name, of `again`.
    """

    side: int
    tensor: Tensor
    statement: Statement
    again: tuple[tuple[str, str], ...]
    lossy: bool

    @property
    def fill(self) -> Fill:
        fill = self.statement.sides[1 - self.side][0].default
        assert fill is not None, "what is made has values"
        return fill


@dataclass(frozen=True, slots=True)
class Loop:
    """`for`: the range of an index. `staged` where a mesh dimension owns the range in stages.

    `prefixes` are the beginnings that the names in the body share, one a side.
    """

    index: str
    range: Expr
    filtered: bool
    staged: bool
    prefixes: tuple[Name, Name] | None
    body: tuple[Item, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Choice:
    """`if`, filters and conditions behind statements."""

    test: Expr
    then: tuple[Item, ...]
    otherwise: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """The statements of each alternative of a variant, in its order."""

    variant: Variant
    bodies: tuple[tuple[Item, ...], ...]


Item: TypeAlias = "Statement | Make | Drop | Loop | Choice | Stored | Let | Require"


@dataclass(frozen=True, slots=True)
class Map:
    """A whole map; `title` is what it converts, in a line."""

    source: Source
    name: str
    title: str
    left: Layout
    right: Layout
    options: tuple[Option, ...]
    entries: tuple[Entry, ...]
    lets: tuple[Let, ...]
    requires: tuple[Require, ...]
    variants: tuple[Variant, ...]
    items: tuple[Item, ...]
    included: tuple[Source, ...] = ()  # the other files that the map is made of
    borrowed: bool = False  # one of them was found in a folder that the caller gave

    @property
    def layouts(self) -> tuple[Layout, Layout]:
        return self.left, self.right

    @property
    def sharded(self) -> Layout | None:
        """The layout with a mesh, if one has it."""
        return next((layout for layout in self.layouts if layout.dims), None)


def statements(items: tuple[Item, ...]) -> tuple[Statement, ...]:
    """Every equation, in the order of the text."""
    found: list[Statement] = []
    for item in items:
        match item:
            case Statement():
                found.append(item)
            case Loop(body=body):
                found += statements(body)
            case Choice(then=then, otherwise=otherwise):
                found += statements(then) + statements(otherwise)
            case Stored(bodies=bodies):
                found += [
                    statement for body in bodies for statement in statements(body)
                ]
            case Make() | Drop() | Let() | Require():
                pass
            case _:
                assert_never(item)
    return tuple(found)


def drops(items: tuple[Item, ...]) -> Iterator[Drop]:
    """What is left behind by name, in the order of the text."""
    for item in items:
        match item:
            case Drop():
                yield item
            case Loop(body=body):
                yield from drops(body)
            case Choice(then=then, otherwise=otherwise):
                yield from drops((*then, *otherwise))
            case Stored(bodies=bodies):
                for body in bodies:
                    yield from drops(body)
            case Statement() | Make() | Let() | Require():
                pass
            case _:
                assert_never(item)


def verify(hir: Map) -> Map:
    """Assert what `resolve` promises; a failure here is a bug of the compiler."""
    numbers = [statement.number for statement in statements(hir.items)]
    assert numbers == sorted(set(numbers)), "statements are numbered in order"
    assert not (hir.left.dims and hir.right.dims), "one layout has a mesh at most"
    for statement in statements(hir.items):
        assert statement.left and statement.right, "a statement has two sides"
        whole = [t.whole for t in statement.left + statement.right]
        assert whole == [True] * 2 or True not in whole, "whole tensors stand alone"
        for tensor in statement.left + statement.right:
            for placed in tensor.names:
                kinds = {type(part) for part in placed.name.parts}
                assert kinds <= {
                    Text,
                    Hole,
                    Deep,
                    Alternates,
                }, f"lists are written out: {kinds}"
    return hir
