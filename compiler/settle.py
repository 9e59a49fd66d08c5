"""What a sample config needs where its equations compute: numbers for keys without a name, few repetitions of a list."""

from __future__ import annotations

from collections.abc import Iterator

from ..dsl import syntax
from . import hir

SMALL = 2


def carried(map_: hir.Map) -> dict[str, int]:
    """Numbers for the keys that computed sides read and no name is bound to."""
    read = {key for side in _formulas(map_) for key in side.keys}
    return {
        entry.field: SMALL
        for entry in map_.entries
        for side in (entry.left, entry.right)
        if isinstance(side, hir.Keys) and not entry.bound and side.keys[0] in read
    }


def repeated(map_: hir.Map) -> Iterator[str]:
    """The names that say how often a list is repeated, `[0] * K`: large ones would leave no layer of another kind."""
    for side in _formulas(map_):
        for node in syntax.walk(side.value):
            match node:
                case syntax.Binary(
                    operator="*", left=syntax.ListOf(), right=syntax.Path(text=text)
                ):
                    yield text
                case _:
                    pass


def _formulas(map_: hir.Map) -> Iterator[hir.Formula]:
    for entry in map_.entries:
        for side in (entry.left, entry.right):
            if isinstance(side, hir.Formula):
                yield side
