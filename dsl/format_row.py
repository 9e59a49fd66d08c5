"""A row: a line of the formatted text that still knows which characters of the source it stands for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .format_align import Line
from .source import Source

INDENT = 4
_BETWEEN = re.compile(r"(?:\s|,|#[^\n]*)*")


@dataclass(frozen=True, slots=True)
class Row:
    """`first` where a statement begins, `closes` where a block ends: what the blank lines depend on."""

    line: Line
    start: int
    end: int
    first: bool = True
    closes: bool = False


def plain(indent: int, text: str, start: int, end: int, first: bool = True) -> Row:
    """A row whose text is aligned with nothing."""
    return Row(Line(indent, (text,)), start, end, first)


def closing(indent: int, text: str, start: int, end: int) -> Row:
    """A row that begins with `}`."""
    return Row(Line(indent, (text,)), start, end, False, True)


def braced(
    indent: int, header: str, rows: Iterable[Row], start: int, brace: int, end: int
) -> Iterator[Row]:
    """`header {`, the rows within, and `}`; `brace` is where the `{` stands."""
    yield plain(indent, f"{header} {{", start, brace + 1)
    yield from rows
    yield closing(indent, "}", end - 1, end)


def next_token(source: Source, offset: int) -> int:
    """Where the text goes on behind white space, commas and comments."""
    found = _BETWEEN.match(source.text, offset)
    assert found is not None, "the pattern matches the empty text"
    return found.end()
