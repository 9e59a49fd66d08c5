"""Every node knows its own characters: in canonical text a span holds what the formatter prints for the node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from mapc.dsl import format_inline, syntax
from mapc.dsl.parser import parse
from mapc.dsl.source import Source

HERE = Path(__file__).parent
EXPRESSIONS = (
    *(
        syntax.Path,
        syntax.Number,
        syntax.String,
        syntax.Boolean,
        syntax.Nothing,
        syntax.ListOf,
    ),
    *(syntax.Call, syntax.Item, syntax.Unary, syntax.Binary, syntax.Conditional),
)
AXES = (
    syntax.Index,
    syntax.One,
    syntax.Product,
    syntax.Sum,
    syntax.Padded,
    syntax.Split,
)


def nodes(value: object) -> Iterator[syntax.Node]:
    """A node and all below it."""
    if isinstance(value, syntax.Node):
        yield value
        for field in fields(value):
            yield from nodes(getattr(value, field.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from nodes(item)


def printed(node: syntax.Node) -> str | None:
    """What stands for a node in canonical text; None for one of several lines."""
    match node:
        case syntax.Name():
            return format_inline.name(node)
        case syntax.Text():
            return None if "\\" in node.span.text else node.text
        case syntax.Axes():
            return format_inline.axes(node)
        case syntax.Term() if not node.ties:
            return format_inline.term(node)
        case syntax.Tie():
            return format_inline.tie(node)
        case syntax.At():
            return format_inline.at(node)
        case syntax.Setting():
            return format_inline.setting(node)
        case syntax.Condition():
            return format_inline.condition(node)
    if isinstance(node, EXPRESSIONS):
        return format_inline.expression(node)
    if isinstance(node, AXES):
        text = format_inline.axis(node)
        return text[1:-1] if isinstance(node, (syntax.Product, syntax.Sum)) else text
    return None


def test_spans_are_exact() -> None:
    seen: set[type] = set()
    for path in (HERE / "maps" / "constructs.map", HERE / "format" / "llama.txt"):
        file = parse(Source(path.name, path.read_text(encoding="utf-8")))
        for node in nodes(file):
            text = printed(node)
            if text is not None:
                seen.add(type(node))
                assert node.span.text == text, str(node.span)
    assert seen >= {*EXPRESSIONS, *AXES} - {
        syntax.Nothing,
        syntax.Conditional,
        syntax.Item,
    }


def test_spans_of_statements_and_of_what_stands_in_holes() -> None:
    text = "language 1\ntensors {\n    a.{i + L}.b  <-> c{x@ep:02} if (d)  # end\n\n    drop left e\n}\n"
    file = parse(Source("test.map", text))
    found = {type(node).__name__: node.span.text for node in nodes(file)}
    assert found["Equation"] == "a.{i + L}.b  <-> c{x@ep:02} if (d)"
    assert found["Condition"] == "if (d)"
    assert found["Drop"] == "drop left e"
    assert found["Block"] == text[text.index("{") : -1]
    assert found["Hole"] == "{x@ep:02}"
    assert found["Binary"] == "i + L"
    assert found["Comment"] == "# end"
    assert [
        str(node.span) for node in nodes(file) if isinstance(node, syntax.Hole)
    ] == ["test.map:3:7", "test.map:3:23"]
