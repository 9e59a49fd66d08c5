"""Equations as rows: left terms one a line, the right side behind `<->`, what does not fit hung below it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from . import syntax
from .format_align import ARROW, WIDTH, Line
from .format_inline import condition, term, tie
from .format_row import INDENT, Row, next_token

_KIND = "equation"
_NO_LEFT = " " * (INDENT - 1)  # Before an arrow on a line of its own.


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is never broken: a term, a tie, or the words behind the right side."""

    text: str
    start: int
    end: int
    gap: str = " "
    starts_line: bool = (
        False  # A term begins a line of its own unless the whole side fits on one.
    )


def equation_rows(equation: syntax.Equation, indent: int) -> Iterator[Row]:
    """The rows of an equation at `indent` columns."""
    *above, left = _left(equation, indent)
    pieces = _right(equation)
    if indent + len(left.text) + 1 + len(ARROW) + len(pieces[0].text) > WIDTH:
        above.append(left)
        left = _Piece(_NO_LEFT, next_token(equation.span.source, left.end), left.end)
    head, *hung = _packed(pieces, WIDTH - indent - len(left.text) - 1 - len(ARROW))
    whole = _Piece(left.text, left.start, head.end)
    rows = [
        *(_row(indent, piece, "part") for piece in above),
        _row(indent, whole, "whole", (ARROW + head.text,)),
        *(_row(indent, piece, "hung") for piece in hung),
    ]
    yield replace(rows[0], first=True)
    yield from rows[1:]


def _row(indent: int, piece: _Piece, place: str, cells: tuple[str, ...] = ()) -> Row:
    line = Line(indent, (piece.text, *cells), _KIND, place=place)
    return Row(line, piece.start, piece.end, first=False)


def _left(equation: syntax.Equation, indent: int) -> list[_Piece]:
    """The lines of the left side: one a term, and its ties below where they do not fit beside it."""
    lines: list[_Piece] = []
    for found in equation.left:
        own = _packed(
            list(_term_pieces(found, "" if found is equation.left[-1] else ",")),
            WIDTH - indent,
        )
        lines.append(own[0])
        lines += [
            _Piece(" " * INDENT + line.text, line.start, line.end) for line in own[1:]
        ]
    return lines


def _right(equation: syntax.Equation) -> list[_Piece]:
    """The right terms and their ties, with the condition, and the words that follow."""
    pieces = [
        piece
        for found in equation.right
        for piece in _term_pieces(found, "" if found is equation.right[-1] else ",")
    ]
    if equation.condition is not None:
        last = pieces.pop()
        text = f"{last.text} {condition(equation.condition)}"
        end = equation.condition.span.end
        pieces.append(_Piece(text, last.start, end, last.gap, last.starts_line))
    words = _words(equation)
    if words:
        start = next_token(equation.span.source, pieces[-1].end)
        pieces.append(_Piece(words, start, equation.span.end, "   "))
    return pieces


def _term_pieces(found: syntax.Term, comma: str) -> Iterator[_Piece]:
    """A term and its ties; the comma belongs to the last of them."""
    text = term(found) + ("" if found.ties else comma)
    end = _untied_end(found) if found.ties else found.span.end
    yield _Piece(text, found.span.start, end, starts_line=True)
    for one in found.ties:
        text = tie(one) + (comma if one is found.ties[-1] else "")
        yield _Piece(text, one.span.start, one.span.end)


def _untied_end(found: syntax.Term) -> int:
    """The end of the last thing before the ties that has a place; it is on the last line before them."""
    behind = (found.tensor, found.axes, found.default, *found.arithmetic, found.at)
    return max(node.span.end for node in behind if node is not None)


def _words(equation: syntax.Equation) -> str:
    """`in e with bias if b, lora lossy decode`."""
    words = []
    if equation.input_axis is not None:
        words.append(f"in {equation.input_axis}")
    if equation.derived:
        words.append(f"with {', '.join(_derived(one) for one in equation.derived)}")
    if equation.lossy:
        words.append("lossy")
    if equation.decode:
        words.append("decode")
    return " ".join(words)


def _derived(one: syntax.Derived) -> str:
    return (
        one.kind if one.condition is None else f"{one.kind} {condition(one.condition)}"
    )


def _packed(pieces: list[_Piece], room: int) -> list[_Piece]:
    """The pieces on as few lines of `room` columns as may be."""
    whole = pieces[0].text + "".join(piece.gap + piece.text for piece in pieces[1:])
    fits = len(whole) <= room
    lines = [pieces[0]]
    for piece in pieces[1:]:
        last = lines[-1]
        longer = last.text + piece.gap + piece.text
        if fits or (not piece.starts_line and len(longer) <= room):
            lines[-1] = _Piece(
                longer, last.start, piece.end, last.gap, last.starts_line
            )
        else:
            lines.append(piece)
    return lines
