"""What the tensors of a rank are called elsewhere: in a checkpoint of one rank, and in the other layout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

from .layouts import Converter
from .mapping import Group, Make, Place, Slots, holds
from .shapes import Shapes
from .spelling import statements

# What a statement is called whatever the mesh: its line, the other side's names, and how many before it are alike.
_Key: TypeAlias = "tuple[str, tuple[str, ...], int]"


class RankName(NamedTuple):
    """A tensor of one rank elsewhere.

    `whole` is its name where one rank holds all layers and experts; of two names that are tied there may be one only.
    `others` are the tensors of the other layout that its statement pairs it with, `where` is the line of that.
    """

    whole: str
    others: tuple[str, ...]
    where: str


def rank_names(
    converter: Converter, layout: str, config: Any, mesh: Any, rank: Any
) -> dict[str, RankName]:
    """What each tensor of a rank is called elsewhere, optional ones too, in checkpoint order.

    It is what the statements say on this mesh and on a mesh of one rank, beside each other.
    """
    side, staged, one = converter.side(layout), converter.staged, converter.mesh
    assert one is not None, "the side has ranks"
    alone = replace(config, **dict.fromkeys(staged.options if staged else ()))
    wholes = dict(_keyed(converter, side, alone, one()))
    names: dict[str, RankName] = {}
    for key, slots in _keyed(converter, side, config, mesh):
        for places, whole in zip(slots, wholes[key]):
            for number, place in enumerate(places):
                if holds(rank, place):
                    there = whole[min(number, len(whole) - 1)].name
                    names[place.name] = RankName(there, key[1], key[0])
    return names


def _keyed(
    converter: Converter, side: int, config: Any, mesh: Any
) -> Iterator[tuple[_Key, list[tuple[Place, ...]]]]:
    """The tensors of a side, by statement."""
    before: dict[tuple[str, tuple[str, ...]], int] = {}
    for item in statements(converter, config, mesh, Shapes(None, {})):
        group = item.group if isinstance(item, Make) and item.side == side else item
        if isinstance(group, Group):
            others = _first_names(group.sides[1 - side])
            key = group.recipe.where, others
            number = before[key] = before.get(key, -1) + 1
            yield (*key, number), list(group.sides[side])


def _first_names(slots: Slots) -> tuple[str, ...]:
    """The names of a side that are there; of tied ones all."""
    return tuple(place.name for places in slots for place in places if place.name)
