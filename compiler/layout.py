"""The algebra of axes: sizes, leaves and places, for axes kept as ordered products and sums of named indices.

Nothing here holds strides: splits, merges, permutations and concatenations are closed over factored axes and
invert by reading them backwards. Strides appear when code is emitted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

from ..dsl.never import assert_never
from ..dsl.syntax import Axis, Index, One, Padded, Product, Split, Sum, walk


@dataclass(frozen=True, slots=True)
class Picked:
    """A sum of which one part was taken."""

    whole: Sum
    part: int
    value: Place


@dataclass(frozen=True, slots=True)
class Row:
    """A product without a choice left in it."""

    whole: Product
    factors: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """A factor of which a rank holds a share."""

    whole: Split
    value: Place


@dataclass(frozen=True, slots=True)
class Front:
    """The data at the front of a padded axis."""

    whole: Padded
    value: Place


Place: TypeAlias = "Index | One | Row | Picked | Cut | Front"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One rectangular block of a side: which term it is in, and its place on every axis of that term."""

    term: int
    axes: tuple[Place, ...]

    @property
    def indices(self) -> tuple[str, ...]:
        """The indices of the block, in the order of the axes."""
        return tuple(name for place in self.axes for name in place_indices(place))

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(label for place in self.axes for label in place_labels(place))


def leaves(terms: tuple[tuple[Axis, ...], ...]) -> tuple[Leaf, ...]:
    """The leaves of a side: terms as written, in a term the leftmost axis slowest, in a sum left to right."""
    return tuple(
        Leaf(number, places)
        for number, axes in enumerate(terms)
        for places in product(*(choices(axis) for axis in axes))
    )


def choices(axis: Axis) -> tuple[Place, ...]:
    """The places that an axis has, one for every way to choose a part of each of its sums."""
    match axis:
        case Index() | One():
            return (axis,)
        case Product(factors=factors):
            return tuple(
                Row(axis, row)
                for row in product(*(choices(factor) for factor in factors))
            )
        case Sum(parts=parts):
            return tuple(
                Picked(axis, number, place)
                for number, part in enumerate(parts)
                for place in choices(part.value)
            )
        case Split(value=value):
            return tuple(Cut(axis, place) for place in choices(value))
        case Padded(value=value):
            return tuple(Front(axis, place) for place in choices(value))
        case _:
            assert_never(axis)


def place_indices(place: Place) -> Iterator[str]:
    """The indices of a place, slowest first."""
    return (one.name for one in _walk(place) if isinstance(one, Index))


def place_labels(place: Place) -> Iterator[str]:
    """The labels of the parts that were taken, outermost first."""
    for one in _walk(place):
        if isinstance(one, Picked):
            label = one.whole.parts[one.part].label
            yield from () if label is None else (label,)


def place_dims(place: Place) -> Iterator[str]:
    """The mesh dimensions over which a place is split, outermost first."""
    return (one.whole.mesh for one in _walk(place) if isinstance(one, Cut))


def _walk(place: Place) -> Iterator[Place]:
    """The place and every place in it, in the order of the text."""
    yield place
    match place:
        case Index() | One():
            return
        case Row(factors=factors):
            for factor in factors:
                yield from _walk(factor)
        case Picked(value=value) | Cut(value=value) | Front(value=value):
            yield from _walk(value)
        case _:
            assert_never(place)


def matched(
    left: tuple[Leaf, ...], right: tuple[Leaf, ...]
) -> tuple[tuple[Leaf, Leaf], ...] | None:
    """The pairs of leaves that hold the same elements; None where the sides have different parts.

    Labelled leaves match by label, the others in order.
    """
    plain = [[leaf for leaf in side if not leaf.labels] for side in (left, right)]
    named = [
        {leaf.labels: leaf for leaf in side if leaf.labels} for side in (left, right)
    ]
    if len(plain[0]) != len(plain[1]) or named[0].keys() != named[1].keys():
        return None
    if len(left) != len(plain[0]) + len(named[0]) or len(right) != len(plain[1]) + len(
        named[1]
    ):
        return None
    followers = iter(plain[1])
    return tuple(
        (leaf, named[1][leaf.labels] if leaf.labels else next(followers))
        for leaf in left
    )


def axis_indices(axis: Axis) -> Iterator[str]:
    """Every index of an axis, as often as it stands there."""
    return (node.name for node in walk(axis) if isinstance(node, Index))


def splits(axis: Axis) -> Iterator[Split]:
    """Every factor of an axis that is split over the mesh, outermost first."""
    return (node for node in walk(axis) if isinstance(node, Split))


def formula(axes: tuple[Axis, ...]) -> str:
    """The axes as a map writes them, in brackets: `[(g (h + 1 + 1) d)@tp e]`."""
    return f"[{' '.join(spell(axis) for axis in axes)}]"


def spell(axis: Axis) -> str:
    match axis:
        case Index(name=name):
            return name
        case One():
            return "1"
        case Product(factors=factors):
            return f"({' '.join(spell(factor) for factor in factors)})"
        case Sum(parts=parts):
            return (
                f"({' + '.join(_spell_part(part.label, part.value) for part in parts)})"
            )
        case Split(value=value, mesh=mesh, ceil=ceil):
            return f"{spell(value)}@{mesh}{'?' if ceil else ''}"
        case Padded(value=value, size=size):
            return f"{spell(value)}^{size}"
        case _:
            assert_never(axis)


def _spell_part(label: str | None, value: Axis) -> str:
    text = spell(value)
    inner = text[1:-1] if isinstance(value, Product) else text
    return f"{label}:{inner}" if label else inner


# ---- sizes ----------------------------------------------------------------------------------------

# A size is a sum of products of names with whole factors: {("g", "h"): 1, ("g",): 2} is g*h + 2*g.
Size: TypeAlias = "dict[tuple[str, ...], int]"


def size(axis: Axis) -> Size:
    """The size of a whole axis, all shares together."""
    match axis:
        case Index(name=name):
            return {(name,): 1}
        case One():
            return {(): 1}
        case Product(factors=factors):
            total: Size = {(): 1}
            for factor in factors:
                total = times(total, size(factor))
            return total
        case Sum(parts=parts):
            return plus(*(size(part.value) for part in parts))
        case Split(value=value):
            return size(value)
        case Padded(size=padded):
            return {(padded,): 1}
        case _:
            assert_never(axis)


def times(one: Size, other: Size) -> Size:
    result: Size = {}
    for (names, factor), (more, by) in product(one.items(), other.items()):
        key = tuple(sorted((*names, *more)))
        result[key] = result.get(key, 0) + factor * by
    return result


def plus(*sizes: Size) -> Size:
    result: Size = {}
    for part in sizes:
        for names, factor in part.items():
            result[names] = result.get(names, 0) + factor
    return {names: factor for names, factor in result.items() if factor}
