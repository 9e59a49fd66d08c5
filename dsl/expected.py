"""What the grammar could take at a place, in the words of the language: half of a syntax error's message."""

from __future__ import annotations

from collections.abc import Iterable

from lark import Lark
from lark.lexer import PatternStr

MOST = 4  # More would hide what matters.

_WORDS = {
    "$END": "the end of the file",
    "CHOICE": "a way to store it (`grouped {`)",
    "COMPARE": "a comparison",
    "NAME": "a name",
    "NUMBER": "a number",
    "ONE": "`1`",
    "PATH": "a key",
    "PLACE": "`first` or `last`",
    "SIDE": "`left` or `right`",
    "STRING": "a string",
    "WORD": "a word",
    "_NL": "the end of the line",
}
_STATEMENTS = (
    "CONFIG DEF DROP FOR IF INCLUDE LANGUAGE LAYOUT LET MAKE MAP OPTION REPLICA REQUIRE TENSORS"
    " USE VARIANT"
)
_OPERATORS = "AND COMPARE IF IN MINUS OR PERCENT PLUS SLASH STAR"
# (the terminals that tell a group, the terminals that it stands for, its name)
_GROUPS = tuple(
    (frozenset(signs.split()), frozenset(members.split()), word)
    for signs, members, word in (
        ("FOR NAME", f"{_STATEMENTS} NAME", "a statement"),
        ("LET REQUIRE", f"{_STATEMENTS} COMPONENT", "a statement"),
        ("CODEC FILES MESH", "CODEC FILES MESH PREFIX STAGES", "a rule of a layout"),
        (
            "FALSE NUMBER PATH",
            "FALSE LPAR LSQB MINUS NONE NOT NUMBER PATH STRING TRUE",
            "an expression",
        ),
        ("ONE WORD", "LPAR ONE WORD", "an axis"),
        ("COMPARE STAR", f"{_OPERATORS} LPAR LSQB", "an operator"),
        ("PLUS STAR", f"{_OPERATORS} LPAR", "an operator"),
    )
)
# What a reader most likely forgot stands first; what is not named here comes last.
_ORDER = (
    "a statement",
    "a rule of a layout",
    "an expression",
    "an axis",
    "a name",
    "`<->`",
    "`{`",
    "`)`",
    "`]`",
    "`}`",
    "the end of the line",
    "the end of the file",
    "an operator",
)


def expected(lark: Lark, accepts: Iterable[str], start: str) -> str:
    """`a name`, `a name or the end of the line`: what the parser accepts, the likely first, at most MOST."""
    left = set(accepts)
    words = set()
    for signs, members, word in _GROUPS:
        if signs <= left:
            left -= members
            words.add(word)
    words |= {_word(lark, name, start) for name in left}
    order = {word: index for index, word in enumerate(_ORDER)}
    return _either(
        sorted(words, key=lambda word: (order.get(word, len(order)), word))[:MOST]
    )


def _word(lark: Lark, name: str, start: str) -> str:
    if name == "$END" and start == "hole":
        return "`}`"
    if name in _WORDS:
        return _WORDS[name]
    pattern = lark.get_terminal(name).pattern
    return f"`{pattern.value if isinstance(pattern, PatternStr) else name.lower()}`"


def _either(words: list[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last
