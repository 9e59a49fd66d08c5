"""Resharding: the layout with ranks, from one mesh to another one.

A statement says for every mesh which element of the other layout an element of a rank is. Those of two meshes that are
the same element there are the same number, and it is moved as it is: nothing is computed, cast or made on the way, and
the other layout is never put together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

from .errors import ConversionError
from .grid import Counts, Grid, Piece, dot
from .mapping import (
    Converter,
    Drop,
    Group,
    Item,
    Make,
    Meshes,
    Named,
    Shapes,
    Slots,
    Tail,
    names_of,
)
from .recipe import Block, Matched, Recipe
from .spelling import laid_out
from .values import Values


class Stub(NamedTuple):
    """A tensor of the other layout, which nobody has put together."""

    shape: Counts


def resharding(converter: Converter, options: Mapping[str, Any]) -> Converter:
    """The converter between a mesh and another one; the target has these options instead of those of the source."""
    ranked = int(converter.left.file is None)
    side = (converter.left, converter.right)[ranked]

    def statements(config: Any, meshes: Meshes, shapes: Shapes) -> Iterator[Item]:
        measured = Shapes(ranked, shapes.found, shapes.prefix, shapes.most)
        here = list(laid_out(converter, config, meshes.left, measured))
        found = None if shapes.found is None else {None: _shapes_of(here, 1 - ranked)}
        between = Shapes(1 - ranked, found, "", shapes.most)
        config = replace(config, **options)
        there = laid_out(converter, config, meshes.right, between)
        yield from _paired_items(here, there, ranked, converter.name)
        shapes.asked = shapes.asked or measured.asked

    return converter._replace(
        left=side._replace(name=f"{side.name} (source)"),
        right=side._replace(
            write=lambda config: side.write(replace(config, **options))
        ),
        statements=statements,
        staged=None,
    )


def _shapes_of(items: list[Item], side: int) -> dict[str, Stub]:
    """The tensors of a layout without ranks, as statements have them whose sizes are known."""
    found = {}
    for item in items:
        if not isinstance(item, Group):
            continue
        for position, places in enumerate(item.sides[side]):
            shape = item.recipe.shapes[Piece(side, position, ())]
            if shape is not None:
                names = (name for place in places for name in place.names)
                found.update(dict.fromkeys(names, Stub(shape)))
    return found


def _paired_items(
    here: list[Item], there: Iterable[Item], ranked: int, name: str
) -> Iterator[Item]:
    """The statements of two meshes as one: those that are about the same tensors of the other layout."""
    known = {_about(item, ranked): item for item in here if not _is_one_sided(item)}
    recipes: dict[tuple[int, int], Recipe] = {}
    for item in here:
        if isinstance(item, Drop) and item.side == ranked:
            yield item._replace(side=0)
    for item in there:
        if _is_one_sided(item):
            yield from _one_sided(item, ranked, name)
            continue
        other = known.pop(_about(item, ranked), None)
        if isinstance(item, Tail) and isinstance(other, Tail):
            yield Tail(
                item.where, _moved_slots(other, ranked), _moved_slots(item, ranked)
            )
        elif isinstance(item, Group) and isinstance(other, Group):
            key = id(other.recipe), id(item.recipe)
            if key not in recipes:
                recipes[key] = between_meshes(other.recipe, item.recipe, ranked)
            yield Group(
                recipes[key],
                _moved_slots(other, ranked),
                _moved_slots(item, ranked),
                item.optional or _may_be_absent(item, ranked),
            )
        else:
            raise _unpaired(name, item, ranked)
    for item in known.values():
        raise _unpaired(name, item, ranked)


def _is_one_sided(item: Item) -> bool:
    return isinstance(item, (Drop, Make))


def _one_sided(item: Item, ranked: int, name: str) -> Iterator[Item]:
    """A statement of one side: a tensor that is left behind, or one that the other layout does not have."""
    if isinstance(item, Drop) and item.side == ranked:
        yield item._replace(side=1)
    if isinstance(item, Make) and item.side == ranked:
        raise ConversionError(
            f"{name}: {names_of(item.tensor)[0]} is made by {item.recipe.where}, and no other layout tells whose it is; "
            "convert the checkpoint there and back"
        )


def _about(item: Item, ranked: int) -> tuple[str, ...]:
    """What a statement is about, whatever the mesh: its tensors of the other layout."""
    assert isinstance(item, (Group, Tail)), "the others have one side"
    where = item.where if isinstance(item, Tail) else item.recipe.where
    return where, *names_of(item.sides[1 - ranked])


def _unpaired(name: str, item: Item, ranked: int) -> ConversionError:
    where, *names = _about(item, ranked)
    return ConversionError(
        f"{name}: {where} holds for {' and '.join(names)} on one of the meshes and not on the other; "
        "convert the checkpoint to the other layout and back"
    )


def _moved_slots(item: Group | Tail, ranked: int) -> Slots:
    """The tensors of a side, whose elements are moved as they are, and not as the statement computes them."""
    slots = item.sides[ranked]
    if isinstance(slots, Named):
        return slots
    return tuple(
        tuple(
            place._replace(values=place.values and Values(dtype=place.values.dtype))
            for place in places
        )
        for places in slots
    )


def _may_be_absent(item: Group, ranked: int) -> bool:
    """Whether a tensor of the side may be absent; then it stays so."""
    return not isinstance(item.sides[ranked], Named) and any(
        place.values is not None and place.values.default is not None
        for places in item.sides[ranked]
        for place in places
    )


def between_meshes(one: Recipe, other: Recipe, ranked: int) -> Recipe:
    """The recipe of a statement from the mesh of one recipe to that of another, of which side `ranked` has ranks."""
    made = Recipe(other.where, **other.sizes)
    made.tensors = one.tensors[ranked], other.tensors[ranked]
    for side, recipe in enumerate((one, other)):
        for piece, shape in recipe.shapes.items():
            if piece.side == ranked:
                made.shapes[piece._replace(side=side)] = shape
        for piece, grids in recipe.padding.items():
            moved = piece._replace(side=side)
            if piece.side == ranked:
                made.padding[moved] = {_on_side(grid, side): None for grid in grids}
    paired: dict[Grid, list[Grid]] = defaultdict(list)
    for pair in one.pairs:
        paired[pair[1 - ranked]].append(_on_side(pair[ranked], 0))
    for pair in other.pairs:
        for grid in paired[pair[1 - ranked]]:
            made.pairs.append((grid, _on_side(pair[ranked], 1)))
    # An element of the other layout that several of the source hold is read in the place that fills it there.
    sources: dict[Grid, list[Matched]] = defaultdict(list)
    for matched in one.matched:
        if 1 - ranked not in matched.block.again:
            sources[matched.grids[1 - ranked]].append(matched)
    for target in other.matched:
        if ranked in target.block.again:
            continue
        whole = target.grids[1 - ranked]
        blocks = [
            block
            for source in sources[whole]
            if (block := _shared_block(whole, source, target, ranked)) is not None
        ]
        if sum(prod(block.counts) for block in blocks) != prod(target.block.counts):
            raise ConversionError(
                f"{other.where}: the elements of {target.block.pieces[ranked].at} are not all in the source; "
                "convert the checkpoint to the other layout and back"
            )
        for block in blocks:
            made.add(block)
    return made


def _on_side(grid: Grid, side: int) -> Grid:
    return replace(grid, piece=grid.piece._replace(side=side))


def _shared_block(
    whole: Grid, source: Matched, target: Matched, ranked: int
) -> Block | None:
    """The block of the elements that two blocks share, which are parts of one grid of the other layout."""
    first, last = [], []
    for step, a, m, b, n in zip(
        whole.steps,
        source.first,
        source.block.counts,
        target.first,
        target.block.counts,
    ):
        # What repeats there is one element, which the source holds under its first index.
        low, high = (max(a, b), min(a + m, b + n)) if step else (b, b + n)
        first.append(low)
        last.append(high)
    counts = tuple(high - low for low, high in zip(first, last))
    if any(count <= 0 for count in counts):
        return None
    source_steps = tuple(
        step if there else 0
        for step, there in zip(source.block.steps[ranked], whole.steps)
    )
    into = [low - begin for low, begin in zip(first, source.first)]
    here = [low - begin for low, begin in zip(first, target.first)]
    return Block(
        (
            source.block.pieces[ranked]._replace(side=0),
            target.block.pieces[ranked]._replace(side=1),
        ),
        (
            source.block.offsets[ranked] + dot(source_steps, into),
            target.block.offsets[ranked] + dot(target.block.steps[ranked], here),
        ),
        (source_steps, target.block.steps[ranked]),
        counts,
        frozenset(),
    )
