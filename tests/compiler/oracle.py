"""The algebra by brute force: where every single element of a statement lives, found by walking over all of them.

Written against the meaning of the language and against nothing else: it takes the axes as the syntax tree has them
and shares no code with the compiler. An axis is a list of alternatives, one for every way to choose a part of each of
its sums; an alternative says at which position of a rank's axis the values of its indices lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from mapc.dsl.syntax import Axis, Index, One, Padded, Product, Split, Sum

Sizes: TypeAlias = Mapping[str, int]
Rank: TypeAlias = Mapping[str, int]
Values: TypeAlias = Mapping[str, int]
Position: TypeAlias = Callable[
    [Values, Rank], "int | None"
]  # None where the rank does not hold it
Length: TypeAlias = Callable[[Rank], int]


@dataclass(frozen=True)
class Tensor:
    """One term of a side. `named` are the indices in its name: there is a tensor for every value of them."""

    axes: tuple[Axis, ...]
    named: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mesh:
    """The sizes of the dimensions, and the ranks in their order."""

    sizes: Sizes
    ranks: tuple[Rank, ...]


@dataclass(frozen=True, order=True)
class Element:
    """One element of one tensor of one rank: number of the rank, of the term, values in the name, index."""

    rank: int
    term: int
    named: tuple[int, ...]
    index: tuple[int, ...]


@dataclass(frozen=True)
class Alternative:
    """An axis with a part chosen of each of its sums."""

    labels: tuple[str, ...]
    indices: tuple[str, ...]
    position: Position


@dataclass(frozen=True)
class Leaf:
    """A block of a side: one alternative of every axis of a term."""

    term: int
    axes: tuple[Alternative, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(label for axis in self.axes for label in axis.labels)

    @property
    def indices(self) -> tuple[str, ...]:
        return tuple(index for axis in self.axes for index in axis.indices)


@dataclass(frozen=True)
class Statement:
    """An equation with everything that gives it numbers. A side without a mesh has one rank, without coordinates."""

    left: tuple[Tensor, ...]
    right: tuple[Tensor, ...]
    sizes: Sizes
    meshes: tuple[Mesh, Mesh]

    @property
    def sides(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        return self.left, self.right


ALONE = Mesh({}, ({},))


def size(axis: Axis, sizes: Sizes, mesh: Mesh, rank: Rank | None = None) -> int:
    """The length of an axis on a rank, else on the one with the most; ValueError where the mesh does not divide it."""
    if isinstance(axis, Index):
        return sizes[axis.name]
    if isinstance(axis, One):
        return 1
    if isinstance(axis, Padded):
        return sizes[axis.size]
    if isinstance(axis, Sum):
        return sum(size(part.value, sizes, mesh, rank) for part in axis.parts)
    if isinstance(axis, Product):
        total = 1
        for factor in axis.factors:
            total *= size(factor, sizes, mesh, rank)
        return total
    whole, pieces = size(axis.value, sizes, mesh, rank), mesh.sizes[axis.mesh]
    if axis.ceil:
        most, before = -(-whole // pieces), rank[axis.mesh] if rank else 0
        return max(0, min(most, whole - most * before))
    if whole % pieces:
        raise ValueError(f"{whole} positions over {pieces} ranks")
    return whole // pieces


def shape(
    tensor: Tensor, statement: Statement, side: int, number: int
) -> tuple[int, ...]:
    """The shape of a tensor on the rank with this number."""
    mesh = statement.meshes[side]
    return tuple(
        size(axis, statement.sizes, mesh, mesh.ranks[number]) for axis in tensor.axes
    )


def length(axis: Axis, sizes: Sizes, mesh: Mesh) -> Length:
    """The length of an axis by rank, worked out once a rank."""
    known: dict[tuple[int, ...], int] = {}

    def by_rank(rank: Rank) -> int:
        at = tuple(rank.values())
        if at not in known:
            known[at] = size(axis, sizes, mesh, rank)
        return known[at]

    return by_rank


def alternatives(axis: Axis, sizes: Sizes, mesh: Mesh) -> list[Alternative]:
    """The alternatives of an axis, in order: in a product the last factor's change first."""
    if isinstance(axis, One):
        return [Alternative((), (), lambda values, rank: 0)]
    if isinstance(axis, Index):
        name = axis.name
        return [Alternative((), (name,), lambda values, rank: values[name])]
    if isinstance(axis, Padded):
        return alternatives(axis.value, sizes, mesh)
    if isinstance(axis, Sum):
        found: list[Alternative] = []
        for number, part in enumerate(axis.parts):
            label = () if part.label is None else (part.label,)
            before = [length(p.value, sizes, mesh) for p in axis.parts[:number]]
            for inner in alternatives(part.value, sizes, mesh):
                moved = _moved(inner.position, before)
                found.append(Alternative(label + inner.labels, inner.indices, moved))
        return found
    if isinstance(axis, Split):
        whole, pieces = length(axis.value, sizes, mesh), mesh.sizes[axis.mesh]
        size(axis, sizes, mesh)  # must divide
        return [
            Alternative(
                inner.labels,
                inner.indices,
                _held(inner.position, axis.mesh, whole, pieces),
            )
            for inner in alternatives(axis.value, sizes, mesh)
        ]
    first, *rest = axis.factors
    if not rest:
        return alternatives(first, sizes, mesh)
    below = Product(tuple(rest), span=axis.span)
    inner_length = length(below, sizes, mesh)
    return [
        Alternative(
            slow.labels + fast.labels,
            slow.indices + fast.indices,
            _flat(slow.position, fast.position, inner_length),
        )
        for slow in alternatives(first, sizes, mesh)
        for fast in alternatives(below, sizes, mesh)
    ]


def _moved(inner: Position, before: list[Length]) -> Position:
    def position(values: Values, rank: Rank) -> int | None:
        found = inner(values, rank)
        return None if found is None else found + sum(part(rank) for part in before)

    return position


def _held(inner: Position, dim: str, whole: Length, pieces: int) -> Position:
    def position(values: Values, rank: Rank) -> int | None:
        found = inner(values, rank)
        piece = -(-whole(rank) // pieces)
        if found is None or found // piece != rank[dim]:
            return None
        return found - rank[dim] * piece

    return position


def _flat(slow: Position, fast: Position, below: Length) -> Position:
    def position(values: Values, rank: Rank) -> int | None:
        high, low = slow(values, rank), fast(values, rank)
        return None if high is None or low is None else high * below(rank) + low

    return position


def leaves(terms: tuple[Tensor, ...], sizes: Sizes, mesh: Mesh) -> list[Leaf]:
    """The leaves of a side, in order."""
    return [
        Leaf(number, axes)
        for number, term in enumerate(terms)
        for axes in _choices(term.axes, sizes, mesh)
    ]


def _choices(
    axes: tuple[Axis, ...], sizes: Sizes, mesh: Mesh
) -> Iterator[tuple[Alternative, ...]]:
    if not axes:
        yield ()
        return
    for first in alternatives(axes[0], sizes, mesh):
        for rest in _choices(axes[1:], sizes, mesh):
            yield (first, *rest)


def pairs(statement: Statement) -> list[tuple[Leaf, Leaf]] | None:
    """The leaves that belong together: labelled ones by their label, the others in order. None: they do not fit."""
    left, right = (
        leaves(side, statement.sizes, mesh)
        for side, mesh in zip(statement.sides, statement.meshes, strict=True)
    )
    if len(left) != len(right):
        return None
    found = []
    others = list(right)
    for leaf in left:
        fits = [other for other in others if other.labels == leaf.labels]
        if not fits or (leaf.labels and len(fits) > 1):
            return None
        others.remove(fits[0])
        found.append((leaf, fits[0]))
    return found


def places(
    leaf: Leaf,
    tensor: Tensor,
    values: Values,
    free: list[str],
    statement: Statement,
    side: int,
) -> Iterator[Element]:
    """Where the element with these values lives on a side, first copies first.

    `free` are the indices that stand on this side only: it has a copy for every value of them.
    """
    for copy in _assignments(free, statement.sizes):
        everything = {**values, **copy}
        named = tuple(everything[name] for name in tensor.named)
        for number, rank in enumerate(statement.meshes[side].ranks):
            index = [axis.position(everything, rank) for axis in leaf.axes]
            held = tuple(position for position in index if position is not None)
            if len(held) == len(index):
                yield Element(number, leaf.term, named, held)


def _assignments(names: list[str], sizes: Sizes) -> Iterator[dict[str, int]]:
    if not names:
        yield {}
        return
    for value in range(sizes[names[0]]):
        for rest in _assignments(names[1:], sizes):
            yield {names[0]: value, **rest}


def mapping(statement: Statement, target: int) -> dict[Element, Element]:
    """For every element of the target (0 left, 1 right) the element of the source that it is read from.

    Elements of the target that are not there are padding. ValueError where one would be written twice or where an
    element has no place at all on one of the sides.
    """
    matched = pairs(statement)
    if matched is None:
        raise ValueError("the two sides have different parts")
    found: dict[Element, Element] = {}
    for pair in matched:
        tensors = tuple(
            side[leaf.term] for side, leaf in zip(statement.sides, pair, strict=True)
        )
        own = [[*leaf.indices, *t.named] for leaf, t in zip(pair, tensors, strict=True)]
        shared = [name for name in dict.fromkeys(own[0]) if name in own[1]]
        for values in _assignments(shared, statement.sizes):
            both = []
            for side in (0, 1):
                free = [name for name in dict.fromkeys(own[side]) if name not in shared]
                here = places(pair[side], tensors[side], values, free, statement, side)
                both.append(list(here))
            if [] in both:
                if any(statement.sizes[name] == 0 for name in own[0] + own[1]):
                    continue
                raise ValueError(f"no rank holds the element {values}")
            for place in both[target]:
                if place in found:
                    raise ValueError(f"{place} would be written twice")
                found[place] = both[1 - target][0]
    return found


def elements(statement: Statement, side: int) -> Iterator[Element]:
    """Every element of every tensor of a side, padding included."""
    for number, _ in enumerate(statement.meshes[side].ranks):
        for term, tensor in enumerate(statement.sides[side]):
            counts = shape(tensor, statement, side, number)
            names = [f"{position}" for position in range(len(counts))]
            for named in _assignments(list(tensor.named), statement.sizes):
                for index in _assignments(names, dict(zip(names, counts, strict=True))):
                    yield Element(
                        number, term, tuple(named.values()), tuple(index.values())
                    )
