"""A loop's body in two: the statements that bundle the loop, which stand before it, and what stands inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..dsl.never import assert_never
from . import hir
from .kinds import paths
from .proof import Proof

Items = tuple[hir.Item, ...]


def parted(
    items: Items, index: str, proofs: Mapping[int, Proof]
) -> tuple[Items, Items]:
    """The items whose statements bundle the loop over an index, and the others; a `let` goes with both."""
    return _half(items, index, proofs, True), _half(items, index, proofs, False)


def _half(
    items: Items, index: str, proofs: Mapping[int, Proof], bundling: bool
) -> Items:
    """One of the two; nothing where only values are left."""
    found = tuple(
        kept
        for item in items
        if (kept := _kept(item, index, proofs, bundling)) is not None
    )
    return found if any(not isinstance(item, hir.Let) for item in found) else ()


def _kept(
    item: hir.Item, index: str, proofs: Mapping[int, Proof], bundling: bool
) -> hir.Item | None:
    """What of an item belongs to a half, None where it is nothing."""

    def half(body: Items) -> Items:
        return _half(body, index, proofs, bundling)

    match item:
        case hir.Statement(number=number) | hir.Make(
            statement=hir.Statement(number=number)
        ):
            bundled = any(loop.index == index for loop in proofs[number].bundled)
            return item if bundled == bundling else None
        case hir.Let(value=value):
            inside = any(path.text == index for path in paths(value))
            return None if bundling and inside else item
        case hir.Drop() | hir.Require():
            return None if bundling else item
        case hir.Loop(body=body):
            body = half(body)
            return replace(item, body=body) if body else None
        case hir.Choice(then=then, otherwise=otherwise):
            then, otherwise = half(then), half(otherwise)
            more = then or otherwise
            return replace(item, then=then, otherwise=otherwise) if more else None
        case hir.Stored(bodies=bodies):
            bodies = tuple(half(body) for body in bodies)
            return replace(item, bodies=bodies) if any(bodies) else None
        case _:
            assert_never(item)
