"""What the statements of a mapping part are made of: places, groups of tensors with their recipe, makes, drops, tails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from .errors import ConversionError
from .fills import Fill
from .recipe import Recipe
from .values import Step, Values


class Place(NamedTuple):
    """A tensor's name, and the mesh coordinates that it needs (the others hold copies).

    `spellings` are other names under which a source may have it. `values` are the same for all names of a tensor; None where they are stored as the equation states them.
    """

    name: str
    at: Mapping[str, int]
    values: Values | None = None
    spellings: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every spelling, the one that is written first."""
        return self.name, *self.spellings


# The tensors of a side of a statement, each under one name or under several that are tied.
Slots: TypeAlias = "tuple[tuple[Place, ...], ...] | Named"


class Named:
    """Tensors of one name each, with the same mesh coordinates; they are places once these are asked for.

    A name with several spellings is a tuple of them.
    """

    __slots__ = ("at", "names")

    def __init__(
        self, names: tuple[str | tuple[str, ...], ...], at: Mapping[str, int]
    ) -> None:
        self.names = names
        self.at = at

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[Place, ...]]:
        return iter([(self._place(name),) for name in self.names])

    def __getitem__(self, position: int) -> tuple[Place, ...]:
        return (self._place(self.names[position]),)

    def _place(self, name: str | tuple[str, ...]) -> Place:
        if isinstance(name, str):
            return Place(name, self.at)
        return Place(name[0], self.at, None, name[1:])


class Group(NamedTuple):
    """A statement for one value of its loops. A tensor with several places is tied: one tensor, many names.

    Optional: its tensors are there all together or not at all.
    """

    recipe: Recipe
    left: Slots
    right: Slots
    optional: bool = False

    @property
    def sides(self) -> tuple[Slots, Slots]:
        """Both, by number."""
        return self.left, self.right


class Make(NamedTuple):
    """A tensor of one side that the other does not have: its values are made, and compared when it is read.

    Lossy: it is not compared.
    """

    recipe: Recipe
    side: int
    tensor: Slots
    fill: Fill
    lossy: bool = False

    @property
    def group(self) -> Group:
        """The tensor beside one that is absent and has these values."""
        absent = ((Place("", {}, Values(default=self.fill)),),)
        sides = (absent, self.tensor) if self.side else (self.tensor, absent)
        return Group(self.recipe, *sides)


class Drop(NamedTuple):
    """Tensors left behind on purpose; `**` in the name stands for any components."""

    where: str
    side: int
    place: Place


class Tail(NamedTuple):
    """Every tensor of these names that no statement and no drop takes, unchanged; `**` stands for any components."""

    where: str
    left: Slots
    right: Slots

    @property
    def sides(self) -> tuple[Slots, Slots]:
        """Both, by number."""
        return self.left, self.right


Item: TypeAlias = "Group | Make | Drop | Tail"


MOST_NUMBERS = 2**16


def numbers(what: str, count: int) -> range:
    """The values of an index that stands in the names of one statement; `what` is how the map writes their count."""
    if count > MOST_NUMBERS:
        raise ConversionError(
            f"{what}: expected at most {MOST_NUMBERS} values of an index in names, found {count}"
        )
    return range(count)


def places(*names: str | tuple[str, ...], when: bool = True, **at: int) -> Slots:
    """Tensors of one name each, on the ranks with these mesh coordinates; none where not `when`.

    Of several spellings of a name the first is written.
    """
    return Named(names, at) if when else ()


def names_of(slots: Slots) -> list[str]:
    """Every spelling of all names."""
    if isinstance(slots, Named):
        plain = [name for name in slots.names if isinstance(name, str)]
        if len(plain) == len(slots.names):
            return plain
    return [name for places in slots for place in places for name in place.names]


def tied(*names: Slots) -> Slots:
    """One tensor under all of these names."""
    return (tuple(place for slots in names for slot in slots for place in slot),)


def computed(tensors: Slots, *steps: Step) -> Slots:
    """The same tensors; the equation is about what these steps make of their elements."""
    return _with_values(tensors, steps=steps)


def fixed(tensors: Slots, dtype: str) -> Slots:
    """The same tensors, which are always stored in this dtype."""
    return _with_values(tensors, dtype=dtype)


def defaulted(tensors: Slots, function: str, *arguments: Any) -> Slots:
    """The same tensors, which have these values where they are absent."""
    return _with_values(tensors, default=Fill(function, arguments))


def _with_values(tensors: Slots, **said: Any) -> Slots:
    return tuple(
        tuple(
            place._replace(values=(place.values or Values())._replace(**said))
            for place in places
        )
        for places in tensors
    )


def holds(rank: Any, place: Place) -> bool:
    """Whether a rank holds a copy of the tensor."""
    return all(getattr(rank, dim) == at for dim, at in place.at.items())
