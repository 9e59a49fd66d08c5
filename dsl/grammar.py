"""The grammar, loaded once a process, and the parse of a piece of source text to a tree of its rules.

Nothing here knows the syntax tree: the builder makes it of the rules' tree, and `Origin` tells it where
a piece stood.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias, cast

from lark import Lark, ParseTree, Token
from lark.exceptions import UnexpectedInput
from lark.lexer import PatternRE, PatternStr, TerminalDef

from .diagnostics import Diagnostic, MapError
from .mistakes import brace_on_own_line, explain
from .source import Source, Span

Piece: TypeAlias = "ParseTree | Token | None"

DEEPEST = 128  # Levels of rules; every recursion over a tree stays far from the interpreter's limit.
_BRACES = frozenset({"block", "entries", "pack", "rules", "table"})


@dataclass(frozen=True, slots=True)
class Origin:
    """Where parsed text stands: at offset `base` of `source`."""

    source: Source
    base: int = 0

    def span(self, piece: Piece) -> Span:
        match piece:
            case Token():
                start, end = piece.start_pos, piece.end_pos
            case None:
                raise AssertionError("a missing piece has no place")
            case _:
                start, end = piece.meta.start_pos, piece.meta.end_pos
        assert start is not None and end is not None, f"no position: {piece!r}"
        return Span(self.source, self.base + start, self.base + end)


def children(tree: Piece) -> list[Piece]:
    """The pieces of a rule; None stands for an optional one that is not there."""
    assert tree is not None and not isinstance(
        tree, Token
    ), f"a rule was expected: {tree!r}"
    return cast("list[Piece]", tree.children)


def rules_of(span: Span, start: str) -> ParseTree:
    """The tree of rules of a piece of text, by the rule `start`. Raises MapError with one diagnostic."""
    lark = load()
    try:
        tree = lark.parse(span.text, start=start)
    except UnexpectedInput:
        raise MapError(explain(lark, start, span)) from None
    _check_shape(tree, Origin(span.source, span.start))
    return tree


@cache
def load(strict: bool = False) -> Lark:
    """The parser. `strict`, which needs the package `interegular`, refuses terminals that overlap."""
    return Lark.open_from_package(
        "mapc.dsl",
        "map.lark",
        [""],
        parser="lalr",
        start=["start", "hole"],
        propagate_positions=True,
        maybe_placeholders=True,
        edit_terminals=_end_of_word,
        g_regex_flags=re.ASCII,
        strict=strict,
    )


def _end_of_word(terminal: TerminalDef) -> None:
    """A keyword ends where a name would go on: `in.weight`, `if-then` and `for{i}` are names."""
    if isinstance(terminal.pattern, PatternStr) and terminal.pattern.value.isalpha():
        terminal.pattern = PatternRE(terminal.pattern.value + r"(?![\w.{-])")
        terminal.priority = 2


def _check_shape(tree: ParseTree, at: Origin) -> None:
    """What the rules alone do not say: how deep they may nest, and where a `{` stands."""
    for depth, node in _walk(tree):
        if depth > DEEPEST:
            message = f"expected at most {DEEPEST} levels of nesting, found more"
            help = ("nest less; a `let` gives a part of an expression a name",)
            raise MapError(Diagnostic("M0110", message, at.span(node), "", (), help))
        if node.data in _BRACES:
            _check_brace(at.span(node))


def _walk(tree: ParseTree) -> Iterator[tuple[int, ParseTree]]:
    """Every rule with its depth, in the order of the text, without recursion."""
    open_rules = [(1, tree)]
    while open_rules:
        depth, node = open_rules.pop()
        yield depth, node
        below = [
            (depth + 1, child)
            for child in node.children
            if not isinstance(child, Token)
        ]
        open_rules.extend(pair for pair in reversed(below) if pair[1] is not None)


def _check_brace(brace: Span) -> None:
    line, column = brace.source.position(brace.start)
    if not brace.source.line(line)[: column - 1].strip():
        raise MapError(
            brace_on_own_line(Span(brace.source, brace.start, brace.start + 1))
        )
