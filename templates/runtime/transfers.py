"""Transfers: from which elements of which source tensors each tensor of the target comes.

They are worked out from groups whose sources have been checked. What is the same for all layers and experts of a
statement is worked out once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from .checks import Source
from .errors import ConversionError
from .fills import Filled
from .grid import Counts, Piece
from .mapping import Converter, Group, Holders, Place, holds
from .patterns import At
from .recipe import Copy, Filling, Recipe
from .values import Change, Stored, config_dtype, written_values

# A name that is written: its number in the order of the statements, group, position there, place.
Slot: TypeAlias = "tuple[int, Group, int, Place]"


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


def made_differs(
    source: Source, transfer: Transfer, at: int, made: Any, stored: Any
) -> ConversionError:
    """The error for a tensor of the source that does not have the values that the map makes, from element `at` on."""
    index: list[int] = []
    for size in reversed(transfer.shape):
        at, position = divmod(at, size)
        index.insert(0, position)
    return ConversionError(
        f"{source}: element {index}: expected {made.item()}, which the map makes, found {stored.item()} "
        f"({transfer.where}); with `lossy` behind the `make` it is left behind"
    )


class Target(NamedTuple):
    """A tensor of a statement as one rank holds it, whatever its name; `shared`: its other parts lie on other ranks."""

    piece: Piece
    shape: Counts
    filling: Filling
    shared: bool


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
        self, groups: Iterable[Group], ranks: Iterable[Any]
    ) -> Iterator[tuple[Any, list[Transfer]]]:
        """What each rank of the target gets of these groups, in their order; no name is written twice."""
        slots = _by_coordinates(groups, self.target)
        for rank in ranks:
            yield rank, self._of_rank(_held(slots, rank), rank)

    def _of_rank(self, slots: list[Slot], rank: Any) -> list[Transfer]:
        targets: dict[tuple[Recipe, int], Target] = {}
        written: dict[str, Transfer] = {}
        for _, group, position, place in slots:
            key = group.recipe, position
            target = targets.get(key)
            if target is None:
                target = targets[key] = _target_of(group, self.target, position, rank)
            transfer = self._moved(group, target, place)
            if transfer is None:
                transfer = self._worked_out(group, target, place)
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

    def _moved(self, group: Group, target: Target, place: Place) -> Transfer | None:
        """The transfer of a tensor whose elements are moved as they are; None where there is more to it."""
        if target.shared or place.values is not None:
            return None
        slots, filling = group.sides[1 - target.piece.side], target.filling
        sources, dtypes = [], []
        for piece in filling.sources:
            places = slots[piece.position]
            source = places[0]
            rank = self._holders.of(source, piece.at)[0]
            tensor = self.found[rank].get(source.name)
            if len(places) > 1 or source.values is not None or tensor is None:
                return None
            sources.append(Source(rank, source.name))
            dtypes.append(tensor.dtype)
        if not dtypes or dtypes.count(dtypes[0]) < len(dtypes):
            return None
        return Transfer(
            group.recipe.where,
            place.name,
            target.shape,
            tuple(sources),
            filling.copies,
            filling.zeros,
            dtypes[0],
        )

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
            return Stored(source, tensor.dtype, values)
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


def _by_coordinates(groups: Iterable[Group], side: int) -> dict[At, list[Slot]]:
    """The names of a side, apart by the mesh coordinates that they need: few, where ranks are many."""
    found: dict[At, list[Slot]] = {}
    number = 0
    for group in groups:
        for position, places in enumerate(group.sides[side]):
            for place in places:
                at = tuple(place.at.items()) if place.at else ()
                slots = found.get(at)
                if slots is None:
                    slots = found[at] = []
                slots.append((number, group, position, place))
                number += 1
    return found


def _held(slots: dict[At, list[Slot]], rank: Any) -> list[Slot]:
    """The names that a rank holds, in order."""
    own = [alike for alike in slots.values() if holds(rank, alike[0][3])]
    return own[0] if len(own) == 1 else sorted(chain(*own), key=itemgetter(0))


def _target_of(group: Group, side: int, position: int, rank: Any) -> Target:
    recipe = group.recipe
    piece = recipe.piece(side, position, rank)
    filling, shape = recipe.filling(piece), recipe.shapes[piece]
    assert shape is not None, "its source was checked"
    here = {source.position for source in filling.sources}
    every = {source.position for source in recipe.goes_into(side, position)}
    return Target(piece, shape, filling, not every <= here)
