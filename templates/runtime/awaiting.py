"""What a stream waits for: the statements that read its source, and which tensors each of them lacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from .checks import Source
from .grid import Piece
from .mapping import Group, Item, Make, Place, holds
from .patterns import At, Patterns
from .shapes import Holders

Reader: TypeAlias = "Group | Make"  # a statement that reads; a make compares


class FedHolders(Holders):
    """The ranks that hold a place, as far as theirs has come; all of them where none has."""

    def __init__(self, found: Mapping[Any, Mapping[str, Any]]) -> None:
        super().__init__(list(found))
        self._tensors = found

    def of(self, place: Place, piece: At = ()) -> list[Any]:
        """The ranks with these coordinates that the tensor has come from, else all that may hold it."""
        ranks = super().of(place, piece)
        return [rank for rank in ranks if self._has(place, rank)] or ranks

    def fed(self, place: Place, piece: Piece) -> bool:
        """Whether a place has come from a rank that holds this piece."""
        ranks = super().of(place, piece.at)
        return any(self._has(place, rank) for rank in ranks)

    def _has(self, place: Place, rank: Any) -> bool:
        return any(name in self._tensors[rank] for name in place.names)


class Awaited:
    """Statements that read a source, by number; open until their targets are made."""

    def __init__(
        self,
        items: list[Reader],
        side: int,
        rank: Any,
        found: Mapping[Any, Mapping[str, Any]],
    ) -> None:
        self.items: list[Reader] = []
        self.holders = FedHolders(found)
        self._side, self._rank = side, rank
        self._names = Patterns(())
        self._open: dict[int, None] = {}
        self._added: set[int] = set()
        self.add(items)

    def add(self, items: Iterable[Reader]) -> None:
        """Number the statements that are new; one is open where the rank of the target gets something of it."""
        for item in items:
            if id(item) in self._added:
                continue
            self._added.add(id(item))  # which stays its own, since the item is kept
            number = len(self.items)
            self.items.append(item)
            if self._is_wanted(item):
                self._open[number] = None
            for place in _flat_places(_group_of(item).sides[self._side]):
                for name in place.names:
                    self._names.add(number, place._replace(name=name, spellings=()))

    def number_of(self, source: Source) -> int | None:
        """The statement that reads a tensor."""
        return next(iter(self._names.of(*source)), None)

    def groups(self) -> list[Group]:
        """The groups of all statements."""
        return [_group_of(item) for item in self.items]

    def open_numbers(self) -> list[int]:
        """The statements that are open, in order."""
        return list(self._open)

    def is_open(self, number: int) -> bool:
        """Whether the targets of a statement are still to be made."""
        return number in self._open

    def finish(self, number: int) -> None:
        """The targets of a statement are made."""
        del self._open[number]

    def optional(self, number: int) -> bool:
        """Whether a source may do without what a statement reads."""
        item = self.items[number]
        return isinstance(item, Make) or item.optional

    def is_unmeasured(self, number: int) -> bool:
        """Whether nothing has said the shapes of a statement so far."""
        return None in _group_of(self.items[number]).recipe.shapes.values()

    def measure(self, number: int, items: list[Reader]) -> None:
        """Take a statement anew from all of them, whose sizes have been measured."""
        if number < len(items):  # else it is of a tail, whose tensors are whole
            self.items[number] = items[number]

    def lacks(self, number: int, at_end: bool) -> list[Source]:
        """What a statement waits for; at the end neither for other names of what is there, nor where there is a default."""
        group, lacks = _group_of(self.items[number]), []
        for piece, *_ in group.recipe.stored(self._side):
            places = group.sides[self._side][piece.position]
            fed = [self.holders.fed(place, piece) for place in places]
            values = places[0].values
            spare = any(fed) or (values is not None and values.default is not None)
            if not all(fed) and not (at_end and spare):
                place = places[fed.index(False)]
                rank = self.holders.of(place, piece.at)[0]
                lacks.append(Source(rank, place.name))
        return lacks

    def _is_wanted(self, item: Reader) -> bool:
        if isinstance(item, Make):
            return not item.lossy
        places = _flat_places(item.sides[1 - self._side])
        return any(holds(self._rank, place) for place in places)


def read_by(items: Iterable[Item], side: int) -> list[Reader]:
    """The statements that read tensors of a side by their names."""
    return [
        item
        for item in items
        if isinstance(item, Group) or (isinstance(item, Make) and item.side == side)
    ]


def _group_of(item: Reader) -> Group:
    return item.group if isinstance(item, Make) else item


def _flat_places(slots: Iterable[tuple[Place, ...]]) -> Iterator[Place]:
    return (place for places in slots for place in places)
