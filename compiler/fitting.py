"""Sizes for a generated test: doubled one by one, and as few as can be, until every mesh fits."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from .trial import Dims, Fields, Trial

FEW = 12  # sizes of which any two are tried; of more there are too many pairs


def fitted(
    trial: Trial, fields: Fields, meshes: tuple[Dims, ...], movable: tuple[str, ...]
) -> Fields:
    """The fields with as few sizes doubled as let the most meshes fit."""
    best = fields
    held = tuple(mesh for mesh in meshes if trial.fits(fields, mesh))
    numbers = (1, 2) if len(movable) <= FEW else (1,)  # sizes doubled at once
    for _ in movable:
        missing = tuple(mesh for mesh in meshes if mesh not in held)
        if not missing:
            break
        for number in numbers:
            found = max(
                (
                    _gained(trial, {**best, **changes}, held, missing)
                    for changes in _doubled(best, movable, number)
                ),
                key=lambda one: (len(one[1]), -_total(one[0])),
                default=(best, held),
            )
            if len(found[1]) > len(held):
                break
        else:
            found = _climbed(trial, best, movable, held, missing)
            if len(found[1]) <= len(held):
                break
        best, held = found
    return best


def _climbed(
    trial: Trial,
    fields: Fields,
    movable: tuple[str, ...],
    held: tuple[Dims, ...],
    missing: tuple[Dims, ...],
) -> tuple[Fields, tuple[Dims, ...]]:
    """For one of the missing meshes sizes are doubled one after the other, each so that more statements fit."""
    for mesh in missing:
        best, reached = fields, trial.reached(fields, mesh)
        while not reached[1]:
            top = _farther(trial, best, movable, mesh, reached)
            if top is None:
                break
            reached, best = top
        if reached[1]:
            return _gained(trial, best, held, missing)
    return fields, held


def _farther(
    trial: Trial,
    fields: Fields,
    movable: tuple[str, ...],
    mesh: Dims,
    reached: tuple[int, bool],
) -> tuple[tuple[int, bool], Fields] | None:
    """The fields with the fewest sizes doubled with which more statements fit; None where there are none."""
    for number in (1, 2, 3):
        tries = [{**fields, **changes} for changes in _doubled(fields, movable, number)]
        scored = [(trial.reached(one, mesh), -_total(one), one) for one in tries]
        top = max(scored, key=lambda item: item[:2], default=(reached, 0, fields))
        if top[0] > reached:
            return top[0], top[2]
    return None


def _gained(
    trial: Trial, fields: Fields, held: tuple[Dims, ...], missing: tuple[Dims, ...]
) -> tuple[Fields, tuple[Dims, ...]]:
    """The meshes that fit these fields, if any of the missing ones does."""
    gained = [mesh for mesh in missing if trial.fits(fields, mesh)]
    kept = [mesh for mesh in held if trial.fits(fields, mesh)] if gained else []
    return fields, (*kept, *gained)


def _doubled(
    fields: Fields, movable: tuple[str, ...], number: int
) -> Iterator[dict[str, int]]:
    """So many of the sizes, twice or four times as large."""
    for names in combinations(movable, number):
        for factor in (2, 4):
            yield {name: fields[name] * factor for name in names}


def _total(fields: Fields) -> int:
    return sum(value for value in fields.values() if isinstance(value, int))
