"""Patterns of names, in which `**` stands for any components: which of many a name matches, without trying them all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from .mapping import Place, holds

At: TypeAlias = "tuple[tuple[str, int], ...]"


class Patterns:
    """Numbered places whose names may hold `**`, found by what their names begin and end with."""

    def __init__(self, places: Iterable[tuple[int, Place]]) -> None:
        self._places: dict[At, Place] = {}
        self._ats: dict[Any, tuple[At, ...]] = {}
        self._plain: dict[tuple[At, str], list[int]] = {}
        self._heads: set[tuple[At, str]] = set()
        self._head_texts: set[str] = set()
        # The longest head, and the most components of what is behind `**`: names may be far longer.
        self._longest_head = 0
        self._most_behind = 0
        self._single: dict[tuple[At, str, str], list[int]] = {}
        self._several: dict[tuple[At, str], list[tuple[int, list[str]]]] = {}
        for number, place in places:
            self.add(number, place)

    def add(self, number: int, place: Place) -> None:
        """Add a place."""
        at = tuple(sorted(place.at.items()))
        if at not in self._places:
            self._ats.clear()  # ranks may have these coordinates too
        self._places[at] = place
        head, *rest = place.name.split("**")
        if not rest:
            self._plain.setdefault((at, head), []).append(number)
            return
        head = head.removesuffix(".")
        self._heads.add((at, head))
        self._head_texts.add(head)
        self._longest_head = max(self._longest_head, len(head))
        if len(rest) == 1:
            tail = rest[0].removeprefix(".")
            self._most_behind = max(self._most_behind, tail.count(".") + 1)
            self._single.setdefault((at, head, tail), []).append(number)
        else:
            pattern = ("**" + "**".join(rest)).split(".")
            self._several.setdefault((at, head), []).append((number, pattern))

    def of(self, rank: Any, name: str) -> list[int]:
        """The numbers of the places on this rank whose names match, in order."""
        found: list[int] = []
        ats = self.ats(rank)
        for at in ats if self._plain else ():
            found += self._plain.get((at, name), ())
        if self._heads:
            for count, head in enumerate(_heads_of(name, self._longest_head)):
                if head in self._head_texts:
                    for at in ats:
                        if (at, head) in self._heads:
                            parts = name.split(".")[count:]
                            found += self._behind(at, head, parts)
        return sorted(set(found)) if len(found) > 1 else found

    def _behind(self, at: At, head: str, parts: list[str]) -> Iterator[int]:
        """The numbers of the places that begin with a head and fit what stands behind it."""
        for end in range(max(0, len(parts) - self._most_behind), len(parts) + 1):
            yield from self._single.get((at, head, ".".join(parts[end:])), ())
        for number, pattern in self._several.get((at, head), ()):
            if _like(parts, pattern):
                yield number

    def ats(self, rank: Any) -> tuple[At, ...]:
        """The coordinates that places here need and that the rank has."""
        if rank not in self._ats:
            self._ats[rank] = tuple(
                at for at, place in self._places.items() if holds(rank, place)
            )
        return self._ats[rank]


def _heads_of(name: str, longest: int) -> list[str]:
    """What a name can begin with: none, some or all of its components, if that is not longer."""
    heads, end = [""], name.find(".")
    while 0 <= end <= longest:
        heads.append(name[:end])
        end = name.find(".", end + 1)
    return [*heads, name] if end < 0 else heads


def standing(pattern: str, name: str) -> str | None:
    """What `**` stands for in a name; empty for no component, None where the name does not match."""
    head, _, tail = pattern.partition("**")
    if len(name) > len(head) + len(tail):
        fits = name.startswith(head) and name.endswith(tail)
        return name[len(head) : len(name) - len(tail)] if fits else None
    return "" if name and name == filled(pattern, "") else None


def filled(pattern: str, text: str) -> str:
    """The name in which `**` stands for this; without a dot too many where it stands for no component."""
    head, _, tail = pattern.partition("**")
    if text:
        return f"{head}{text}{tail}"
    parts = (head.removesuffix("."), tail.removeprefix("."))
    return ".".join(part for part in parts if part)


def _like(names: list[str], pattern: list[str]) -> bool:
    """Whether the components of a name match a pattern in which `**` stands for any components."""
    at = step = kept = 0
    star = (
        -1
    )  # the last `**` that was passed, which so far stands for what is before `kept`
    while at < len(names):
        wanted = pattern[step] if step < len(pattern) else None
        if wanted == "**":
            star, kept, step = step, at, step + 1
        elif wanted == names[at]:
            at, step = at + 1, step + 1
        elif star >= 0:
            kept += 1
            at, step = kept, star + 1
        else:
            return False
    return all(part == "**" for part in pattern[step:])
