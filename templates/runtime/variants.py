"""Variants: which alternative a source is stored in, read off its names and then off its shapes.

Where neither tells two alternatives apart that read the source differently, the caller has to say which it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from .errors import ConversionError
from .grid import Piece
from .layouts import Converter
from .mapping import Drop, Group, Item, Make, Place, Tail, names_of
from .patterns import Patterns
from .shapes import Holders, Shapes
from .spelling import statements


class Reading:
    """What one alternative makes of a source, as far as it can be worked out; `items` yields its statements.

    Their names are kept, by side, and all that is no group. The groups are worked out again when they are asked for,
    since they are many, and are kept only where `keep` is set. `bound`: they hold for these shapes.
    """

    def __init__(
        self, items: Callable[[Shapes], Iterator[Item]], shapes: Shapes, keep: bool
    ) -> None:
        self._items = items
        self._shapes = Shapes(shapes.side, shapes.found, shapes.prefix, shapes.most)
        self.stated: tuple[set[str], set[str]] = (set(), set())
        self.others: list[Item] = []
        self.kept: list[Item] | None = [] if keep else None
        self.failed = False
        left, right = self.stated
        for item in self._each():
            if self.kept is not None:
                self.kept.append(item)
            if not isinstance(item, Group):
                self.others.append(item)
                continue
            left.update(names_of(item.left))
            right.update(names_of(item.right))
        self.bound = self._shapes.asked

    def _each(self) -> Iterator[Item]:
        """The statements before the first that cannot be worked out, which is told where it is converted."""
        try:
            yield from self._items(self._shapes)
        except ConversionError:
            self.failed = True

    @property
    def groups(self) -> list[Group]:
        """Its statements."""
        items = self._each() if self.kept is None else self.kept
        return [item for item in items if isinstance(item, Group)]

    @property
    def tails(self) -> list[Tail]:
        """Its tails."""
        return [item for item in self.others if isinstance(item, Tail)]


class Readings:
    """Reads a source in several ways, each once. `shapes` are those that sizes are measured on."""

    def __init__(self, converter: Converter, mesh: Any, shapes: Shapes) -> None:
        self.converter = converter
        self.mesh = mesh
        self.shapes = shapes
        self._made: dict[tuple[str, ...], Reading] = {}

    def of(self, config: Any) -> Reading:
        """What a config makes of the source; a variant that nothing is said of has its first alternative."""
        variants = self.converter.variants.items()
        key = tuple(getattr(config, name) or choices[0] for name, choices in variants)
        if key not in self._made:
            items = partial(statements, self.converter, config, self.mesh)
            # The first is most often the one that is converted.
            self._made[key] = Reading(items, self.shapes, not self._made)
        return self._made[key]


def detected(
    converter: Converter, shapes: Shapes, config: Any, mesh: Any, prefix: str
) -> tuple[Any, list[Item] | None]:
    """The config with every variant that the source decides; `shapes` are those of the source.

    And its statements, where they have been worked out on the way. Names overrule what the config says.
    ConversionError where names contradict each other, or where nothing says which of several alternatives it is.
    """
    found, side = shapes.found or {}, shapes.side or 0
    names = set().union(*found.values()) if converter.variants else set()
    names_only = Shapes(shapes.side, None, prefix, shapes.most)
    by_names = Readings(converter, mesh, names_only)
    open_: dict[str, dict[str, Reading]] = {}
    for variant, choices in converter.variants.items():
        if not names and getattr(config, variant) is not None:
            continue  # a choice that nothing can overrule
        readings = _read_each(by_names, config, variant, choices)
        fitting = _by_names(variant, readings, side, names)
        if getattr(config, variant) not in fitting:
            chosen = fitting[0] if len(fitting) == 1 else None
            config = replace(config, **{variant: chosen})
        if getattr(config, variant) is None:
            open_[variant] = {choice: readings[choice] for choice in fitting}
    for variant, readings in open_.items():
        chosen = next(iter(readings))
        if not _same_source(list(readings.values()), side):
            again = Readings(converter, mesh, Shapes(side, shapes.found, prefix))
            readings = _read_each(again, config, variant, readings)
            chosen = _by_shapes(variant, readings, Shapes(side, shapes.found))
        config = replace(config, **{variant: chosen})
    last = by_names.of(config) if converter.variants else None
    return config, None if last is None or last.failed or last.bound else last.kept


def _read_each(
    readings: Readings, config: Any, variant: str, choices: Iterable[str]
) -> dict[str, Reading]:
    """What each alternative makes of a source."""
    return {
        choice: readings.of(replace(config, **{variant: choice})) for choice in choices
    }


def _by_names(
    variant: str, readings: Mapping[str, Reading], side: int, names: set[str]
) -> list[str]:
    """The alternatives that own every name of the source that not all of them have."""
    own = {choice: _named(one, side) for choice, one in readings.items()}
    if any(one.tails for one in readings.values()):
        rest = names.difference(*own.values())
        for choice, one in readings.items():
            own[choice] = own[choice] | _taken(one.others, side, rest)
    every, shared = set[str]().union(*own.values()), set.intersection(*own.values())
    if len(every) == len(shared):
        return list(own)
    telling = (every - shared) & names
    fitting = [choice for choice in own if telling <= own[choice]]
    if fitting:
        return fitting
    best = max(own, key=lambda choice: len(telling & own[choice]))
    other = min(telling - own[best])
    of = next(choice for choice in own if other in own[choice])
    raise ConversionError(
        f"{min(telling & own[best])} belongs to {variant}={best} and {other} to {variant}={of}; "
        f"expected the names of one of {', '.join(own)}"
    )


def _named(reading: Reading, side: int) -> set[str]:
    """The names of a side that an alternative states, those that it makes among them."""
    made = {
        name
        for item in reading.others
        if isinstance(item, Make) and item.side == side
        for places in item.tensor
        for place in places
        for name in place.names
    }
    return reading.stated[side] | made if made else reading.stated[side]


def _said(reading: Reading, side: int) -> dict[str, object]:
    """What is done to each tensor of a side: its axes and values, or those of the tail that takes it."""
    found: dict[str, object] = {}
    for group in reading.groups:
        for position, places in enumerate(group.sides[side]):
            axes = group.recipe.tensors[side].get(position)
            for place in places:
                said = axes and axes.formula, place.values
                found.update(dict.fromkeys(place.names, said))
    for tail in reading.tails:
        for place in (place for places in tail.sides[side] for place in places):
            found.update(dict.fromkeys(place.names, place.values))
    return found


def _taken(others: list[Item], side: int, names: set[str]) -> set[str]:
    """The names, stated by no alternative, that the tails among its items take and the drops do not."""
    tails = [
        place
        for item in others
        if isinstance(item, Tail)
        for places in item.sides[side]
        for place in places
    ]
    drops = [
        item.place for item in others if isinstance(item, Drop) and item.side == side
    ]
    taking, leaving = (
        Patterns(
            (0, place._replace(name=name, at={}))
            for place in places
            for name in place.names
        )
        for places in (tails, drops if tails else [])
    )
    return {n for n in names if taking.of(None, n) and not leaving.of(None, n)}


def _same_source(readings: list[Reading], side: int) -> bool:
    """Whether alternatives differ in the target alone: in its names, or in its axes and not in the source's."""
    first, *others = readings
    for other in others:
        if _written(first, 1 - side) != _written(other, 1 - side):
            continue
        source, target = (
            [_said(one, n) for one in (first, other)] for n in (side, 1 - side)
        )
        if source[0] != source[1] or target[0] == target[1]:
            return False
    return True


def _written(reading: Reading, side: int) -> set[str]:
    """The names of a side in the statements and the tails of an alternative."""
    tails = {
        name
        for tail in reading.tails
        for places in tail.sides[side]
        for place in places
        for name in place.names
    }
    return reading.stated[side] | tails if tails else reading.stated[side]


def _by_shapes(variant: str, readings: Mapping[str, Reading], shapes: Shapes) -> str:
    """The first alternative that fits the shapes of the source, if all that fit read it alike."""
    side = shapes.side or 0
    own = {
        choice: {_key(group): group for group in one.groups}
        for choice, one in readings.items()
    }
    shared = set.intersection(*(set(keys) for keys in own.values()))
    differing = {
        choice: [group for key, group in keys.items() if key not in shared]
        for choice, keys in own.items()
    }
    holders = Holders(list(shapes.found or ()))
    fitting = [
        choice
        for choice in readings
        if not readings[choice].failed
        and all(_fits(group, side, shapes, holders) for group in differing[choice])
    ]
    first = (fitting or list(readings))[0]
    for other in fitting[1:]:
        if _same_source([readings[first], readings[other]], side):
            continue
        one, two = (
            {
                **_moves(
                    [g for g in differing[choice] if _there(g, side, shapes)], shapes
                ),
                **_tail_moves(readings[choice], shapes),
            }
            for choice in (first, other)
        )
        if one != two:
            odd = min(n for n in {**one, **two} if one.get(n) != two.get(n))
            raise ConversionError(
                f"{variant}: {first} and {other} take other elements of the source to {odd}, and neither names "
                f"nor shapes tell which it is; say {variant}={first} or {variant}={other}"
            )
    return first


def _key(group: Group) -> object:
    """What two groups have in common that are the same statement."""
    axes = [one.formula for side in group.recipe.tensors for one in side.values()]
    names = [
        (place.names, *place.at.items(), place.values and repr(place.values))
        for slots in group.sides
        for places in slots
        for place in places
    ]
    counts = [len(places) for slots in group.sides for places in slots]
    return group.recipe.where, tuple(names), tuple(axes), tuple(counts), len(group.left)


def _there(group: Group, side: int, shapes: Shapes) -> bool:
    return shapes.first(group.sides[side]) is not None


def _fits(group: Group, side: int, shapes: Shapes, holders: Holders) -> bool:
    """Whether the tensors that are there have the shapes that a group says."""
    for piece, shape in group.recipe.shapes.items():
        if piece.side == side and shape is not None:
            for place in group.sides[side][piece.position]:
                have = _shape(place, piece, shapes, holders)
                if have not in (None, shape):
                    return False
    return True


def _shape(place: Place, piece: Piece, shapes: Shapes, holders: Holders) -> object:
    """The shape of a tensor as the first rank has it that holds a piece; None where it is not there."""
    for rank in holders.of(place, piece.at)[:1]:
        for name in place.names:
            tensor = (shapes.found or {})[rank].get(name)
            if tensor is not None:
                return tuple(tensor.shape)
    return None


def _moves(made: list[Group], shapes: Shapes) -> dict[str, object]:
    """Which elements of the source each target is made of; of tied names those that are there say which."""
    found: dict[str, object] = {}
    side = shapes.side or 0
    there = {name for tensors in (shapes.found or {}).values() for name in tensors}
    for group in made:
        source, target = group.sides[side], group.sides[1 - side]
        for piece in group.recipe.shapes:
            if piece.side != side and target[piece.position]:
                filling = group.recipe.filling(piece)
                names = [
                    [
                        (place.name, place.values)
                        for place in source[one.position]
                        if there.intersection(place.names)
                    ]
                    for one in filling.sources
                ]
                copies = sorted(
                    (str(names[copy.source]), *copy[1:]) for copy in filling.copies
                )
                place = target[piece.position][0]
                key = f"{place.name}{''.join(f' {d}={n}' for d, n in piece.at)}"
                found[key] = copies, place.values
    return found


def _tail_moves(reading: Reading, shapes: Shapes) -> dict[str, object]:
    """_moves for the tails that take a tensor of the source."""
    found: dict[str, object] = {}
    side = shapes.side or 0
    there = {name for tensors in (shapes.found or {}).values() for name in tensors}
    rest = there - _named(reading, side)
    for tail in reading.tails:
        others = [o for o in reading.others if o is tail or not isinstance(o, Tail)]
        if _taken(others, side, rest):
            source = [
                (p.names, p.values) for places in tail.sides[side] for p in places
            ]
            for place in (p for places in tail.sides[1 - side] for p in places):
                found[place.name] = source, place.values
    return found
