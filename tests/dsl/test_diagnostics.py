"""How diagnostics are told: whole texts."""

from __future__ import annotations

from mapc.dsl.diagnostics import Diagnostic, Label, MapError, render, to_json
from mapc.dsl.source import Source, Span

TEXT = """language 1
tensors {
    q[(g h d) e],
    k[(g d) e]  <-> qkv[(g (h + 1) d) e]
\tlong\t<-> caf\u00e9 x
}
"""
SOURCE = Source("test.map", TEXT)


def span(text: str, source: Source = SOURCE) -> Span:
    start = source.text.index(text)
    return Span(source, start, start + len(text))


def shown(diagnostic: Diagnostic) -> str:
    return "\n" + render(diagnostic) + "\n"


def test_a_label_on_the_same_line() -> None:
    label = Label(span("k[(g d) e]"), "2 parts here: g h d e | g d e")
    help = ("`q, k, v` into one group is `(h + 1 + 1)`",)
    diagnostic = Diagnostic(
        "M0301", "the two sides differ", span("h + 1"), "3 parts here", (label,), help
    )
    assert shown(diagnostic) == """
error[M0301]: the two sides differ
 --> test.map:4:29
  |
4 |     k[(g d) e]  <-> qkv[(g (h + 1) d) e]
  |     ----------              ^^^^^
  |     |                       3 parts here
  |     2 parts here: g h d e | g d e
  = help: `q, k, v` into one group is `(h + 1 + 1)`
"""


def test_texts_side_by_side_where_they_fit() -> None:
    label = Label(span("k[(g d) e]"), "2 parts here")
    assert (
        shown(
            Diagnostic(
                "M0301", "the two sides differ", span("h + 1"), "3 parts", (label,)
            )
        )
        == """
error[M0301]: the two sides differ
 --> test.map:4:29
  |
4 |     k[(g d) e]  <-> qkv[(g (h + 1) d) e]
  |     ----------              ^^^^^
  |     2 parts here            3 parts
"""
    )


def test_labels_on_other_lines_and_in_another_file() -> None:
    other = Source("parts/gqa.map", "let g = 1\nlet h = 2")
    labels = (
        Label(span("language"), "the language"),
        Label(span("h d"), "an index"),
        Label(span("let h", other), "set here"),
        Label(span("long"), ""),
    )
    assert (
        shown(Diagnostic("M0302", "no `h`", span("(h + 1)"), "used here", labels))
        == """
error[M0302]: no `h`
 --> test.map:4:28
  |
1 | language 1
  | --------
  | the language
...
3 |     q[(g h d) e],
  |          ---
  |          an index
4 |     k[(g d) e]  <-> qkv[(g (h + 1) d) e]
  |                            ^^^^^^^
  |                            used here
5 |     long    <-> caf\\xe9 x
  |     ----
 ::: parts/gqa.map:2:1
  |
2 | let h = 2
  | -----
  | set here
"""
    )


def test_the_primary_mark_lies_above_a_label() -> None:
    labels = (Label(span("qkv[(g (h + 1) d) e]"), "the term"),)
    assert (
        shown(
            Diagnostic(
                "M0303",
                "`h`",
                span("(h + 1)"),
                "the part",
                labels,
                ("one\ntwo", "three"),
            )
        )
        == """
error[M0303]: `h`
 --> test.map:4:28
  |
4 |     k[(g d) e]  <-> qkv[(g (h + 1) d) e]
  |                     -------^^^^^^^------
  |                     |      the part
  |                     the term
  = help: one
          two
  = help: three
"""
    )


def test_tabs_other_characters_and_spans_of_several_lines() -> None:
    whole = Span(SOURCE, TEXT.index("caf"), len(TEXT))
    assert shown(Diagnostic("M0304", "no tensor", whole, "starts here")) == """
error[M0304]: no tensor
 --> test.map:5:11
  |
5 |     long    <-> caf\\xe9 x
  |                 ^^^^^^^^^
  |                 starts here
"""


def test_the_end_of_the_text_and_wide_line_numbers() -> None:
    source = Source("long.map", "\n" * 99 + "a <-> b")
    end = Span(source, len(source.text), len(source.text))
    first = Label(Span(source, 0, 0), "before all")
    assert shown(Diagnostic("M0305", "expected more", end, "", (first,))) == """
error[M0305]: expected more
   --> long.map:100:8
    |
  1 |
    | -
    | before all
...
100 | a <-> b
    |        ^
"""


def test_a_long_line_is_shown_in_part() -> None:
    source = Source("wide.map", "a" * 200 + "bbb" + "c" * 200)
    middle, last = Span(source, 200, 203), Span(source, 399, 403)
    lines = render(
        Diagnostic("M0306", "too long", middle, "here", (Label(last, "end"),))
    ).split("\n")
    assert lines[3] == "1 | ..." + "a" * 37 + "bbb" + "c" * 94 + "..."
    assert lines[4] == "  | " + " " * 40 + "^^^" + " " * 96 + "-"
    assert lines[5] == "  | " + " " * 40 + "here" + " " * 95 + "end"


def test_json() -> None:
    labels = (Label(Span(SOURCE, 0, 12), "the head"),)
    diagnostic = Diagnostic(
        "M0307", "no `h`", span("h + 1"), "used", labels, ("one", "two")
    )
    assert to_json(diagnostic) == {
        "code": "M0307",
        "message": "no `h`",
        "file": "test.map",
        "line": 4,
        "column": 29,
        "end_line": 4,
        "end_column": 34,
        "note": "used",
        "labels": [
            {
                "file": "test.map",
                "line": 1,
                "column": 1,
                "end_line": 2,
                "end_column": 2,
                "text": "the head",
            }
        ],
        "help": ["one", "two"],
    }


def test_an_error_of_several_diagnostics() -> None:
    one = Diagnostic("M0308", "first", span("language"))
    two = Diagnostic("M0309", "second", span("tensors"))
    error = MapError(one, two)
    assert error.diagnostics == (one, two)
    assert str(error) == f"{render(one)}\n\n{render(two)}"
