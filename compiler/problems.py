"""Shorthand for refusing a map."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import NoReturn

from ..dsl.diagnostics import Diagnostic, Label, MapError
from ..dsl.source import Span


def refuse(
    code: str,
    message: str,
    span: Span,
    *,
    note: str = "",
    labels: tuple[Label, ...] = (),
    help: str = "",
) -> NoReturn:
    """Raise one diagnostic."""
    raise MapError(
        Diagnostic(code, message, span, note, labels, (help,) if help else ())
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence about the most similar known name, or nothing."""
    close = get_close_matches(name, sorted(known), n=1)
    return f"the nearest name is `{close[0]}`" if close else ""


def word(text: str, span: Span, last: bool = False) -> Span:
    """Where a word stands in a span, the first time or the last; the whole span where it does not."""
    found = list(re.finditer(rf"(?<![\w.]){re.escape(text)}(?!\w)", span.text))
    if not found:
        return span
    match = found[-1 if last else 0]
    return Span(span.source, span.start + match.start(), span.start + match.end())
