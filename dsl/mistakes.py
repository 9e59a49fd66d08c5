"""Syntax errors: from where the parser stopped to a diagnostic.

Each common mistake is a function that looks at what was read, what was found and what the parser would have
accepted there; the first one that recognises its mistake words it, else the message says what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast

from lark import Lark, Token
from lark.exceptions import UnexpectedInput, UnexpectedToken

from .diagnostics import Diagnostic, Label
from .expected import expected
from .source import Span

_CLOSERS = {"LPAR": ")", "LSQB": "]", "LBRACE": "}"}
_OPENERS = {"RPAR": "LPAR", "RSQB": "LSQB", "RBRACE": "LBRACE"}
_NO_ARROW = re.compile(r"<?[-=]+>|<-+|<=+|[:=]=?")
_KEYWORDS = (
    "drop",
    "for",
    "if",
    "include",
    "let",
    "make",
    "replica",
    "require",
    "use",
    "variant",
)
_STATEMENT = re.compile(rf"(?:{'|'.join(_KEYWORDS)})(?![\w.{{-])")
_STRAY = {
    ";": "a newline ends a statement",
    "'": 'text stands between `"` and `"`',
    "`": 'text stands between `"` and `"`',
    "&": "write `and`",
    "!": "write `not`",
    "\u2192": "write `<->`",
    "\u2194": "write `<->`",
    "\ufeff": "save the file without a byte order mark",
}


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


def explain(lark: Lark, start: str, whole: Span) -> Diagnostic:
    """The mistake in a text that the rule `start` does not take."""
    failure = _failure(lark, start, whole)
    for recognise in _MISTAKES:
        diagnostic = recognise(failure)
        if diagnostic is not None:
            return diagnostic
    return _unexpected(failure)


def _failure(lark: Lark, start: str, whole: Span) -> Failure:
    """Parses again, step by step, to see what came before and what could have come."""
    tokens, error, accepts = _run(lark, start, whole.text)
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


def _run(
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


def _unexpected(failure: Failure) -> Diagnostic:
    """No known mistake: what was expected, and what was found."""
    place, said = failure.place(), failure.said()
    last = failure.last
    if last is not None and last.type != "_NL" and failure.span(last).line < place.line:
        # The line break between the two was skipped, but it is what the reader sees.
        end = failure.span(last).end
        place, said = Span(place.source, end, end), "the end of the line"
    wanted = expected(failure.lark, failure.accepts, failure.start)
    message = f"expected {wanted}, found {said}"
    return Diagnostic("M0100", message, place, "", (), _advice(failure))


def _advice(failure: Failure) -> tuple[str, ...]:
    line, column = failure.found.source.position(failure.found.start)
    rest = failure.found.source.line(line)[column - 1 :]
    if {"LAYOUT", "TENSORS"} <= failure.accepts and re.match(r"[\w{*]", rest):
        return ("equations and their blocks stand in `tensors {` and `}`",)
    begins = re.match(r"\w.* <-> ", rest) or (
        _STATEMENT.match(rest) and not rest.startswith("if")
    )
    if "_NL" in failure.accepts and begins:
        return ("each statement stands on a line of its own",)
    return ()


# ---- the common mistakes --------------------------------------------------------------------------


def _open_string(failure: Failure) -> Diagnostic | None:
    if not (failure.unknown and failure.found.text == '"'):
        return None
    source, start = failure.found.source, failure.found.start
    line, column = source.position(start)
    span = Span(source, start, start + len(source.line(line)[column - 1 :]))
    message = 'expected a closing `"` on the same line, found the end of the line'
    return Diagnostic("M0111", message, span, "opened here")


def _stray(failure: Failure) -> Diagnostic | None:
    if not failure.unknown:
        return None
    char = failure.found.text
    named = (
        f"`{char}`" if char.isascii() and char.isprintable() else f"U+{ord(char):04X}"
    )
    wanted = expected(failure.lark, failure.accepts, failure.start)
    help = (_STRAY[char],) if char in _STRAY else ()
    message = f"expected {wanted}, found {named}"
    return Diagnostic(
        "M0103", message, failure.found, "not a character of the language", (), help
    )


def _wrong_arrow(failure: Failure) -> Diagnostic | None:
    """`->`, `=>`, `==` and the like where only `<->` can stand."""
    text, at = failure.whole.text, failure.found.start - failure.whole.start
    for match in _NO_ARROW.finditer(text, max(0, at - 3), at + 4):
        if match[0] == "<->" or not match.start() <= at <= match.end():
            continue
        _, _, accepts = _run(
            failure.lark, failure.start, text[: match.start()], whole=False
        )
        if "ARROW" in accepts:
            start = failure.whole.start + match.start()
            span = Span(failure.whole.source, start, start + len(match[0]))
            message = f"expected `<->` between the two sides, found `{match[0]}`"
            help = ("one equation holds in both directions",)
            return Diagnostic("M0104", message, span, "", (), help)
    return None


def _tie_for_arrow(failure: Failure) -> Diagnostic | None:
    """`a = b` and no `<->`: it reads as a tie, or as a constant in `config`."""
    read = [token for token in failure.tokens if token.type != "_NL"]
    ends = failure.ends or (failure.last is not None and failure.last.type == "_NL")
    if (
        not (ends or failure.found.text == "[")
        or "ARROW" not in failure.accepts
        or not read
    ):
        return None
    line = failure.span(read[-1]).line
    here = [
        failure.span(t)
        for t in read
        if t.type == "EQUAL" and failure.span(t).line == line
    ]
    if not here and not ends:
        return None
    if not here:
        end = failure.span(read[-1]).end
        place = Span(failure.whole.source, end, end)
        return Diagnostic(
            "M0104", "expected `<->`, found the end of the statement", place
        )
    sections = [token.type for token in read if token.type in ("CONFIG", "TENSORS")]
    help = "`=` gives a tensor a second name; `<->` stands between the two sides"
    if sections and sections[-1] == "CONFIG":
        help = '`=` gives a key a constant value, as in `<-> normalization = "RMSNorm"`'
    message = "expected `<->` between the two sides, found only `=`"
    return Diagnostic("M0104", message, here[-1], "", (), (help,))


def _missing_side(failure: Failure) -> Diagnostic | None:
    """Nothing on the right, or on the left, of `<->`."""
    if failure.found.text == "<->" and {"FOR", "NAME"} <= failure.accepts:
        message = "expected a term on the left of `<->`, found nothing"
        return Diagnostic("M0105", message, failure.found, "the left side is missing")
    arrows = [i for i, token in enumerate(failure.tokens) if token.type == "ARROW"]
    if not arrows:
        return None
    arrow = failure.span(failure.tokens[arrows[-1]])
    after = [failure.span(token) for token in failure.tokens[arrows[-1] + 1 :]]
    if after:
        next_line = after[0].line > arrow.line and failure.found.line == after[0].line
        known = failure.found.text == "<->" or _STATEMENT.match(after[0].text)
        if not (next_line and known):
            return None
    elif not failure.ends:
        return None
    message = "expected the right side of `<->`, found the end of the line"
    return Diagnostic("M0105", message, arrow, "the right side is missing")


def _number_on_axis(failure: Failure) -> Diagnostic | None:
    number = re.compile(r"\d[\w.]*").match(
        failure.whole.source.text, failure.found.start
    )
    if number is None or "ONE" not in failure.accepts:
        return None
    span = Span(failure.whole.source, number.start(), number.end())
    message = f"expected an index or `1` on an axis, found `{number[0]}`"
    help = (f"`let c = {number[0]}` gives the size a name",)
    return Diagnostic(
        "M0107", message, span, "no other number may stand here", (), help
    )


def _glued_brace(failure: Failure) -> Diagnostic | None:
    """`tensors{`: a brace right behind a word belongs to a name."""
    source = failure.whole.source
    word = re.compile(r"(config|else|tensors)\{").match(
        source.text, failure.found.start
    )
    if word is None:
        return None
    span = Span(source, word.start(), word.end())
    return Diagnostic("M0100", f"expected a space before `{{`, found `{word[0]}`", span)


def _elif(failure: Failure) -> Diagnostic | None:
    spans = (
        [failure.found]
        if failure.last is None
        else [failure.span(failure.last), failure.found]
    )
    for span in spans:
        if span.text == "elif":
            return Diagnostic("M0108", "expected `else if`, found `elif`", span)
    return None


def _open_hole(failure: Failure) -> Diagnostic | None:
    """A hole that swallowed the rest of its line, up to some other `}`, or that has no `}` at all."""
    for token in failure.tokens[-3:]:
        hole = re.search(r"\{[^{}]*?(?= *<->)", token) if token.type == "NAME" else None
        if hole is not None:
            start = failure.span(token).start
            return _not_closed(
                Span(failure.whole.source, start + hole.start(), start + hole.end())
            )
    found = failure.found
    glued = failure.last is not None and failure.span(failure.last).end == found.start
    if found.text == "{" and glued and "LBRACE" not in failure.accepts:
        return _not_closed(found)
    return None


def _not_closed(span: Span) -> Diagnostic:
    message = "expected `}` at the end of a hole, found none on the line"
    return Diagnostic("M0106", message, span, "opened here")


def _unfinished(failure: Failure) -> Diagnostic | None:
    """A statement's first word, read as a name because the line above is not finished."""
    words = [token for token in failure.tokens if token.type != "_NL"]
    if len(words) < 2 or not _STATEMENT.fullmatch(words[-1]):
        return None
    word, before = failure.span(words[-1]), failure.span(words[-2])
    if (
        word.line == before.line
        or failure.found.line != word.line
        or words[-1].type.lower() in _KEYWORDS
    ):
        return None
    text = failure.whole.source.text[failure.whole.start : before.end]
    _, _, accepts = _run(failure.lark, failure.start, text, whole=False)
    wanted = expected(failure.lark, accepts, failure.start)
    end = Span(before.source, before.end, before.end)
    return Diagnostic("M0100", f"expected {wanted}, found the end of the line", end)


def _own_line(failure: Failure) -> Diagnostic | None:
    """A `{` on the line below its header."""
    rest = re.compile(r"(?:\s|#[^\n]*)*\{(?=\s)").match(
        failure.whole.source.text, failure.found.start
    )
    if (
        rest is None
        or "\n" not in failure.whole.source.text[_end(failure) : rest.end()]
    ):
        return None
    span = Span(failure.whole.source, rest.end() - 1, rest.end())
    return brace_on_own_line(span)


def _end(failure: Failure) -> int:
    words = [token for token in failure.tokens if token.type != "_NL"]
    return failure.span(words[-1]).end if words else failure.whole.start


def brace_on_own_line(brace: Span) -> Diagnostic:
    """The mistake of a `{` that does not stand behind its header."""
    help = ("write it at the end of the line above",)
    message = "expected `{` on the line of its header, found it on the next"
    return Diagnostic("M0109", message, brace, "", (), help)


def _brackets(failure: Failure) -> Diagnostic | None:
    """A bracket that nothing closes, or that closes nothing."""
    opened: list[Token] = []
    for token in failure.tokens:
        if token.type in _CLOSERS:
            opened.append(token)
        elif token.type in _OPENERS and opened:
            opened.pop()
    found = failure.found.text
    if not opened:
        if found in (")", "]", "}"):
            message = f"expected {expected(failure.lark, failure.accepts, failure.start)}, found `{found}`"
            return Diagnostic("M0106", message, failure.found, "nothing is open here")
        return None
    closer = _CLOSERS[opened[-1].type]
    names = {")": "RPAR", "]": "RSQB", "}": "RBRACE"}
    stops = failure.ends or found in (")", "]", "<->", "{")
    if names[closer] not in failure.accepts or not stops:
        return None
    message = f"expected `{closer}`, found {failure.said()}"
    labels = (Label(failure.span(opened[-1]), "opened here"),)
    return Diagnostic(
        "M0106", message, failure.place(), "not closed before this", labels
    )


_MISTAKES = (
    _open_string,
    _wrong_arrow,
    _stray,
    _number_on_axis,
    _glued_brace,
    _elif,
    _open_hole,
    _own_line,
    _missing_side,
    _unfinished,
    _brackets,
    _tie_for_arrow,
)
