"""Config entries as rows. A value table stands on one line where it fits and no comment is in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from . import syntax
from .format_align import ARROW, WIDTH, Line
from .format_inline import expression, key
from .format_row import INDENT, Row, closing, plain
from .source import Span

_KIND = "entry"
Commented = Callable[[Span], bool]


def entry_rows(entry: syntax.Entry, indent: int, commented: Commented) -> Iterator[Row]:
    """The rows of an entry at `indent` columns; `commented` says whether a comment stands in a place."""
    left = "" if entry.left is None else config_value(entry.left)
    right = ARROW + ("" if entry.right is None else config_value(entry.right))
    head = "" if entry.binder is None else f"{entry.binder}:"
    long = indent + len(f"{head} {left} {right}") > WIDTH
    if isinstance(entry.left, syntax.Translated) and (
        long or commented(_table(entry.left))
    ):
        yield from _left_table(entry, entry.left, indent, head, right)
    elif isinstance(entry.right, syntax.Translated) and (
        long or commented(_table(entry.right))
    ):
        yield from _right_table(entry, entry.right, indent, head, left)
    else:
        line = Line(indent, (left, right.rstrip()), _KIND, head)
        yield Row(line, entry.span.start, entry.span.end)


def config_value(value: syntax.ConfigValue) -> str:
    """One side of an entry, on one line."""
    match value:
        case syntax.Constant():
            return f"{key(value.key)} = {expression(value.value)}"
        case syntax.Translated():
            pairs = ", ".join(
                f"{expression(a)} {ARROW}{expression(b)}" for a, b in value.table
            )
            return f"{expression(value.keys, 1)} {{ {pairs} }}{_default(value)}"
        case _:
            return expression(value)


def _default(value: syntax.Translated) -> str:
    return "" if value.default is None else f" ?? {expression(value.default)}"


def _left_table(
    entry: syntax.Entry, value: syntax.Translated, indent: int, head: str, right: str
) -> Iterator[Row]:
    opening = f"{head} {expression(value.keys, 1)} {{".lstrip()
    yield plain(indent, opening, entry.span.start, _brace(value) + 1)
    yield from _pairs(value, indent + INDENT)
    text = f"}}{_default(value)} {right}".rstrip()
    yield closing(indent, text, _closing_brace(value), entry.span.end)


def _right_table(
    entry: syntax.Entry, value: syntax.Translated, indent: int, head: str, left: str
) -> Iterator[Row]:
    cells = (left, f"{ARROW}{expression(value.keys, 1)} {{")
    yield Row(Line(indent, cells, _KIND, head), entry.span.start, _brace(value) + 1)
    yield from _pairs(value, indent + INDENT)
    yield closing(indent, f"}}{_default(value)}", _closing_brace(value), entry.span.end)


def _pairs(value: syntax.Translated, indent: int) -> Iterator[Row]:
    for pair in value.table:
        left, right = (expression(one) for one in pair)
        comma = "" if pair is value.table[-1] else ","
        line = Line(indent, (left, f"{ARROW}{right}{comma}"), "pair")
        yield replace(Row(line, pair[0].span.start, pair[1].span.end), first=False)


def _table(value: syntax.Translated) -> Span:
    """What stands between the braces, and the first of them."""
    return Span(value.span.source, _brace(value), _closing_brace(value))


def _brace(value: syntax.Translated) -> int:
    """Where the table opens: the last brace between the keys and the first pair."""
    return value.span.source.text.rindex(
        "{", value.span.start, value.table[0][0].span.start
    )


def _closing_brace(value: syntax.Translated) -> int:
    """Where the table closes: the last brace before the default, or of all."""
    end = value.span.end if value.default is None else value.default.span.start
    return value.span.source.text.rindex("}", value.span.start, end)
