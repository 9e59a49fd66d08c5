"""The error of every converter, and what may stand in a line of text."""

from __future__ import annotations

import re

LONGEST = 2000  # characters of a message
_LONG_WORD = re.compile(r"\S{600,}")  # longer than paths and names are


class ConversionError(ValueError):
    """The checkpoint, its config or the mesh is refused; nothing was written.

    The message names the tensor or key, what was expected and found, and the way out. It is one line that can be read,
    whatever stands in the checkpoint.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def one_line(text: str) -> str:
    """A text without line ends and invisible characters, and not too long: names and values may be anything."""
    text = _LONG_WORD.sub(lambda word: _shortened(word[0], 200), text)
    return _shortened(printable(_shortened(text, LONGEST)), LONGEST)


def printable(text: str) -> str:
    """A text with everything escaped that would end the line, hide or turn what stands around it."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode()
        for one in text
    )


def _shortened(text: str, most: int) -> str:
    """A text with its middle left out where it has more than so many characters."""
    if len(text) <= most:
        return text
    half = most // 2 - 20  # and what is said between them
    left_out = len(text) - 2 * half
    return f"{text[:half]}... ({left_out} characters) ...{text[-half:]}"
