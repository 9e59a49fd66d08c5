"""Syntax errors: from where the parser stopped to a diagnostic.

Each common mistake is a function that looks at what was read, what was found and what the parser would have
accepted there; the first one that recognises its mistake words it, else the message says what was expected.
"""

from __future__ import annotations

import re
from difflib import get_close_matches

from lark import Lark, Token

from .diagnostics import Diagnostic, Label
from .expected import expected
from .failure import Failure, failure_of, run
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
_BLOCK = re.compile(r"(?:drop|for|if|make|use|variant)(?![\w.{-])")
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


def explain(lark: Lark, start: str, whole: Span) -> Diagnostic:
    """The mistake in a text that the rule `start` does not take."""
    failure = failure_of(lark, start, whole)
    for recognise in _MISTAKES:
        diagnostic = recognise(failure)
        if diagnostic is not None:
            return diagnostic
    return _unexpected(failure)


def _unexpected(failure: Failure) -> Diagnostic:
    """No known mistake: what was expected, and what was found."""
    place, said = failure.place(), failure.said()
    last = failure.last
    if last is not None and last.type != "_NL" and failure.span(last).line < place.line:
        # The line break between the two was skipped, but it is what the reader sees.
        end = failure.span(last).end
        place, said = Span(place.source, end, end), "the end of the line"
    wanted = expected(failure.lark, failure.accepts, failure.start)
    return Diagnostic(
        "M0100", f"expected {wanted}, found {said}", place, "", (), _nearest(failure)
    )


def _nearest(failure: Failure) -> tuple[str, ...]:
    """The keyword that is most like what was found, of those that may stand here."""
    patterns = [
        failure.lark.get_terminal(name).pattern for name in failure.accepts - {"$END"}
    ]
    words = [re.split(r"[^a-z]", pattern.value)[0] for pattern in patterns]
    close = get_close_matches(failure.found.text, sorted(set(words) - {""}), n=1)
    return (f"the nearest word is `{close[0]}`",) if close else ()


# ---- the common mistakes --------------------------------------------------------------------------


def _rest(failure: Failure) -> str:
    """The line from what was found on."""
    line, column = failure.found.source.position(failure.found.start)
    return failure.found.source.line(line)[column - 1 :]


def _outside_tensors(failure: Failure) -> Diagnostic | None:
    """A statement of `tensors` that stands in the file itself."""
    if not {"LAYOUT", "TENSORS"} <= failure.accepts:
        return None
    rest = _rest(failure)
    if failure.unknown or not (re.match(r"[\w{*].*<->", rest) or _BLOCK.match(rest)):
        return None
    message = f"expected {failure.said()} inside `tensors {{ .. }}`, found it outside"
    help = ("equations and their blocks stand in `tensors {` and `}`",)
    return Diagnostic("M0142", message, failure.found, "", (), help)


def _second_on_a_line(failure: Failure) -> Diagnostic | None:
    rest = _rest(failure)
    begins = re.match(r"\w.* <-> ", rest) or (
        _STATEMENT.match(rest) and not rest.startswith("if")
    )
    if "_NL" not in failure.accepts or not begins or failure.unknown:
        return None
    message = f"expected the end of the line, found {failure.said()}"
    help = ("each statement stands on a line of its own",)
    return Diagnostic("M0141", message, failure.found, "", (), help)


def _lone_else(failure: Failure) -> Diagnostic | None:
    """`else` behind nothing that it could belong to: it was read as a name."""
    for span in (*(failure.span(t) for t in failure.tokens[-1:]), failure.found):
        if span.text == "else":
            message = "`else` behind no block that it could belong to"
            help = ("it stands behind the `}` of an `if` or a filtered `for`",)
            return Diagnostic("M0144", message, span, "", (), help)
    return None


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
        _, _, accepts = run(
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
        message = "expected `<->`, found the end of the statement"
        why = "a statement is an equation: it says what both sides hold"
        return Diagnostic("M0118", message, place, "", (), (why,))
    sections = [token.type for token in read if token.type in ("CONFIG", "TENSORS")]
    help = "`=` gives a tensor a second name; `<->` stands between the two sides"
    if sections and sections[-1] == "CONFIG":
        help = '`=` gives a key a constant value, as in `<-> normalization = "RMSNorm"`'
    message = "expected `<->` between the two sides, found only `=`"
    return Diagnostic("M0118", message, here[-1], "", (), (help,))


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
    message = f"expected a space before `{{`, found `{word[0]}`"
    help = ("a brace that touches a word is the hole of a name",)
    return Diagnostic("M0117", message, span, "", (), help)


def _elif(failure: Failure) -> Diagnostic | None:
    spans = (
        [failure.found]
        if failure.last is None
        else [failure.span(failure.last), failure.found]
    )
    for span in spans:
        if span.text == "elif":
            help = (
                "a chain of conditions is `if a { .. } else if b { .. } else { .. }`",
            )
            message = "expected `else if`, found `elif`"
            return Diagnostic("M0108", message, span, "", (), help)
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
    help = ("a hole is closed on its line: `layers.{i}.weight`",)
    return Diagnostic("M0106", message, span, "opened here", (), help)


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
    _, _, accepts = run(failure.lark, failure.start, text, whole=False)
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
            return Diagnostic("M0140", message, failure.found, "nothing is open here")
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
    _lone_else,
    _outside_tensors,
    _second_on_a_line,
)
