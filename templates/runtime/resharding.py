"""Resharding: the layout with ranks, from one mesh to another one.

A statement says for every mesh which element of the other layout an element of a rank is. Those of two meshes that are
the same element there are the same number, and it is moved as it is: what the statement computes is not computed, and
the other layout is never put together.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

from .errors import ConversionError
from .grid import Counts, Grid, Piece, dot
from .layouts import Converter, Meshes
from .mapping import Drop, Group, Item, Make, Named, Slots, Tail, names_of
from .recipe import Block, Matched, Recipe
from .shapes import Shapes
from .spelling import laid_out
from .values import Values


class Stub(NamedTuple):
    """A tensor of the other layout, which nobody has put together."""

    shape: Counts


def resharding(converter: Converter) -> Converter:
    """The converter between a mesh and another one."""
    ranked = ranked_side(converter)
    side = (converter.left, converter.right)[ranked]

    def statements(config: Any, meshes: Meshes, shapes: Shapes) -> Iterator[Item]:
        measured = Shapes(ranked, shapes.found, shapes.prefix, shapes.most)
        here = list(laid_out(converter, config, meshes.left, measured))
        found = None if shapes.found is None else {None: _shapes_of(here, 1 - ranked)}
        between = Shapes(1 - ranked, found, "", shapes.most)
        config = replace(config, **meshes.options)
        there = list(laid_out(converter, config, meshes.right, between))
        yield from _paired_items(here, there, ranked, converter.name)
        shapes.asked = shapes.asked or measured.asked

    return converter._replace(
        left=side._replace(name=f"{side.name} (source)"),
        right=side,
        statements=statements,
        staged=None,
    )


def ranked_side(converter: Converter) -> int:
    """The side that has ranks, where one has."""
    return int(converter.left.file is None)


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
    here: list[Item], there: list[Item], ranked: int, name: str
) -> Iterator[Item]:
    """The statements of two meshes as one: those that are about the same tensors of the other layout."""
    for item in (*here, *there):
        if isinstance(item, Make) and item.side == ranked:
            raise _made_there(item, name)
    pairs = [item for item in here if isinstance(item, (Group, Tail))]
    known = {_about(item, ranked): item for item in pairs}
    recipes: dict[tuple[int, int], Recipe | None] = {}
    for side, items in enumerate((here, there)):
        for item in items:
            if isinstance(item, Drop) and item.side == ranked:
                yield item._replace(side=side)
    for item in there:
        if not isinstance(item, (Group, Tail)):
            continue
        other = known.pop(_about(item, ranked), None)
        if other is None or _said_values(other) != _said_values(item):
            raise _otherwise(item, ranked, name)
        slots = _moved_slots(other, ranked), _moved_slots(item, ranked)
        if isinstance(item, Tail) or isinstance(other, Tail):
            yield Tail(_stated_at(item), *slots)
            continue
        key = id(other.recipe), id(item.recipe)
        if key not in recipes:
            recipes[key] = between_meshes(other.recipe, item.recipe, ranked)
        recipe = recipes[key]
        if recipe is None:
            raise _otherwise(item, ranked, name)
        optional = item.optional or _is_defaulted(item.sides[ranked])
        yield Group(recipe, *slots, optional)
    for item in known.values():
        raise _otherwise(item, ranked, name)


def _made_there(item: Make, name: str) -> ConversionError:
    return ConversionError(
        f"{name}: {names_of(item.tensor)[0]} is made by {item.recipe.where}, and no other layout tells whose it is; "
        "convert the checkpoint there and back"
    )


def _stated_at(item: Group | Tail) -> str:
    return item.where if isinstance(item, Tail) else item.recipe.where


def _about(item: Group | Tail, ranked: int) -> tuple[str, ...]:
    """What a statement is about, whatever the mesh: its tensors of the other layout."""
    return _stated_at(item), *names_of(item.sides[1 - ranked])


def _otherwise(item: Group | Tail, ranked: int, name: str) -> ConversionError:
    where, *names = _about(item, ranked)
    return ConversionError(
        f"{name}: {where} does not say the same of {' and '.join(names)} on the mesh of the source and on that of the target, "
        "or with their options; convert the checkpoint to the other layout and back"
    )


def _said_values(item: Group | Tail) -> dict[tuple[int, int], Values]:
    """What a statement says of the values of its tensors, by side and position."""
    return {
        (side, position): places[0].values
        for side, slots in enumerate(item.sides)
        for position, places in enumerate(() if isinstance(slots, Named) else slots)
        if places and places[0].values is not None
    }


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


def _is_defaulted(slots: Slots) -> bool:
    """Whether this is one tensor that may be absent, and then stays so; several have to be there."""
    if isinstance(slots, Named) or len(slots) != 1:
        return False
    values = slots[0][0].values
    return values is not None and values.default is not None


def between_meshes(one: Recipe, other: Recipe, ranked: int) -> Recipe | None:
    """The recipe of a statement from the mesh of one recipe to that of another, of which side `ranked` has ranks.

    None where they do not cut the tensors of the other layout alike.
    """
    made = Recipe(other.where, **one.sizes)
    made.tensors = one.tensors[ranked], other.tensors[ranked]
    for side, recipe in enumerate((one, other)):
        for piece, shape in recipe.shapes.items():
            if piece.side == ranked:
                made.shapes[piece._replace(side=side)] = shape
        for piece, grids in recipe.padding.items():
            moved = piece._replace(side=side)
            if piece.side == ranked:
                made.padding[moved] = {_on_side(grid, side): None for grid in grids}
    made.pairs = _paired_grids(one, other, ranked)
    made.repetitions = repetitions(one, ranked)
    sources = SourceBlocks(one, ranked)
    for target in other.matched:
        if ranked in target.block.again:
            continue
        blocks = sources.of(target)
        if sum(prod(block.counts) for block in blocks) != prod(target.block.counts):
            return None
        for block in blocks:
            made.add(block)
    return made


def _paired_grids(one: Recipe, other: Recipe, ranked: int) -> list[tuple[Grid, Grid]]:
    """Which tensors go into which; a pair of pieces stands for those of all ranks."""
    found: dict[tuple[int, int], tuple[Grid, Grid]] = {}
    known: dict[Grid, dict[int, Grid]] = defaultdict(dict)
    for pair in one.pairs:
        known[_unrepeated(pair[1 - ranked])].setdefault(
            pair[ranked].piece.position, pair[ranked]
        )
    for pair in other.pairs:
        for position, grid in known[_unrepeated(pair[1 - ranked])].items():
            key = position, pair[ranked].piece.position
            if key not in found:
                found[key] = _on_side(grid, 0), _on_side(pair[ranked], 1)
    return list(found.values())


def _on_side(grid: Grid, side: int) -> Grid:
    return replace(grid, piece=grid.piece._replace(side=side))


def _unrepeated(grid: Grid) -> Grid:
    """A grid without repetitions, of which there may be more on another mesh."""
    counts = tuple(
        count if step else min(count, 1) for count, step in zip(grid.counts, grid.steps)
    )
    return grid if counts == grid.counts else replace(grid, counts=counts)


class SourceBlocks:
    """The blocks of a recipe that elements of the other layout are read from, by the grid there that they are parts of.

    An element that several ranks hold is read in the place that fills the other layout.
    """

    def __init__(self, recipe: Recipe, ranked: int) -> None:
        self._ranked = ranked
        self._found: dict[Grid, list[Matched]] = defaultdict(list)
        for matched in recipe.matched:
            if 1 - ranked not in matched.block.again:
                self._found[_unrepeated(matched.grids[1 - ranked])].append(matched)
        self._cuts = {grid: self._cut(grid) for grid in self._found}

    def _cut(self, grid: Grid) -> tuple[int, list[int], int]:
        """The dim that blocks are apart in, and there where each begins and the longest; they are sorted by it."""
        blocks = self._found[grid]
        dims = range(len(grid.counts))
        dim = max(dims, key=lambda d: len({b.first[d] for b in blocks}), default=-1)
        if dim < 0:
            return dim, [], 0
        blocks.sort(key=lambda matched: matched.first[dim])
        longest = max(matched.block.counts[dim] for matched in blocks)
        return dim, [matched.first[dim] for matched in blocks], longest

    def of(self, target: Matched) -> list[Block]:
        """The blocks of all elements that a block of the target shares with the source."""
        grid = _unrepeated(target.grids[1 - self._ranked])
        blocks = self._found.get(grid, [])
        dim, begins, longest = self._cuts.get(grid, (-1, [], 0))
        if dim >= 0 and grid.steps[dim]:
            begin = target.first[dim]
            low = bisect_left(begins, begin - longest + 1)
            high = bisect_left(begins, begin + target.block.counts[dim])
            blocks = blocks[low:high]
        found = (_shared_block(grid, one, target, self._ranked) for one in blocks)
        return [block for block in found if block is not None]


def repetitions(recipe: Recipe, side: int) -> list[Block]:
    """The blocks of a side whose elements others of it are read for: parts of these, and there."""
    if recipe.repetitions is not None:
        return recipe.repetitions
    if not recipe.repeats(side):
        return []
    sources = SourceBlocks(recipe, side)
    return [
        block
        for matched in recipe.matched
        if matched.block.again == {1 - side}
        for block in sources.of(matched)
    ]


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
