"""What a command of `mapc` comes to: a text for a reader, data for a program, an exit code for a shell."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..dsl.diagnostics import MapError

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Answer:
    """`text` ends without a newline; `data` is what JSON holds; the code is 0, or 1 for stale or different."""

    text: str
    data: object
    code: int = 0


class Refused(Exception):
    """What the command was asked for cannot be: the message says why. Nothing was written; exit code 1."""


def of_each(maps: Iterable[Path], work: Callable[[Path], Found]) -> list[Found]:
    """The work on every map, in order. Raises one MapError with the diagnostics of all that are refused."""
    found: list[Found] = []
    problems: list[MapError] = []
    for path in maps:
        try:
            found.append(work(path))
        except MapError as error:
            problems.append(error)
    if problems:
        raise MapError(
            *(problem for error in problems for problem in error.diagnostics)
        )
    return found
