"""How large a map may be: what keeps the compiler's time and memory within bounds, whatever the text says.

A few lines can mean very much, by lists, sums and definitions in one another, so what is counted is what is written
out. The largest maps that are shipped have less than a quarter of each.
"""

from __future__ import annotations

from math import prod

from ..dsl import syntax
from ..dsl.never import assert_never
from ..dsl.source import Span
from . import hir
from .problems import refuse

PIECES = 4_000  # nodes of the syntax tree, with all definitions written out
NAMES = 600  # tensors of both sides, with all lists written out
PARTS = 300  # blocks that the sums on the axes of one side of all statements make
SPELLINGS = 64  # of one name, its prefixes included
DIMENSIONS = 8  # of a mesh: they are tried out in all combinations


def weight(node: syntax.Node) -> int:
    """The nodes of a tree; more for an option, which is a parameter of several functions."""
    return sum(3 if isinstance(one, syntax.Option) else 1 for one in syntax.walk(node))


def check_lists(name: syntax.Name) -> None:
    """Raises MapError for a name whose lists, one in another, stand for too many names."""
    sizes = [len(part.items) for part in name.parts if isinstance(part, syntax.Several)]
    if prod(sizes) > NAMES:
        _refuse("tensors", NAMES, prod(sizes), name.span)


def check_spellings(name: syntax.Name) -> None:
    """Raises MapError for a name whose choices, one in another, stand for too many spellings."""
    found = prod(
        len(part.items) for part in name.parts if isinstance(part, syntax.Alternates)
    )
    if found > SPELLINGS:
        refuse(
            "M0342",
            f"expected at most {SPELLINGS} spellings of a name, found {found}",
            name.span,
        )


def check_dimensions(mesh: syntax.Mesh) -> None:
    """Raises MapError for a mesh of too many dimensions."""
    found = len({dim for counting in mesh.countings for dim in counting})
    if found > DIMENSIONS:
        _refuse("mesh dimensions", DIMENSIONS, found, mesh.span)


def check_sums(side: tuple[hir.Tensor, ...], span: Span) -> None:
    """Raises MapError for a side with too many parts, before they are written out."""
    found = sum(_parts(tensor) for tensor in side)
    if found > PARTS:
        _refuse("parts", PARTS, found, span)


def check_parts(items: tuple[hir.Item, ...]) -> None:
    """Raises MapError at the statement with which a map has too many tensors, or too many parts."""
    tensors = parts = 0
    for statement in hir.statements(items):
        sides = statement.sides
        tensors += sum(len(tensor.names) for side in sides for tensor in side)
        if tensors > NAMES:
            _refuse("tensors", NAMES, tensors, statement.span)
        for side in sides:
            parts += sum(_parts(tensor) for tensor in side)
            if parts > 2 * PARTS:
                _refuse("parts", PARTS, parts // 2, statement.span)


def _refuse(what: str, most: int, found: int, span: Span) -> None:
    refuse(
        "M0342",
        f"expected at most {most} {what} in a map, found {found} up to here",
        span,
    )


def _parts(tensor: hir.Tensor) -> int:
    return prod(_choices(axis) for axis in tensor.axes)


def _choices(axis: syntax.Axis) -> int:
    """How many ways there are to choose a part of each sum of an axis."""
    match axis:
        case syntax.Index() | syntax.One():
            return 1
        case syntax.Product(factors=factors):
            return prod(_choices(factor) for factor in factors)
        case syntax.Sum(parts=parts):
            return sum(_choices(part.value) for part in parts)
        case syntax.Split(value=value) | syntax.Padded(value=value):
            return _choices(value)
        case _:
            assert_never(axis)
