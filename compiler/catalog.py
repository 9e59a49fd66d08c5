"""The codes of diagnostics, explained: one text a code in `errors/`, printed by `mapc explain CODE`.

A text begins with the code and its title, goes on with why the compiler asks for it and the way out, and ends with a
map that is refused so and what is said about it. docs/errors.md is all of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files

import click

from .answer import Answer

_TEXT = re.compile(
    r"# (?P<code>M\d{4}): (?P<title>[^\n]+)\n\n(?P<why>.+?)\n\n"
    r"The way out: (?P<out>.+?)\n\nExample: (?P<example>\w+)\n(?P<shown>.*)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A code's text: the first line, the two paragraphs, the name of the example, the example and its diagnostic."""

    code: str
    title: str
    why: str
    way_out: str
    example: str
    shown: str

    def __str__(self) -> str:
        return (
            f"# {self.code}: {self.title}\n\n{self.why}\n\nThe way out: {self.way_out}\n\n"
            f"Example: {self.example}\n{self.shown}"
        )


def entry(text: str) -> Entry:
    """The parts of a code's text; ValueError where it has another form."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError(f"expected the form of a code's text, found {text[:40]!r}")
    return Entry(*found.groups())


def entries() -> tuple[Entry, ...]:
    """Every code's text, in the order of the codes."""
    folder = files("mapc.compiler") / "errors"
    texts = [file.read_text("utf-8") for file in folder.iterdir()]
    return tuple(sorted(map(entry, texts), key=lambda one: one.code))


def explain_code(code: str) -> Answer:
    """What a code means; a usage error where there is none of that name."""
    found = {one.code: one for one in entries()}
    if code not in found:
        (close,) = get_close_matches(code, found, n=1, cutoff=0)
        message = f"no diagnostic has the code `{code}`; the nearest is `{close}`"
        raise click.BadParameter(message, param_hint="CODE")
    one = found[code]
    data = {
        "code": one.code,
        "title": one.title,
        "why": " ".join(one.why.split()),
        "way_out": " ".join(one.way_out.split()),
        "example": one.shown,
    }
    return Answer(str(one).removeprefix("# ").rstrip("\n"), data)
