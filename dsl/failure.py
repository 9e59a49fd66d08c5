"""Where a parse stopped: what was read before, what was found, and what the parser would have taken there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast

from lark import Lark, Token
from lark.exceptions import UnexpectedInput, UnexpectedToken

from .source import Span


class _Steps(Protocol):
    """What is used of Lark's interactive parser, which has no types of its own."""

    def iter_parse(self) -> Iterator[Token]: ...

    def feed_eof(self, last_token: Token | None = None) -> object: ...

    def accepts(self) -> set[str]: ...


@dataclass(frozen=True, slots=True)
class Failure:
    """Where the parser stopped: after `tokens`, before `found`; `whole` is the text that was parsed."""

    lark: Lark
    start: str
    whole: Span
    tokens: tuple[Token, ...]
    found: Span
    unknown: bool  # No token begins with the character that was found.
    accepts: frozenset[str]

    @property
    def last(self) -> Token | None:
        return self.tokens[-1] if self.tokens else None

    @property
    def ends(self) -> bool:
        """A statement or the text ends here."""
        return self.found.text in ("", "}") or self.found.text.startswith("\n")

    def span(self, token: Token) -> Span:
        start, end = token.start_pos, token.end_pos
        assert start is not None and end is not None, f"no position: {token!r}"
        return Span(self.whole.source, self.whole.start + start, self.whole.start + end)

    def said(self) -> str:
        """What was found, in words."""
        text = self.found.text
        if text.startswith("\n"):
            return "the end of the line"
        if text:
            return f"`{text if len(text) <= 40 else text[:37] + '...'}`"
        return "the end of the file" if self.start == "start" else "`}`"

    def place(self) -> Span:
        """What was found; at the end of a line or of the text, the place behind the last token."""
        if self.last is None or not (
            self.found.text.startswith("\n") or not self.found.text
        ):
            return self.found
        end = self.span(self.last).end
        return Span(self.whole.source, end, end)


def failure_of(lark: Lark, start: str, whole: Span) -> Failure:
    """Parses again, step by step, to see what came before and what could have come."""
    tokens, error, accepts = run(lark, start, whole.text)
    assert error is not None, "a text is only explained when it does not parse"
    begin = end = whole.end
    if not isinstance(error, UnexpectedToken):
        begin = whole.start + (error.pos_in_stream or 0)
        end = begin + 1
    elif error.token.type != "$END":
        begin = whole.start + (error.token.start_pos or 0)
        # `{ a }` reads as a name, but a block was meant.
        end = begin + (1 if re.match(r"\{\s", error.token) else len(error.token))
        tokens = tokens[:-1] if tokens and tokens[-1] is error.token else tokens
    found = Span(whole.source, begin, end)
    unknown = not isinstance(error, UnexpectedToken)
    return Failure(lark, start, whole, tuple(tokens), found, unknown, accepts)


def run(
    lark: Lark, start: str, text: str, whole: bool = True
) -> tuple[list[Token], UnexpectedInput | None, frozenset[str]]:
    """The tokens up to the first that does not fit, the error there, and what would have been accepted."""
    state = cast(_Steps, lark.parse_interactive(text, start=start))
    tokens: list[Token] = []
    try:
        for token in state.iter_parse():
            # One by one, since what came before an error has to stay.
            tokens.append(token)  # noqa: PERF402
        if whole:
            state.feed_eof(tokens[-1] if tokens else None)
    except UnexpectedInput as error:
        return tokens, error, frozenset(state.accepts())
    return tokens, None, frozenset(state.accepts())
