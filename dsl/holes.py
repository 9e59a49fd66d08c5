"""Names: their literal text, `**`, and the holes between braces, which are parsed by a rule of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lark import Token

from . import syntax
from .build_expressions import ESCAPES, expression, string_value, unescaped
from .diagnostics import Diagnostic, MapError
from .grammar import Origin, Piece, children, rules_of
from .source import Span

WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
COMMENT = re.compile(r'"(?:[^"\\\n]|\\.)*"|(#[^\n]*)')
# `**` is a component where dots or ends stand beside it; between quotes it may also be plain text.
_PIECES = re.compile(
    r'(?P<escape>\\.)|\{(?P<hole>[^{}\n]*)\}|(?P<deep>(?<![^."])\*\*(?![^."]))|(?P<brace>[{}])|[^\\{}*]+|\*'
)
WIDEST = 20  # digits of a number in the name of a file
_ESCAPES = {**ESCAPES, "{": "{", "}": "}"}


def name(node: Piece, at: Origin) -> syntax.Name:
    """A name; with its component where it is written `component:name`."""
    if isinstance(node, Token):
        quoted = node.startswith('"')
        span = at.span(node)
        inner = Span(span.source, span.start + quoted, span.end - quoted)
        return syntax.Name(_parts(inner), quoted, span=span)
    component, rest = children(node)
    found = name(rest, at)
    return syntax.Name(
        found.parts,
        found.quoted,
        plain_word(component, at, "a component"),
        span=at.span(node),
    )


def plain_word(node: Piece, at: Origin, what: str) -> str:
    """The text of a name that has to be one word, as `what` is."""
    if isinstance(node, Token) and WORD.fullmatch(node):
        return str(node)
    span = at.span(node)
    raise MapError(
        Diagnostic(
            "M0113",
            f"expected {what}: one word, found `{span.text}`",
            span,
            help=("a word has letters, digits and `_`, and no dots",),
        )
    )


def comments_of(span: Span) -> Iterator[Span]:
    """The comments of a text that parses, from `#` to the end of the line."""
    for match in COMMENT.finditer(span.text):
        if match[1] is not None:
            start = span.start + match.start()
            yield Span(span.source, start, start + len(match[1].rstrip()))


def _parts(span: Span) -> tuple[syntax.NamePart, ...]:
    """What a name is made of; neighbouring pieces of text become one."""
    parts: list[syntax.NamePart] = []
    # On the text by itself: what stands before the name does not count for its first `**`.
    for match in _PIECES.finditer(span.text):
        start, end = span.start + match.start(), span.start + match.end()
        part = _part(match, Span(span.source, start, end))
        before = parts[-1] if parts else None
        if isinstance(part, syntax.Text) and isinstance(before, syntax.Text):
            whole = Span(span.source, before.span.start, part.span.end)
            parts[-1] = syntax.Text(before.text + part.text, span=whole)
        else:
            parts.append(part)
    return tuple(parts)


def _part(match: re.Match[str], span: Span) -> syntax.NamePart:
    if match["hole"] is not None:
        return _hole(Span(span.source, span.start + 1, span.end - 1), span)
    if match["deep"]:
        return syntax.Deep(span=span)
    if match["brace"]:
        message = f"expected a hole between `{{` and `}}`, found a single `{span.text}`"
        help = (f"`\\{span.text}` between quotes is the character itself",)
        raise MapError(
            Diagnostic("M0119", message, span, "the other is missing", (), help)
        )
    return syntax.Text(unescaped(span, _ESCAPES), span=span)


def _hole(inner: Span, span: Span) -> syntax.NamePart:
    """What stands between braces. Raises MapError at a comment: it would hide the closing brace."""
    for comment in comments_of(inner):
        raise MapError(
            Diagnostic(
                "M0114",
                "a comment does not stand between braces",
                comment,
                help=("it would hide the closing brace",),
            )
        )
    at = Origin(inner.source, inner.start)
    tree = rules_of(inner, "hole")
    pieces = children(tree)
    match tree.data, pieces:
        case "several", _:
            return syntax.Several(
                tuple(_item(piece, at) for piece in pieces), span=span
            )
        case "alternates", _:
            return syntax.Alternates(
                tuple(_item(piece, at) for piece in pieces), span=span
            )
        case "hole", [value, mesh, width]:
            if width is not None:
                _check_width(at.span(width))
            return syntax.Hole(
                expression(value, at),
                None if mesh is None else str(mesh),
                None if width is None else str(width),
                span=span,
            )
        case rule, _:
            raise AssertionError(f"rule `{rule}` is no hole")


def _check_width(span: Span) -> None:
    if not span.text.isdigit() or len(span.text) > 2 or int(span.text) > WIDEST:
        message = f"expected a width of at most {WIDEST} digits, found `{span.text}`"
        raise MapError(Diagnostic("M0005", message, span))


def _item(node: Piece, at: Origin) -> str:
    assert isinstance(node, Token), "an item of a hole is a token"
    return string_value(at.span(node)) if node.type == "STRING" else str(node)
