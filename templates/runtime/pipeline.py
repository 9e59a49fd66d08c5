"""Pipeline layouts, which say what each stage holds: as a text, `"Ett|t*3|ttL"`, or as a list of words a stage."""

from __future__ import annotations

import re
from typing import Any

from .errors import ConversionError

MOST_HELD = 2**16  # what the stages of a layout hold together
_WORDS = {"E": "embedding", "t": "decoder", "m": "mtp", "L": "loss"}
# What is repeated: some things in parentheses, or one.
_REPEATED = re.compile(r"\(([^()]+)\)\*(\d{1,5})"), re.compile(r"([^()*])\*(\d{1,5})")


def is_layout(by: Any) -> bool:
    """Whether this says in words what the stages hold, and not in numbers of layers."""
    listed = isinstance(by, list) and any(isinstance(held, list) for held in by)
    return isinstance(by, str) or listed


def layout_counts(
    by: list[Any] | str, dim: str, pieces: int, virtual: int | None, ruled: bool
) -> list[int]:
    """The layers of each chunk of a layout; ConversionError where no model is stored so.

    Without `virtual` there are as many chunks a stage as the layout has. `ruled`: something else says the layers, too.
    """
    stages = (
        _from_text(by) if isinstance(by, str) else [_words(held, by) for held in by]
    )
    where = f"{dim}={pieces}: the layout {by!r}"
    if ruled:
        raise ConversionError(
            f"{where}: expected nothing else that says the layers of a stage, neither first nor last nor counted ones"
        )
    several = virtual is None and pieces > 1
    expected = pieces * (virtual or 1)
    if len(stages) % pieces if several else len(stages) != expected:
        wanted = f"a multiple of {pieces}" if several else str(expected)
        raise ConversionError(f"{where} has {len(stages)} stages, expected {wanted}")
    _check_layout(stages, where)
    return [held.count("decoder") for held in stages]


def _check_layout(stages: list[list[str]], where: str) -> None:
    """The embedding begins the first stage, the loss ends the last, behind the layers that predict further tokens."""
    flat = [word for held in stages for word in held]
    for word, at in (("embedding", 0), ("loss", -1)):
        if flat.count(word) != 1 or flat[at] != word or word not in stages[at]:
            place = "the first stage to begin" if at == 0 else "the last stage to end"
            raise ConversionError(f"{where}: expected {place} with the one {word}")
    early = [number for number, held in enumerate(stages[:-1]) if "mtp" in held]
    tail = stages[-1][stages[-1].index("mtp") :] if "mtp" in stages[-1] else []
    if early or "decoder" in tail:
        raise ConversionError(
            f"{where}: expected mtp behind the layers of the last stage, where this map has it"
        )


def _from_text(text: str) -> list[list[str]]:
    """What each stage holds; commas mean nothing."""
    whole = text
    text = text.replace(",", "")
    for repeated in _REPEATED:
        size = sum(len(one[1]) * int(one[2]) for one in repeated.finditer(text))
        if size > MOST_HELD:
            raise ConversionError(
                f"the layout {whole!r}: expected at most {MOST_HELD} things, found {size}"
            )
        text = repeated.sub(lambda found: found[1] * int(found[2]), text)
    odd = sorted({letter for letter in text if letter not in "|EtmL"})
    if odd:
        raise ConversionError(
            f"the layout {whole!r}: expected E, t, m and L between |, found {odd[0]!r}"
        )
    return [[_WORDS[letter] for letter in held] for held in text.split("|")]


def _words(held: Any, layout: Any) -> list[str]:
    """What a stage holds, as a list of words."""
    if not isinstance(held, list):
        raise ConversionError(
            f"the layout {layout!r}: expected a list of words a stage, found {held!r}"
        )
    words = [str(word).strip().lower() for word in held]
    odd = [word for word in words if word not in _WORDS.values()]
    if odd:
        known = ", ".join(_WORDS.values())
        raise ConversionError(
            f"the layout {layout!r}: expected {known}, found {odd[0]!r}"
        )
    return words
