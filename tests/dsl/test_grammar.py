"""The grammar itself: no conflicts, no terminals that overlap, and any text parses or is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapc.dsl.diagnostics import MapError
from mapc.dsl.formatter import format_file
from mapc.dsl.grammar import load
from mapc.dsl.parser import parse
from mapc.dsl.source import Source

HERE = Path(__file__).parent
WHOLE = (HERE / "maps" / "constructs.map").read_text(encoding="utf-8")
WORDS = r"""
( ) [ ] { } , ; : = + - * / % ? ?? ^ @ . .. < > == -> <-> | ** # ! 1 0 2.5 1e5 " \ pp=first (x:1)
language map layout config tensors option let replica include require def use variant component
for in if else elif unless where with bias lora lossy decode make drop left right at as copy of
mesh stages over by first last first,last virtual named counting embedding loss files codec prefix
compose inverse true false none and or not a b.c x{i} {q,k} {i@pp}
"""
SPACED = (
    "{w | v}",
    '"text"',
    '"a {i} b"',
    '"\\{"',
    "grouped {",
    "\u00e9",
    "\u2194",
    "\x00",
)
BLANKS = ("\n", "\n\n", "\r\n", "\t", "# comment\n", "\n# own line\n")
TOKENS = (*WORDS.split(), *SPACED, *BLANKS)
texts = st.lists(st.sampled_from(TOKENS), max_size=30).map(" ".join)


def test_the_grammar_is_strict() -> None:
    pytest.importorskip(
        "interegular", reason="needed to compare the terminals with each other"
    )
    assert load(strict=True).options.strict


def check(text: str) -> bool:
    """A text that parses prints with the same tree, and then to itself; another one has one diagnostic."""
    try:
        file = parse(Source("any.map", text))
    except MapError as refused:
        assert len(refused.diagnostics) == 1
        assert str(refused).isascii()
        return False
    printed = format_file(file)
    again = parse(Source("any.map", printed))
    assert again == file
    assert format_file(again) == printed
    return True


@given(texts)
def test_any_text_parses_or_is_refused(text: str) -> None:
    check(text)


@given(
    texts,
    st.sampled_from(
        ("{}", "tensors {{\n{}\n}}", "config {{\n{}\n}}", "layout m {{\n{}\n}}")
    ),
)
def test_any_text_in_a_section_parses_or_is_refused(text: str, section: str) -> None:
    check("language 1\n" + section.format(text))


@given(st.integers(0, len(WHOLE)), st.integers(0, 40), st.sampled_from(("", *TOKENS)))
def test_a_damaged_map_parses_or_is_refused(start: int, length: int, text: str) -> None:
    check(WHOLE[:start] + text + WHOLE[start + length :])


@given(
    st.lists(
        st.sampled_from([i for i, char in enumerate(WHOLE) if char == " "]),
        unique=True,
        max_size=9,
    ),
    st.lists(
        st.sampled_from(("# c\n", "\n", "\n\n\n", "\n  # own\n", "\t")),
        min_size=9,
        max_size=9,
    ),
)
def test_comments_and_lines_may_stand_wherever_they_parse(
    places: list[int], texts: list[str]
) -> None:
    text = WHOLE
    for place, between in zip(sorted(places, reverse=True), texts, strict=False):
        text = text[:place] + " " + between + text[place:]
    check(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000,
        "let x = " + "(" * 5000,
        "tensors { a[" + "(" * 5000,
        "tensors {" + "if a {" * 5000,
    ]
    + [
        "let x = " + "-" * 5000 + "1",
        "let x = 1" + " + 1" * 5000,
        "let x = " + "not " * 5000 + "a",
    ]
    + [
        "let x = " + "a if b else " * 5000 + "c",
        "tensors { a + 1" + " + 1" * 5000 + " <-> b }",
    ],
)
def test_deep_nesting_is_refused(text: str) -> None:
    assert not check("language 1\n" + text)


def test_nesting_up_to_the_limit_is_taken() -> None:
    assert check("language 1\nlet x = " + "[" * 120 + "]" * 120 + "\n")
    assert check("language 1\nlet x = " + "-" * 120 + "1\n")
    assert check("language 1\ntensors {\n" + "if a {\n" * 60 + "}\n" * 61)
