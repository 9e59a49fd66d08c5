"""Lines of text whose cells are set under one another: the last step of the formatter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

WIDTH = 110  # No line is widened beyond it.
PAD = 28  # No line is widened by more for the sake of a longer one.
ARROW = "<-> "


@dataclass(frozen=True, slots=True)
class Line:
    """A line before its cells are aligned with those of its neighbours of the same kind.

    `head` stands before the first cell and is aligned too. `place` says what the line is within its
    statement: "whole" has the cells, "part" only belongs to it, "hung" stands under the last cell,
    behind `<-> `.
    """

    indent: int
    cells: tuple[str, ...]
    kind: str = ""
    head: str = ""
    place: str = "whole"
    comment: str = ""


def text_of(lines: list[Line]) -> str:
    """The finished text: cells aligned within a run of lines of one kind, comments two spaces behind."""
    out = []
    for kind, run in groupby(lines, key=lambda line: (line.kind, line.indent)):
        found = list(run)
        texts = _aligned(found) if kind[0] else [" ".join(line.cells) for line in found]
        for line, text in zip(found, texts, strict=True):
            text = " " * line.indent + text if text else ""
            out.append(f"{text}  {line.comment}" if line.comment else text)
    return "\n".join(line.rstrip() for line in out) + "\n"


def _aligned(run: list[Line]) -> list[str]:
    whole = [line for line in run if line.place == "whole"]
    texts = _headed(whole)
    rooms = list(_hung_widths(run))
    hang = [0] * len(whole)
    for j in range(1, max((len(line.cells) for line in whole), default=0)):
        rows = [i for i, line in enumerate(whole) if len(line.cells) > j]
        rests = [
            max(len(" ".join(whole[i].cells[j:])), rooms[i]) + run[0].indent
            for i in rows
        ]
        columns = _columns([texts[i] for i in rows], rests)
        for i, column in zip(rows, columns, strict=True):
            texts[i] = texts[i].ljust(column) + whole[i].cells[j]
            hang[i] = column + len(ARROW)
    return list(_assembled(run, texts, hang))


def _headed(lines: list[Line]) -> list[str]:
    """The first cells, behind heads of one width."""
    width = max((len(line.head) for line in lines), default=0)
    return [
        f"{line.head.ljust(width)} {line.cells[0]}" if line.head else line.cells[0]
        for line in lines
    ]


def _hung_widths(run: list[Line]) -> Iterator[int]:
    """For each whole line of a run, what the lines that hang from it need, counted from its last cell."""
    for i, line in enumerate(run):
        if line.place == "whole":
            below = [j for j in range(i + 1, len(run)) if run[j].place != "hung"]
            hung = run[i + 1 : below[0] if below else len(run)]
            yield max((len(ARROW) + len(other.cells[0]) for other in hung), default=0)


def _columns(texts: list[str], rests: list[int]) -> list[int]:
    """Where the next cell of each line starts: in a common column that all lines shorter than it can reach.

    `rests` is what stands behind the column. A line without text, or too long anyway, has no say.
    """
    lengths = [len(text) for text in texts]
    known = [len(text) for text in texts if text.strip()]
    alone = [length + bool(length) for length in lengths]
    limit = min(known, default=0) + PAD
    for column in sorted(
        {length + 1 for length in known if length <= limit}, reverse=True
    ):
        rows = list(zip(texts, rests, alone, strict=True))
        fits = [len(text) < column and column + rest <= WIDTH for text, rest, _ in rows]
        blocked = (
            text.strip() and not fit and len(text) < column and own + rest <= WIDTH
            for fit, (text, rest, own) in zip(fits, rows, strict=True)
        )
        if not any(blocked):
            return [
                column if fit else own for fit, own in zip(fits, alone, strict=True)
            ]
    return alone


def _assembled(run: list[Line], texts: list[str], hang: list[int]) -> Iterator[str]:
    """The lines of a run in order: whole lines as aligned, parts as they are, hung lines in their column."""
    done = -1
    for line in run:
        if line.place == "whole":
            done += 1
            yield texts[done]
        elif line.place == "hung" and done >= 0:
            yield " " * hang[done] + line.cells[0]
        else:
            yield " " * 4 * (line.place == "hung") + line.cells[0]
