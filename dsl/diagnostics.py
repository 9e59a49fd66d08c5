"""What is wrong in a map, and how it is told: as text in the manner of rustc, or as JSON for editors.

Every phase makes `Diagnostic`s; this is the one place that turns them into text. Lines and columns
count from 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .source import Source, Span

TAB = "    "
WIDEST = 140  # A longer source line is shown in part.
BEFORE = 40  # What is kept in front of the first mark of such a line.


@dataclass(frozen=True, slots=True)
class Label:
    """A second place that the reader should look at, and what is to be seen there."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake. `note` stands under the primary span, each help in a line of its own below."""

    code: str
    message: str
    span: Span
    note: str = ""
    labels: tuple[Label, ...] = ()
    help: tuple[str, ...] = ()


class MapError(Exception):
    """The map is refused; `diagnostics` says why, in the order of the text."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__(*diagnostics)
        self.diagnostics = diagnostics

    def __str__(self) -> str:
        return "\n\n".join(render(diagnostic) for diagnostic in self.diagnostics)


def render(diagnostic: Diagnostic) -> str:
    """The mistake as a reader sees it: place, source lines with marks, help. ASCII, no newline at the end."""
    primary = _Mark.of(diagnostic.span, "^", diagnostic.note)
    marks = [
        primary,
        *(_Mark.of(label.span, "-", label.text) for label in diagnostic.labels),
    ]
    gutter = len(str(max(mark.line for mark in marks)))
    out = [f"error[{diagnostic.code}]: {plain(diagnostic.message)}"]
    for source in dict.fromkeys(mark.source for mark in marks):
        here = [mark for mark in marks if mark.source == source]
        arrow = "-->" if source == primary.source else ":::"
        out.append(
            f"{' ' * gutter}{arrow} {source.name}:{here[0].line}:{here[0].column}"
        )
        out.extend(_excerpt(source, here, gutter))
    margin = " " * (gutter + 1)
    for text in diagnostic.help:
        first, *more = plain(text).split("\n")
        out.append(f"{margin}= help: {first}")
        out.extend(f"{margin}        {line}" for line in more)
    return "\n".join(line.rstrip() for line in out)


def to_json(diagnostic: Diagnostic) -> dict[str, object]:
    """The mistake as plain data; `end_column` is the column behind the last character."""
    return {
        "code": diagnostic.code,
        "message": diagnostic.message,
        **_place(diagnostic.span),
        "note": diagnostic.note,
        "labels": [
            {**_place(label.span), "text": label.text} for label in diagnostic.labels
        ],
        "help": list(diagnostic.help),
    }


def _place(span: Span) -> dict[str, object]:
    line, column = span.source.position(span.start)
    end_line, end_column = span.source.position(span.end)
    return {
        "file": span.source.name,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
    }


@dataclass(frozen=True, slots=True)
class _Mark:
    """A span on the first of its lines: `start` and `end` are screen columns from 0."""

    source: Source
    line: int
    column: int
    start: int
    end: int
    sign: str
    text: str

    @classmethod
    def of(cls, span: Span, sign: str, text: str) -> _Mark:
        line, column = span.source.position(span.start)
        shown = span.source.line(line)
        last = min(column - 1 + span.end - span.start, len(shown))
        start = len(plain(shown[: column - 1]))
        end = max(
            start + 1, len(plain(shown[:last]))
        )  # An empty span still gets one mark.
        return cls(span.source, line, column, start, end, sign, text)


def plain(text: str) -> str:
    """ASCII in which every character is one column wide; newlines stay."""
    text = text.replace("\t", TAB)
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        (
            char
            if char == "\n" or (char.isascii() and char.isprintable())
            else ascii(char)[1:-1]
        )
        for char in text
    )


def _excerpt(source: Source, marks: list[_Mark], gutter: int) -> list[str]:
    """The source lines that have marks, in order; `...` where lines between them are left out."""
    margin = " " * gutter + " |"
    out = [margin]
    before = None
    for number in sorted({mark.line for mark in marks}):
        if before is not None and number > before + 1:
            out.append("...")
        before = number
        here = sorted(
            (mark for mark in marks if mark.line == number), key=lambda m: m.start
        )
        line, spans = _clip(
            plain(source.line(number)), [(mark.start, mark.end) for mark in here]
        )
        out.append(f"{number:>{gutter}} | {line}")
        out.append(f"{margin} {_underline(here, spans)}")
        out.extend(f"{margin} {row}" for row in _texts(here, spans))
    return out


def _clip(line: str, spans: list[tuple[int, int]]) -> tuple[str, list[tuple[int, int]]]:
    """At most WIDEST columns of a line, so that the first mark is seen, and the marks moved with it."""
    if len(line) <= WIDEST:
        return line, spans
    first = max(0, min(spans[0][0] - BEFORE, len(line) - WIDEST))
    shown = line[first : first + WIDEST]
    if first:
        shown = "..." + shown[3:]
    if first + WIDEST < len(line):
        shown = shown[:-3] + "..."
    moved = [
        (min(start - first, WIDEST - 1), min(end - first, WIDEST))
        for start, end in spans
    ]
    return shown, moved


def _underline(marks: list[_Mark], spans: list[tuple[int, int]]) -> str:
    """`----` and `^^^^` under a line; the primary mark lies above the others."""
    row = [" "] * max(end for _, end in spans)
    for sign in "-^":
        for mark, (start, end) in zip(marks, spans, strict=True):
            if mark.sign == sign:
                row[start:end] = sign * (end - start)
    return "".join(row)


def _texts(marks: list[_Mark], spans: list[tuple[int, int]]) -> list[str]:
    """The marks' texts: side by side where they fit, else the right one first, and `|` down to the others."""
    rows: list[list[tuple[int, str]]] = []
    for mark, (start, _) in reversed(list(zip(marks, spans, strict=True))):
        for line in reversed(plain(mark.text).split("\n") if mark.text else ()):
            if not rows or start + len(line) + 2 > min(
                column for column, _ in rows[-1]
            ):
                rows.append([])
            rows[-1].append((start, line))
    return [_text_row(row, rows[index + 1 :]) for index, row in enumerate(rows)]


def _text_row(
    row: list[tuple[int, str]], below: Sequence[list[tuple[int, str]]]
) -> str:
    out: list[str] = []
    places = [(column, "|") for later in below for column, _ in later]
    for column, text in sorted(places) + sorted(row):
        out.extend(" " * (column + len(text) - len(out)))
        out[column : column + len(text)] = text
    return "".join(out)
