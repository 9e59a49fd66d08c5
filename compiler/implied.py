"""The indices of names that no `for` binds: each runs over the size that is bound to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..dsl import syntax
from . import hir
from .kinds import paths
from .layout import axis_indices


def alone(names: Iterable[syntax.Name]) -> dict[str, syntax.Path]:
    """The names that stand alone in a hole, `{x}` or `{x@ep}`, by their text and in order."""
    return {hole.text: hole for name in names for hole in _holes(name, alone=True)}


def indices(
    sides: tuple[tuple[hir.Tensor, ...], tuple[hir.Tensor, ...]],
) -> dict[str, syntax.Path]:
    """The indices in the names of a statement.

    In an expression, `{x + X}`, a name is an index where it is one elsewhere in the statement and not on an axis of
    the same tensor; else it is the value that is bound to it.
    """
    tensors = [tensor for side in sides for tensor in side]
    found = alone(tensor.names[0].name for tensor in tensors)
    for side in (0, 1):
        there = {index for tensor in sides[1 - side] for index in _on_axes(tensor)}
        for tensor in sides[side]:
            own = set(_on_axes(tensor))
            for path in _holes(tensor.names[0].name, alone=False):
                if path.text in there - own:
                    found.setdefault(path.text, path)
    return found


def _holes(name: syntax.Name, alone: bool) -> Iterator[syntax.Path]:
    """The names in a name's holes: those that are all of it, or those of expressions."""
    for part in name.parts:
        if not isinstance(part, syntax.Hole):
            continue
        if isinstance(part.value, syntax.Path) == alone:
            yield from paths(part.value)


def _on_axes(tensor: hir.Tensor) -> Iterator[str]:
    for axis in tensor.axes:
        yield from axis_indices(axis)
