"""Transfers: from which elements of which source tensors each tensor of the target comes.

They are worked out from groups whose sources have been checked. What is the same for all layers and experts of a
statement is worked out once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

from .checks import Checked, Source, named_in
from .errors import ConversionError
from .fills import Filled
from .grid import Counts, Piece, index_of
from .layouts import Converter
from .mapping import Group, Place, holds
from .patterns import At
from .recipe import Copy, Filling, Recipe
from .shapes import Holders
from .values import Change, Stored, config_dtype, written_values

# A name that is written: its number in the order of the statements, its group, position there and place.
Slot: TypeAlias = "tuple[int, Checked, int, Place]"


class Transfer(NamedTuple):
    """One target tensor: its sources, the blocks that fill it and those that are zeros.

    `changes` has one for each source, or is empty where every element is moved as it is. `dtype` is the target's;
    `fixed`: whatever --dtype says.
    """

    where: str
    name: str
    shape: Counts
    sources: tuple[Source, ...]
    copies: tuple[Copy, ...]
    zeros: tuple[Copy, ...]
    dtype: Any
    changes: tuple[Change, ...] = ()
    fixed: bool = False


def origin_of(transfer: Transfer, number: int) -> tuple[Source, int] | None:
    """The source of an element of a target, and the number of that element there; None where it is padding."""
    for copy in transfer.copies:
        rest, at = number - copy.offset, copy.start
        for stride, step, count in zip(copy.strides, copy.steps, copy.counts):
            index, rest = divmod(rest, stride)
            at += step * index
            if not 0 <= index < count:
                break
        else:
            if rest == 0:
                return transfer.sources[copy.source], at
    return None


def made_differs(
    source: Source, transfer: Transfer, at: int, made: Any, stored: Any
) -> ConversionError:
    """The error for a tensor of the source that does not have the values that the map makes, from element `at` on."""
    return ConversionError(
        f"{source}: element {index_of(at, transfer.shape)}: expected {made.item()}, which the map makes, found {stored.item()} "
        f"({transfer.where}); with `lossy` behind the `make` it is left behind"
    )


class NamedSource(NamedTuple):
    """A tensor of the source, for messages, which name its file as well."""

    found: Mapping[Any, Mapping[str, Any]]
    source: Source

    def __str__(self) -> str:
        return named_in(self.found, self.source)


class Target(NamedTuple):
    """A tensor of a statement as one rank holds it, whatever its name.

    `numbers` are its sources among the pieces of the other side; None where they are all of them, in order.
    """

    piece: Piece
    shape: Counts
    filling: Filling
    numbers: tuple[int, ...] | None


class Transfers:
    """Works out transfers into one side of a map."""

    def __init__(
        self,
        converter: Converter,
        target: int,
        config: Any,
        found: Mapping[Any, Mapping[str, Any]],
        holders: Holders,
    ) -> None:
        self.converter = converter
        self.target = target
        self.config = config
        self.found = found
        self._holders = holders
        self._wholes: dict[tuple[int, int, int], tuple[Group, tuple[Stored, ...]]] = {}

    def of_ranks(
        self, groups: Iterable[Checked], ranks: Iterable[Any]
    ) -> Iterator[tuple[Any, list[Transfer]]]:
        """What each rank of the target gets of these groups, in their order; no name is written twice."""
        slots = _by_coordinates(groups, self.target)
        for rank in ranks:
            yield rank, self._of_rank(_held(slots, rank), rank)

    def _of_rank(self, slots: list[Slot], rank: Any) -> list[Transfer]:
        targets: dict[tuple[Recipe, int], Target] = {}
        written: dict[str, Transfer] = {}
        for _, checked, position, place in slots:
            group = checked.group
            key = group.recipe, position
            target = targets.get(key)
            if target is None:
                target = targets[key] = _target_of(group, self.target, position, rank)
            transfer = (
                _moved(checked, target, place)
                if checked.sources and target.filling.sources and place.values is None
                else self._worked_out(group, target, place)
            )
            other = written.setdefault(place.name, transfer)
            if other is not transfer:
                raise ConversionError(
                    f"{Source(rank, place.name)}: written twice, by {other.where} and by {transfer.where}"
                )
        return list(written.values())

    def of_group(self, group: Group, side: int, rank: Any) -> Iterator[Transfer]:
        """The tensors of one rank that a group fills on a side."""
        for position, places in enumerate(group.sides[side]):
            for place in places:
                if holds(rank, place):
                    target = _target_of(group, side, position, rank)
                    yield self._worked_out(group, target, place)

    def _worked_out(self, group: Group, target: Target, place: Place) -> Transfer:
        """The transfer of any tensor; ConversionError where nothing says its dtype or it cannot be computed."""
        where, filling = group.recipe.where, target.filling
        sources = tuple(self._source(group, piece) for piece in filling.sources)
        stored = tuple(
            self._stored(group, place, piece, source)
            for piece, source in zip(filling.sources, sources)
        )
        written = written_values(
            where,
            place.name,
            stored,
            self._whole(group, target.piece, place),
            place.values,
            self._config_dtype,
        )
        return Transfer(
            where,
            place.name,
            target.shape,
            sources,
            filling.copies,
            filling.zeros,
            written.dtype,
            written.changes,
            written.fixed,
        )

    def _source(self, group: Group, piece: Piece) -> Source:
        """Where a piece is read: under the first of its names that is there, or of all where it is absent."""
        places = group.sides[piece.side][piece.position]
        ranks = [self._holders.of(place, piece.at)[0] for place in places]
        sources = [Source(rank, place.name) for rank, place in zip(ranks, places)]
        return next((s for s in sources if s.name in self.found[s.rank]), sources[0])

    def _whole(self, group: Group, target: Piece, place: Place) -> tuple[Stored, ...]:
        """What goes into a target on any of its ranks, one piece of each tensor: shards of a tensor have one dtype."""
        key = id(group), target.side, target.position
        if key not in self._wholes:
            pieces = group.recipe.goes_into(target.side, target.position)
            stored = tuple(
                self._stored(group, place, piece, self._source(group, piece))
                for piece in pieces
            )
            self._wholes[key] = (
                group,
                stored,
            )  # with the group, or its id may come again
        return self._wholes[key][1]

    def _stored(
        self, group: Group, target: Place, piece: Piece, source: Source
    ) -> Stored:
        """A source, or what stands in its place."""
        values = group.sides[piece.side][piece.position][0].values
        tensor = self.found[source.rank].get(source.name)
        if tensor is not None:
            return Stored(NamedSource(self.found, source), tensor.dtype, values)
        shape = group.recipe.shapes[piece]
        assert shape is not None, "a tensor of any shape is never absent"
        assert values is not None and values.default is not None, "its absence is found"
        sharded = (self.converter.left, self.converter.right)[piece.side].file
        name = source.name if sharded is None else target.name
        filled = Filled(values.default, shape, name, sharded is not None)
        return Stored(source, None, values, filled)

    def _config_dtype(self) -> str | None:
        """The dtype that the target's config says."""
        sides = (self.converter.left, self.converter.right)
        return config_dtype(sides[self.target].write(self.config))


def _by_coordinates(groups: Iterable[Checked], side: int) -> dict[At, list[Slot]]:
    """The names of a side, apart by the mesh coordinates that they need: few, where ranks are many."""
    found: dict[At, list[Slot]] = {}
    number = 0
    for checked in groups:
        for position, places in enumerate(checked.group.sides[side]):
            for place in places:
                at = tuple(place.at.items()) if place.at else ()
                slots = found.get(at)
                if slots is None:
                    slots = found[at] = []
                slots.append((number, checked, position, place))
                number += 1
    return found


def _held(slots: dict[At, list[Slot]], rank: Any) -> list[Slot]:
    """The names that a rank holds, in order."""
    own = [alike for alike in slots.values() if holds(rank, alike[0][3])]
    return own[0] if len(own) == 1 else sorted(chain(*own), key=lambda slot: slot[0])


def _target_of(group: Group, side: int, position: int, rank: Any) -> Target:
    recipe = group.recipe
    piece = recipe.piece(side, position, rank)
    filling, shape = recipe.filling(piece), recipe.shapes[piece]
    assert shape is not None, "its source was checked"
    every = [stated.piece for stated in recipe.stored(1 - side)]
    whole = list(filling.sources) == every
    numbers = None if whole else tuple(map(every.index, filling.sources))
    return Target(piece, shape, filling, numbers)


def _moved(checked: Checked, target: Target, place: Place) -> Transfer:
    """The transfer of a tensor whose elements are moved as they are."""
    sources, (_, shape, filling, numbers) = checked.sources, target
    if numbers is not None:
        sources = tuple([sources[number] for number in numbers])
    where, dtype = checked.group.recipe.where, checked.dtype
    copies, zeros = filling.copies, filling.zeros
    return Transfer(where, place.name, shape, sources, copies, zeros, dtype)
