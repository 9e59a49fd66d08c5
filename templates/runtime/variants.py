"""Variants: which alternative a source is stored in, read off its names and then off its shapes.

Where neither tells two alternatives apart that read the source differently, the caller has to say which it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from .errors import ConversionError
from .grid import Piece
from .mapping import Converter, Drop, Group, Holders, Item, Make, Place, Shapes, Tail
from .patterns import Patterns
from .spelling import statements


class Reading(NamedTuple):
    """What one alternative makes of a source: the names of both sides, with axes and values, its statements, and the other items."""

    sides: tuple[Mapping[str, object], Mapping[str, object]]
    groups: list[Group]
    others: list[Item]
    failed: bool


def detected(
    converter: Converter, shapes: Shapes, config: Any, mesh: Any, prefix: str
) -> Any:
    """The config with every variant that the source decides; `shapes` are those of the source.

    Names overrule what the config says. ConversionError where names contradict each other, or where nothing says
    which of several alternatives it is.
    """
    found = shapes.found or {}
    names = {name for tensors in found.values() for name in tensors}
    only_names = Shapes(shapes.side, None, prefix)
    open_: dict[str, dict[str, Reading]] = {}
    for variant, choices in converter.variants.items():
        readings = {
            choice: _read(converter, config, mesh, only_names, variant, choice)
            for choice in choices
        }
        fitting = _by_names(variant, readings, shapes.side or 0, names)
        if getattr(config, variant) not in fitting:
            chosen = fitting[0] if len(fitting) == 1 else None
            config = replace(config, **{variant: chosen})
        if getattr(config, variant) is None:
            open_[variant] = {choice: readings[choice] for choice in fitting}
    for variant, readings in open_.items():
        chosen = next(iter(readings))
        if not _same_source(list(readings.values()), shapes.side or 0):
            again = Shapes(shapes.side, shapes.found, prefix)
            readings = {
                choice: _read(converter, config, mesh, again, variant, choice)
                for choice in readings
            }
            chosen = _by_shapes(variant, readings, Shapes(shapes.side, shapes.found))
        config = replace(config, **{variant: chosen})
    return config


def _read(
    converter: Converter,
    config: Any,
    mesh: Any,
    shapes: Shapes,
    variant: str,
    choice: str,
) -> Reading:
    """What an alternative reads and writes, as far as it can be worked out."""
    sides: tuple[dict[str, object], dict[str, object]] = ({}, {})
    made: list[Group] = []
    others: list[Item] = []
    try:
        config = replace(config, **{variant: choice})
        for group in statements(converter, config, mesh, shapes):
            if not isinstance(group, Group):
                others.append(group)
                continue
            made.append(group)
            for side, slots in enumerate(group.sides):
                for position, places in enumerate(slots):
                    axes = group.recipe.tensors[side].get(position)
                    for place in places:
                        said = axes and axes.formula, place.values
                        sides[side].update(dict.fromkeys(place.names, said))
    except ConversionError:
        return Reading(
            sides, made, others, True
        )  # it is told where this is what is converted
    return Reading(sides, made, others, False)


def _by_names(
    variant: str, readings: Mapping[str, Reading], side: int, names: set[str]
) -> list[str]:
    """The alternatives that own every name of the source that not all of them have."""
    own = {choice: _named(one, side) for choice, one in readings.items()}
    rest = names - set().union(*own.values())
    own = {choice: own[choice] | _taken(readings[choice], side, rest) for choice in own}
    shared = set.intersection(*own.values())
    telling = {name for known in own.values() for name in known & names} - shared
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
    made = [m for m in reading.others if isinstance(m, Make) and m.side == side]
    places = (place for make in made for places in make.tensor for place in places)
    return {name for place in places for name in place.names}.union(reading.sides[side])


def _taken(reading: Reading, side: int, names: set[str]) -> set[str]:
    """The names, stated by no alternative, that the tails of one take and its drops do not."""
    tails = [
        place
        for item in reading.others
        if isinstance(item, Tail)
        for places in item.sides[side]
        for place in places
    ]
    drops = [
        item.place
        for item in reading.others
        if isinstance(item, Drop) and item.side == side
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


def _tails(reading: Reading, side: int) -> dict[str, object]:
    """What is done to the tensors of each tail of a side."""
    return {
        name: place.values
        for item in reading.others
        if isinstance(item, Tail)
        for places in item.sides[side]
        for place in places
        for name in place.names
    }


def _same_source(readings: list[Reading], side: int) -> bool:
    """Whether alternatives differ in the target alone: in its names, or in its axes and not in the source's."""
    first, *others = readings
    for other in others:
        source, target = (
            [{**one.sides[n], **_tails(one, n)} for one in (first, other)]
            for n in (side, 1 - side)
        )
        if target[0].keys() != target[1].keys():
            continue
        if source[0] != source[1] or target[0] == target[1]:
            return False
    return True


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
    axes = [[one.formula for one in side.values()] for side in group.recipe.tensors]
    names = [
        [(place.names, place.values, *place.at.items()) for place in places]
        for slots in group.sides
        for places in slots
    ]
    return group.recipe.where, str(names), str(axes)


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
    for item in reading.others:
        if isinstance(item, Tail) and _taken(_only(reading, item), side, rest):
            source = [
                (p.names, p.values) for places in item.sides[side] for p in places
            ]
            for place in (p for places in item.sides[1 - side] for p in places):
                found[place.name] = source, place.values
    return found


def _only(reading: Reading, tail: Tail) -> Reading:
    """The reading with one of its tails."""
    others = [o for o in reading.others if o is tail or not isinstance(o, Tail)]
    return reading._replace(others=others)
