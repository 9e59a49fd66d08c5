"""The text of a map, before it is parsed: decoded, of a size that is compiled, without characters that hide.

Generated code holds text of the map in comments and literals. What is refused here never gets there: characters
that end a line for Python and not for a reader, and those that show text in another order than it is in.
"""

from __future__ import annotations

import re
from unicodedata import category, name

from .diagnostics import Diagnostic, MapError
from .source import Source, Span

MOST = 200_000  # characters of a map
# Controls, formats (such as those that change the direction of writing), separators of lines, halves of characters.
HIDDEN = ("Cc", "Cf", "Zl", "Zp", "Cs")
_ODD = re.compile(r"[^\t\n\x20-\x7e]")


def source_of(file: str, data: bytes) -> Source:
    """A file's text with a newline at the end of each line. Raises MapError where it is not UTF-8."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        start = len(_lines(data[: error.start].decode("utf-8")))
        source = Source(file, _lines(data.decode("utf-8", "replace")))
        message = f"expected UTF-8 text, found byte 0x{data[error.start]:02x}"
        span = Span(source, start, start + 1)
        help = ("save the file in UTF-8",)
        raise MapError(Diagnostic("M0001", message, span, "", (), help)) from None
    return Source(file, _lines(text))


def check_text(source: Source) -> None:
    """Raises MapError for a text that is too long or holds what a reader does not see."""
    if len(source.text) > MOST:
        message = f"expected at most {MOST} characters, found {len(source.text)}"
        raise MapError(Diagnostic("M0002", message, Span(source, 0, 0)))
    for match in _ODD.finditer(source.text):
        char = match[0]
        follows = source.text[match.end() : match.end() + 1]
        if category(char) in HIDDEN and not (char == "\r" and follows == "\n"):
            span = Span(source, match.start(), match.end())
            called = name(char, "a control character").lower()
            message = f"a character that is not seen: U+{ord(char):04X}, {called}"
            help = () if ord(char) != 0xFEFF else ("save the file without it",)
            raise MapError(Diagnostic("M0003", message, span, "", (), help))


def _lines(text: str) -> str:
    return "\n".join(re.split(r"\r\n?|\n", text))
