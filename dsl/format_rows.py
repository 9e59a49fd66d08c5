"""The syntax tree as rows: the canonical lines of every statement, without the comments.

The formatter puts the comments between them; `format_align` sets the cells under one another.
"""

from __future__ import annotations

from collections.abc import Iterator

from . import syntax
from .format_align import Line
from .format_config import Commented, entry_rows
from .format_equation import equation_rows
from .format_inline import at, axes, condition, expression, name, setting, string
from .format_row import INDENT, Row, braced, closing, plain
from .never import assert_never


def file_rows(file: syntax.File, commented: Commented) -> Iterator[Row]:
    """The rows of a file in order."""
    for item in file.items:
        yield from _top_level(item, commented)


def _top_level(item: syntax.TopLevel, commented: Commented) -> Iterator[Row]:
    start, end = item.span.start, item.span.end
    match item:
        case syntax.Language():
            yield plain(0, f"language {item.version}", start, end)
        case syntax.Map():
            yield plain(0, f"map {item.name}: {item.left} <-> {item.right}", start, end)
        case syntax.Composed():
            links = ", ".join(
                link.name + " inverse" * link.inverse for link in item.links
            )
            yield plain(0, f"map {item.name} = compose({links})", start, end)
        case syntax.Option():
            default = f"= {expression(item.default)}"
            cells = (f"option {item.name}", default, f"as {item.layout}.{item.key}")
            yield Row(Line(0, cells, "option"), start, end)
        case syntax.Packed():
            header = f"map {item.name}: {item.left} <-> {item.right}"
            rows = (
                row for inner in item.items for row in _packed_item(inner, commented)
            )
            yield from braced(0, header, rows, start, _first_brace(item), end)
        case syntax.Layout():
            rows = (_rule(rule) for rule in item.rules)
            yield from braced(
                0, f"layout {item.name}", rows, start, _first_brace(item), end
            )
        case syntax.Config() | syntax.Tensors():
            yield from _section(item, 0, commented)
        case _:
            yield from _statement(item, 0)


def _first_brace(item: syntax.Packed | syntax.Layout | syntax.Config) -> int:
    return item.span.source.text.index("{", item.span.start)


def _packed_item(item: syntax.PackedItem, commented: Commented) -> Iterator[Row]:
    match item:
        case syntax.Component():
            yield _component(item)
        case syntax.Config() | syntax.Tensors():
            yield from _section(item, INDENT, commented)
        case _:
            yield from _statement(item, INDENT)


def _section(
    item: syntax.Config | syntax.Tensors, indent: int, commented: Commented
) -> Iterator[Row]:
    start, end = item.span.start, item.span.end
    if isinstance(item, syntax.Tensors):
        yield from _braced(indent, "tensors", start, item.block)
        return
    rows = (
        row
        for entry in item.entries
        for row in entry_rows(entry, indent + INDENT, commented)
    )
    yield from braced(indent, "config", rows, start, _first_brace(item), end)


def _component(item: syntax.Component) -> Row:
    origin = f"copy of {item.copy_of}" if item.map is None else item.map
    places = (
        (
            f"at {place.layout} {string(place.text)}"
            if place.word == "at"
            else f"{place.layout} prefix {string(place.text)}"
        )
        for place in item.places
    )
    cells = (f"component {item.name}:", origin, *places)
    return Row(Line(INDENT, cells, "component"), item.span.start, item.span.end)


# ---- layouts --------------------------------------------------------------------------------------


def _rule(rule: syntax.Rule) -> Row:
    return Row(Line(INDENT, _rule_cells(rule), "rule"), rule.span.start, rule.span.end)


def _rule_cells(rule: syntax.Rule) -> tuple[str, str]:
    match rule:
        case syntax.Mesh():
            return "mesh", " | ".join(", ".join(words) for words in rule.countings)
        case syntax.WholeDims(dims=dims):
            return "whole", ", ".join(dims)
        case syntax.Stages():
            return "stages", _stages(rule)
        case syntax.Files():
            kind = "" if rule.format is None else f" format {rule.format}"
            return "files", name(rule.pattern) + kind
        case syntax.Codec():
            arguments = ", ".join(
                (
                    setting(argument)
                    if isinstance(argument, syntax.Setting)
                    else name(argument)
                )
                for argument in rule.arguments
            )
            where = "" if rule.where is None else f" where {expression(rule.where)}"
            return "codec", f"{rule.name}({arguments}){where}"
        case syntax.Prefixes():
            return "prefix", " | ".join(string(item) for item in rule.items)
    assert_never(rule)


def _stages(rule: syntax.Stages) -> str:
    words = [f"{rule.mesh} over {expression(rule.over)}"]
    choices = (
        ("by", rule.by),
        ("first", rule.first),
        ("last", rule.last),
        ("virtual", rule.virtual),
    )
    words += [
        f"{word} {expression(value)}" for word, value in choices if value is not None
    ]
    words += [f"named {rule.named}"] if rule.named is not None else []
    counted = (("embedding", rule.embedding), ("loss", rule.loss))
    texts = [
        f"{word} {expression(value)}" for word, value in counted if value is not None
    ]
    if texts:
        words.append(f"counting {', '.join(texts)}")
    return " ".join(words)


# ---- statements -----------------------------------------------------------------------------------


def _statement(statement: syntax.Statement, indent: int) -> Iterator[Row]:
    start, end = statement.span.start, statement.span.end
    match statement:
        case syntax.Equation():
            yield from equation_rows(statement, indent)
        case syntax.For():
            yield from _for(statement, indent)
        case syntax.If():
            yield from _if(statement, indent, start, "")
        case syntax.Variant():
            yield from _variant(statement, indent)
        case syntax.Def():
            header = f"def {statement.name}({', '.join(statement.parameters)})"
            yield from _braced(indent, header, start, statement.body)
        case syntax.Let() | syntax.Replica():
            word = "let" if isinstance(statement, syntax.Let) else "replica"
            cells = (f"{word} {statement.name}", f"= {expression(statement.value)}")
            yield Row(Line(indent, cells, word), start, end)
        case (
            syntax.Use()
            | syntax.Make()
            | syntax.Drop()
            | syntax.Include()
            | syntax.Require()
        ):
            yield plain(indent, _one_line(statement), start, end)
        case _:
            assert_never(statement)


def _one_line(
    statement: syntax.Use | syntax.Make | syntax.Drop | syntax.Include | syntax.Require,
) -> str:
    match statement:
        case syntax.Use():
            return f"use {statement.name}({', '.join(name(one) for one in statement.arguments)})"
        case syntax.Make():
            return _make(statement)
        case syntax.Drop():
            words = ["drop", statement.side, name(statement.name)]
            words += (
                [] if statement.condition is None else [condition(statement.condition)]
            )
            return " ".join(words)
        case syntax.Include():
            return f"include {string(statement.path)}"
        case syntax.Require():
            return f"require {expression(statement.test)}, {string(statement.message)}"
    assert_never(statement)


def _make(make: syntax.Make) -> str:
    value = expression(make.value, bare=True)
    words = [f"make {make.side} {name(make.name)}{axes(make.axes)} = {value}"]
    words += [] if make.dtype is None else [f"as {make.dtype}"]
    words += [] if make.at is None else [at(make.at)]
    words += [] if make.condition is None else [condition(make.condition)]
    return " ".join(words + ["lossy"] * make.lossy)


def _braced(indent: int, header: str, start: int, block: syntax.Block) -> Iterator[Row]:
    rows = _body(block, indent)
    yield from braced(indent, header, rows, start, block.span.start, block.span.end)


def _body(block: syntax.Block, indent: int) -> Iterator[Row]:
    for statement in block.statements:
        yield from _statement(statement, indent + INDENT)


def _for(loop: syntax.For, indent: int) -> Iterator[Row]:
    header = f"for {loop.index} in {expression(loop.range, bare=True)}"
    if loop.filter is not None:
        header += f" {loop.filter_word} {expression(loop.filter)}"
    if loop.names is not None:
        left, right = map(_prefix, loop.names, loop.axes, loop.places)
        header += f": {left} <-> {right}"
    if loop.body is None:
        yield plain(indent, header, loop.span.start, loop.span.end)
        return
    yield plain(indent, f"{header} {{", loop.span.start, loop.body.span.start + 1)
    yield from _body(loop.body, indent)
    yield from _else(loop.body, loop.otherwise, indent)


def _prefix(
    prefix: syntax.Name, before: syntax.Axes | None, place: syntax.At | None
) -> str:
    text = name(prefix) + ("" if before is None else axes(before))
    return text + ("" if place is None else f" {at(place)}")


def _if(choice: syntax.If, indent: int, start: int, before: str) -> Iterator[Row]:
    """`before` is `} else ` where the choice goes on with another one's line."""
    text = f"{before}if {expression(choice.test)} {{"
    brace = choice.body.span.start + 1
    yield (
        closing(indent, text, start, brace)
        if before
        else plain(indent, text, start, brace)
    )
    yield from _body(choice.body, indent)
    yield from _else(choice.body, choice.otherwise, indent)


def _else(
    body: syntax.Block, otherwise: syntax.Block | syntax.If | None, indent: int
) -> Iterator[Row]:
    """The end of a body, and what stands behind it."""
    start, end = body.span.end - 1, body.span.end
    match otherwise:
        case None:
            yield closing(indent, "}", start, end)
        case syntax.If():
            yield from _if(otherwise, indent, start, "} else ")
        case syntax.Block():
            yield closing(indent, "} else {", start, otherwise.span.start + 1)
            yield from _body(otherwise, indent)
            yield from _else(otherwise, None, indent)


def _variant(variant: syntax.Variant, indent: int) -> Iterator[Row]:
    """`variant NAME: first {`, and `} second {` between the bodies."""
    before, start = f"variant {variant.name}: ", variant.span.start
    for way in variant.alternatives:
        text, brace = f"{before}{way.name} {{", way.body.span.start + 1
        yield (
            plain(indent, text, start, brace)
            if before != "} "
            else closing(indent, text, start, brace)
        )
        yield from _body(way.body, indent)
        before, start = "} ", way.body.span.end - 1
    yield closing(indent, "}", start, start + 1)
