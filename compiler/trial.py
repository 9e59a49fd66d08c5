"""Trying a map on a config and a mesh, with its core loaded: whether it runs, and which of its statements hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from . import hir
from .emit import attribute
from .guard import TooMuch
from .kinds import paths

CORE = {"Config", "Shapes", "config_table", "converter", "groups", "range"}
COST = 40  # steps that a trial takes, besides those of its loops

Fields: TypeAlias = "dict[str, Any]"
Dims: TypeAlias = "tuple[tuple[str, int], ...]"


@dataclass(frozen=True, slots=True)
class Trial:
    """A loaded core, to try configs on. `derived` are the fields that follow from the others."""

    names: Mapping[str, Any]
    measured: Mapping[str, tuple[int, ...]]
    derived: tuple[str, ...]

    def __post_init__(self) -> None:
        # A trial takes a LookupError for a config that does not fit, so what is of the core itself is looked up here.
        assert self.names.keys() >= CORE, f"a core has {CORE - self.names.keys()}"

    def complete(self, fields: Mapping[str, Any]) -> Fields:
        """The fields with those that follow from them, read as from the left layout's config.

        Raises what reading a config raises.
        """
        missing = [name for name in self.derived if name not in fields]
        if not missing:
            return dict(fields)
        table, left = self.names["config_table"](), dict[str, Any]()
        for name, value in fields.items():
            row = table.keys.get(attribute(name))
            if row is not None and isinstance(row[0], (str, tuple)):
                _put(left, row[0] if isinstance(row[0], str) else row[0][0], value)
        options = {name: fields[name] for name in table.options.keys() & fields.keys()}
        read = table.read(table.layouts[0], left, options)
        return {**fields, **{name: read[attribute(name)] for name in missing}}

    def changed(
        self, fields: Mapping[str, Any], changes: Iterable[Fields]
    ) -> Iterator[Fields]:
        """The changes of these fields, each with what follows from it; those that change nothing are left out."""
        whole = self.complete(fields)
        for change in changes:
            try:
                other = self.complete({**fields, **change})
            except (ValueError, LookupError, TypeError, ArithmeticError):
                continue
            found = {k: v for k, v in other.items() if k not in whole or whole[k] != v}
            if found or not change:
                yield found

    def config(self, fields: Mapping[str, Any]) -> Any:
        """A Config of the loaded core."""
        whole = self.complete(fields)
        return self.names["Config"](**{attribute(k): v for k, v in whole.items()})

    def fits(self, fields: Mapping[str, Any], mesh: Dims) -> bool:
        """Whether every statement has a recipe for these fields and mesh."""
        return self.reached(fields, mesh)[1]

    def reached(self, fields: Mapping[str, Any], mesh: Dims) -> tuple[int, bool]:
        """How many statements have a recipe before the first that has none, and whether all have."""
        count = 0
        try:
            self.names["range"](COST)
            for _ in self._groups(fields, mesh):
                count += 1
                self.names["range"](2)
        except TooMuch:
            raise
        except (ValueError, LookupError, TypeError, ArithmeticError):
            return (
                count,
                False,
            )  # or a value of the wrong kind was drawn for a name that is only carried
        return count, True

    def held(self, fields: Mapping[str, Any], mesh: Dims) -> set[Any]:
        """The statements that hold, by line and names but for their numbers; none where one has no recipe."""
        if not self.fits(fields, mesh):
            return set()
        return {
            (group.recipe.where, *map(_numberless, (group.left, group.right)))
            for group in self._groups(fields, mesh)
        }

    def covering(
        self,
        fields: Fields,
        cases: Iterable[tuple[Fields, Dims]],
        probes: Iterable[tuple[Fields, Dims]],
    ) -> Iterator[tuple[Fields, Dims]]:
        """The probes with a statement that holds in none of the cases, and in no probe before."""
        seen = set[Any]()
        for change, mesh in cases:
            seen |= self.held({**fields, **change}, mesh)
        for change, mesh in probes:
            found = self.held({**fields, **change}, mesh)
            if not found <= seen:
                seen |= found
                yield change, mesh

    def _groups(self, fields: Mapping[str, Any], mesh: Dims) -> Iterable[Any]:
        config = self.config(fields)
        made = self.names["Mesh"](**dict(mesh)) if mesh else None
        shapes = self.names["Shapes"](None, None)
        found: Iterable[Any] = self.names["groups"](
            self.names["converter"](), config, made, shapes
        )
        return found


def derived(map_: hir.Map) -> tuple[str, ...]:
    """The fields that no key of the left layout holds, and that are computed from others."""
    return tuple(
        entry.field
        for entry in map_.entries
        if entry.field and not isinstance(entry.left, hir.Keys) and _computed(entry)
    )


def _computed(entry: hir.Entry) -> bool:
    if isinstance(entry.left, hir.Formula):
        return True
    right = entry.right
    return (
        isinstance(right, hir.Keys)
        and right.default is not None
        and any(paths(right.default))
    )


def _numberless(slots: Any) -> tuple[str, ...]:
    """The names of a statement's first tensor on a side."""
    return tuple(
        re.sub(r"\d+", "#", place.name) for slot in tuple(slots)[:1] for place in slot
    )


def _put(config: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        config = config.setdefault(part, {})
    config[last] = value
