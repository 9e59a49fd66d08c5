"""The first pass: from the text of a map to its syntax tree.

After it the text has the form of the language, version 1. That the names mean something is not yet known.
"""

from __future__ import annotations

from . import syntax
from .builder import top_level
from .diagnostics import Diagnostic, Label, MapError
from .grammar import Origin, children, rules_of
from .holes import comments_of
from .reading import check_text
from .source import Source, Span

VERSION = "1"


def parse(source: Source) -> syntax.File:
    """The syntax tree of a map. Raises MapError, with one diagnostic, where the text is no map."""
    check_text(source)
    whole = Span(source, 0, len(source.text))
    at = Origin(source)
    items = tuple(top_level(node, at) for node in children(rules_of(whole, "start")))
    _check_language(items, source)
    return syntax.File(
        items, tuple(_comment(span) for span in comments_of(whole)), span=whole
    )


def _comment(span: Span) -> syntax.Comment:
    line, column = span.source.position(span.start)
    own_line = not span.source.line(line)[: column - 1].strip()
    return syntax.Comment(span.text, own_line, span=span)


def _check_language(items: tuple[syntax.TopLevel, ...], source: Source) -> None:
    """`language 1` stands once, before everything else."""
    first, *others = items or (None,)
    help = (f"a map begins with `language {VERSION}`",)
    if not isinstance(first, syntax.Language):
        span = Span(source, 0, 0) if first is None else _head(first.span)
        found = "an empty map" if first is None else f"`{span.text}`"
        message = f"expected `language {VERSION}` as the first statement, found {found}"
        raise MapError(Diagnostic("M0101", message, span, "", (), help))
    if first.version != VERSION:
        number = Span(source, first.span.end - len(first.version), first.span.end)
        message = f"expected language version {VERSION}, found {first.version}"
        help = (f"this compiler knows `language {VERSION}`",)
        raise MapError(Diagnostic("M0102", message, number, "not supported", (), help))
    for other in others:
        if isinstance(other, syntax.Language):
            message = "expected `language` once, as the first statement, found it again"
            labels = (Label(first.span, "first here"),)
            raise MapError(Diagnostic("M0143", message, other.span, "", labels))


def _head(span: Span) -> Span:
    """The first word of a statement."""
    return Span(span.source, span.start, span.start + len(span.text.split(None, 1)[0]))
