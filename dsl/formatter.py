"""The one canonical form of a map, for `mapc fmt`.

Four columns for each level, `<->` under one another where neighbours allow it, at most one blank line between
statements, comments where they were. The text that comes out has the same syntax tree, and formats to itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from . import syntax
from .format_align import Line, text_of
from .format_row import INDENT, Row
from .format_rows import file_rows
from .source import Source, Span

_BLANK = Line(0, ("",))


def format_file(file: syntax.File) -> str:
    """The canonical text of a parsed map: its spans tell where comments and blank lines were."""
    places = [comment.span.start for comment in file.comments]

    def commented(span: Span) -> bool:
        return any(span.start < place < span.end for place in places)

    printer = _Printer(file.span.source, file.comments)
    for row in file_rows(file, commented):
        printer.row(row)
    printer.comments_before(len(file.span.source.text), 0, True)
    return text_of(printer.lines)


class _Printer:
    """Puts comments and blank lines between rows, as they stood in the source."""

    def __init__(self, source: Source, comments: Iterable[syntax.Comment]) -> None:
        self.lines: list[Line] = []
        self._source = source
        self._comments = list(reversed(list(comments)))
        self._end: int | None = (
            None  # Where the last row ended; None once a comment stands behind it.
        )
        self._opened = True  # Nothing, or a `{`, stands above: no blank line here.

    def row(self, row: Row) -> None:
        inner = row.line.indent + INDENT * row.closes
        self.comments_before(row.start, inner, row.first or row.closes)
        if row.first:
            self._blank_before(row.start)
        self.comments_before(row.end, inner, False, row.start)
        text = row.line.cells[0]
        if row.closes and self._opened and self._end is not None and self.lines:
            self.lines[-1] = _joined(self.lines[-1], text)
        else:
            self.lines.append(row.line)
        self._end = row.end
        self._opened = row.line.cells[-1].endswith("{")

    def comments_before(
        self, place: int, indent: int, blanks: bool, inside: int | None = None
    ) -> None:
        """Writes the comments that start before a place: behind the last row where they were, else alone."""
        while self._comments and self._comments[-1].span.start < place:
            comment = self._comments.pop()
            start = comment.span.start
            if (
                inside is None
                and self._end is not None
                and self._same_line(self._end, start)
            ):
                self.lines[-1] = replace(self.lines[-1], comment=comment.text)
            else:
                if blanks:
                    self._blank_before(start)
                self.lines.append(Line(indent, (comment.text,)))
                self._opened = False
            self._end = None

    def _same_line(self, end: int, start: int) -> bool:
        return "\n" not in self._source.text[end:start]

    def _blank_before(self, place: int) -> None:
        line, column = self._source.position(place)
        starts_line = not self._source.line(line)[: column - 1].strip()
        blank = starts_line and line > 1 and not self._source.line(line - 1).strip()
        if blank and not self._opened:
            self.lines.append(_BLANK)


def _joined(opening: Line, text: str) -> Line:
    """`if a {` and `} else {` of an empty block in one line."""
    *cells, last = opening.cells
    return replace(opening, cells=(*cells, last + text))
