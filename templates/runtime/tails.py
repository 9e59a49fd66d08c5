"""Tails: tensors that no statement and no drop takes by name, as groups of their own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from .checks import Source
from .errors import ConversionError
from .mapping import Drop, Group, Item, Make, Named, Place, Slots, Tail, holds
from .patterns import At, Patterns, filled, standing
from .shapes import Recipes


class Tails:
    """The tails of a map on one config. `items` are all of its statements, `ranks` those of the target."""

    def __init__(
        self, items: list[Item], target: int, ranks: list[Any], recipes: Recipes
    ) -> None:
        self.items = items
        self.target = target
        self.ranks = ranks
        self.recipes = recipes
        self._made: dict[int, dict[str, Group]] = {
            n: {} for n, item in enumerate(items) if isinstance(item, Tail)
        }
        self._numbers = {id(items[n]): n for n in self._made}
        self._tails = [Patterns(self._places(side)) for side in (0, 1)]
        drops = [
            (n, item.place)
            for n, item in enumerate(items)
            if isinstance(item, Drop) and item.side == target
        ]
        self._drops = Patterns(drops)
        self._best: dict[tuple[int, tuple[At, ...], str], tuple[int, str] | None] = {}
        self._holders: dict[At, list[Any]] = {}

    def take(self, source: Source) -> bool:
        """Whether a tail takes a tensor of the source; ConversionError where it would not come back."""
        if not self._made:
            return False
        best = self._best_of(1 - self.target, source.rank, source.name)
        if best is None:
            return False
        number, text = best
        if text not in self._made[number]:
            tail = self.items[number]
            assert isinstance(tail, Tail), "numbered with the tails"
            group = tail_group(tail, text, self.recipes)
            self._made[number][text] = group
            for place in _flat(group.sides[self.target]):
                self._check(source, best, place)
        return True

    def groups_of(self, tail: Tail) -> list[Group]:
        """The groups of the tensors that a tail has taken."""
        return list(self._made[self._numbers[id(tail)]].values())

    def _places(self, side: int) -> Iterator[tuple[int, Place]]:
        """The names of the tails of a side."""
        for number in self._made:
            item = self.items[number]
            assert isinstance(item, Tail), "numbered with the tails"
            yield from _numbered(number, item.sides[side])

    @cached_property
    def _named(self) -> Patterns:
        """The names of the target in statements, those of what is made among them."""
        return Patterns(
            named
            for number, item in enumerate(self.items)
            for named in _numbered(number, _stated_tensors(item, self.target))
        )

    def _best_of(self, side: int, rank: Any, name: str) -> tuple[int, str] | None:
        """The tail with the most literal text that has a name, and what `**` stands for in it."""
        patterns = self._tails[side]
        key = side, patterns.ats(rank), name
        if key not in self._best:
            self._best[key] = self._search(side, rank, name)
        return self._best[key]

    def _search(self, side: int, rank: Any, name: str) -> tuple[int, str] | None:
        found: dict[tuple[int, str], int] = {}
        for number in self._tails[side].of(rank, name):
            item = self.items[number]
            assert isinstance(item, Tail), "numbered with the tails"
            for place in _flat(item.sides[side]):
                for pattern in place.names if holds(rank, place) else ():
                    text = standing(pattern, name)
                    if text is not None:
                        found[number, text] = len(pattern)
        most = max(found.values(), default=0)
        best = [key for key, length in found.items() if length == most]
        if len(best) > 1:
            one, other = (self._where(number) for number, _ in best[:2])
            raise ConversionError(
                f"{Source(rank, name)}: {one} and {other} take it alike; "
                "the tail with more literal text in its name would"
            )
        return best[0] if best else None

    def _check(self, source: Source, best: tuple[int, str], place: Place) -> None:
        """The tensor comes back by the same tail: nothing else owns the name that it is written under."""
        for rank in self._telling(place):
            said = self._other_owner(rank, place.name, best)
            if said is not None:
                raise ConversionError(
                    f"{source}: {self._where(best[0])} takes it to {Source(rank, place.name)}, which {said}"
                )

    def _other_owner(self, rank: Any, name: str, best: tuple[int, str]) -> str | None:
        """What else is done to a name of the target than by this tail; None for nothing."""
        if named := self._named.of(rank, name):
            return f"{self._where(named[0])} writes"
        if dropped := self._drops.of(rank, name):
            return f"{self._where(dropped[0])} leaves behind coming back"
        back = self._best_of(self.target, rank, name)
        if back == best:
            return None
        by = "no tail" if back is None else self._where(back[0])
        return f"{by} takes coming back"

    def _telling(self, place: Place) -> list[Any]:
        """Ranks that hold a place, one of all that hold the same other places."""
        at = tuple(place.at.items())
        if at not in self._holders:
            found: dict[tuple[tuple[At, ...], ...], Any] = {}
            for rank in self.ranks:
                if holds(rank, place):
                    kinds = (self._named, self._drops, self._tails[self.target])
                    found.setdefault(tuple(kind.ats(rank) for kind in kinds), rank)
            self._holders[at] = list(found.values())
        return self._holders[at]

    def _where(self, number: int) -> str:
        item = self.items[number]
        if isinstance(item, (Group, Make)):
            return item.recipe.where
        return item.where


def _numbered(number: int, slots: Slots) -> Iterator[tuple[int, Place]]:
    for place in _flat(slots):
        for name in place.names:
            yield number, place if name == place.name else place._replace(name=name)


def _stated_tensors(item: Item, side: int) -> Slots:
    """The tensors of a side that a statement names; what is made is stated, too."""
    if isinstance(item, Make):
        return item.tensor if item.side == side else ()
    return item.sides[side] if isinstance(item, Group) else ()


def tail_group(tail: Tail, text: str, recipes: Recipes) -> Group:
    """The tensor for which `**` stands for a text."""
    left, right = (_filled(slots, text) for slots in tail.sides)
    return Group(recipes.whole(tail.where, left, right), left, right)


def _filled(slots: Slots, text: str) -> Slots:
    if isinstance(slots, Named):
        names = [
            filled(name, text) if isinstance(name, str) else _all_filled(name, text)
            for name in slots.names
        ]
        return Named(tuple(names), slots.at)
    return tuple(
        tuple(_one_filled(place, text) for place in places) for places in slots
    )


def _one_filled(place: Place, text: str) -> Place:
    spellings = _all_filled(place.spellings, text)
    return place._replace(name=filled(place.name, text), spellings=spellings)


def _all_filled(names: tuple[str, ...], text: str) -> tuple[str, ...]:
    return tuple(filled(name, text) for name in names)


def _flat(slots: Slots) -> list[Place]:
    return [place for places in slots for place in places]
