"""Statements, config, layouts and the file: from the rules' tree to the syntax tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from lark import Token

from . import syntax
from .build_expressions import condition, expression, string_value
from .build_terms import axes, setting, side, stage
from .diagnostics import Diagnostic, Label, MapError
from .grammar import Origin, Piece, children
from .holes import name
from .source import Span

T = TypeVar("T")


def top_level(node: Piece, at: Origin) -> syntax.TopLevel:
    """What stands in the file itself."""
    span = at.span(node)
    match _rule(node), children(node):
        case "language", [version]:
            return syntax.Language(str(version), span=span)
        case "map", [word, left, right]:
            return syntax.Map(str(word), str(left), str(right), span=span)
        case "composed", [word, *links]:
            return syntax.Composed(
                str(word), tuple(_link(link, at) for link in links), span=span
            )
        case "packed", [word, left, right, pack]:
            items = tuple(_packed_item(item, at) for item in children(pack))
            return syntax.Packed(str(word), str(left), str(right), items, span=span)
        case "layout", [word, rules]:
            found = tuple(_layout_rule(rule, at) for rule in children(rules))
            return syntax.Layout(str(word), found, span=span)
        case "option", [word, default, key]:
            return _option(word, default, key, at, span)
        case "config" | "tensors", _:
            return _section(node, at)
        case "def", _:
            found_def = statement(node, at)
            assert isinstance(
                found_def, syntax.Def
            ), "the rule `def` makes a definition"
            return found_def
        case _:
            return _plain(node, at)


def statement(node: Piece, at: Origin) -> syntax.Statement:
    """What stands in `tensors` and in its blocks."""
    span = at.span(node)
    match _rule(node), children(node):
        case "equation", _:
            return _equation(node, at)
        case "for" | "renaming", _:
            return _for(node, at)
        case "if", [test, body, other]:
            return syntax.If(
                expression(test, at), _block(body, at), _else(other, at), span=span
            )
        case "variant", [word, *stored]:
            ways = tuple(_alternative(way, at) for way in stored)
            return syntax.Variant(str(word), ways, span=span)
        case "def", [word, *parameters, body]:
            words = tuple(str(one) for one in parameters if one is not None)
            return syntax.Def(str(word), words, _block(body, at), span=span)
        case "use", [word, *arguments]:
            names = tuple(name(one, at) for one in arguments if one is not None)
            return syntax.Use(str(word), names, span=span)
        case "make", _:
            return _make(node, at)
        case "drop", [where, word, test]:
            return syntax.Drop(
                str(where), name(word, at), condition(test, at), span=span
            )
        case _:
            return _plain(node, at)


def _rule(node: Piece) -> str:
    assert node is not None and not isinstance(
        node, Token
    ), f"a rule was expected: {node!r}"
    return str(node.data)


def _optional(build: Callable[[Piece, Origin], T], node: Piece, at: Origin) -> T | None:
    return None if node is None else build(node, at)


def _plain(
    node: Piece, at: Origin
) -> syntax.Let | syntax.Replica | syntax.Include | syntax.Require:
    """What may stand both in the file and in a block."""
    span = at.span(node)
    match _rule(node), children(node):
        case "let", [word, value]:
            return syntax.Let(str(word), expression(value, at), span=span)
        case "replica", [word, value]:
            return syntax.Replica(str(word), expression(value, at), span=span)
        case "include", [path]:
            return syntax.Include(string_value(at.span(path)), span=span)
        case "require", [test, message]:
            return syntax.Require(
                expression(test, at), string_value(at.span(message)), span=span
            )
        case rule, _:
            raise AssertionError(f"rule `{rule}` is no statement")


# ---- statements -----------------------------------------------------------------------------------


def _equation(node: Piece, at: Origin) -> syntax.Equation:
    left, right, *rest = children(node)
    if (
        len(rest) == 4
    ):  # A right side that ends in a tie leaves its condition to the tie.
        rest.insert(0, None)
    test, input_axis, derived, lossy, decode = rest
    return syntax.Equation(
        side(left, at),
        side(right, at),
        condition(test, at),
        None if input_axis is None else str(children(input_axis)[0]),
        (
            ()
            if derived is None
            else tuple(_derived(one, at) for one in children(derived))
        ),
        lossy is not None,
        decode is not None,
        span=at.span(node),
    )


def _derived(node: Piece, at: Origin) -> syntax.Derived:
    kind, test = children(node)
    return syntax.Derived(str(kind), condition(test, at), span=at.span(node))


def _for(node: Piece, at: Origin) -> syntax.For:
    index, range_, filter_, names, *rest = children(node)
    body, other = rest or (None, None)
    word = None if filter_ is None else _rule(filter_).removeprefix("filter_")
    pair = None
    places: tuple[syntax.At | None, syntax.At | None] = (None, None)
    before: tuple[syntax.Axes | None, syntax.Axes | None] = (None, None)
    if names is not None:
        left, left_axes, left_place, right, right_axes, right_place = children(names)
        pair = (name(left, at), name(right, at))
        before = (_optional(axes, left_axes, at), _optional(axes, right_axes, at))
        places = (stage(left_place, at), stage(right_place, at))
    return syntax.For(
        str(index),
        expression(range_, at),
        None if filter_ is None else expression(children(filter_)[0], at),
        word,
        pair,
        _optional(_block, body, at),
        _else(other, at),
        places,
        before,
        span=at.span(node),
    )


def _block(node: Piece, at: Origin) -> syntax.Block:
    found = tuple(statement(child, at) for child in children(node))
    return syntax.Block(found, span=at.span(node))


def _else(node: Piece, at: Origin) -> syntax.Block | syntax.If | None:
    if node is None:
        return None
    (body,) = children(node)
    if _rule(body) == "block":
        return _block(body, at)
    found = statement(body, at)
    assert isinstance(found, syntax.If), "the rule `if` makes a choice"
    return found


def _alternative(node: Piece, at: Origin) -> syntax.Alternative:
    word, body = children(node)
    return syntax.Alternative(str(word), _block(body, at), span=at.span(node))


def _make(node: Piece, at: Origin) -> syntax.Make:
    where, word, axes_, value, dtype, place, test, lossy = children(node)
    return syntax.Make(
        str(where),
        name(word, at),
        axes(axes_, at),
        expression(value, at),
        None if dtype is None else str(dtype),
        stage(place, at),
        condition(test, at),
        lossy is not None,
        span=at.span(node),
    )


# ---- layouts --------------------------------------------------------------------------------------


def _layout_rule(node: Piece, at: Origin) -> syntax.Rule:
    span = at.span(node)
    match _rule(node), children(node):
        case "mesh", countings:
            words = tuple(
                tuple(str(word) for word in children(dims)) for dims in countings
            )
            return syntax.Mesh(words, span=span)
        case "whole_dims", dims:
            return syntax.WholeDims(tuple(str(dim) for dim in dims), span=span)
        case "stages", _:
            return _stages(node, at)
        case "files", [pattern, kind]:
            return syntax.Files(
                name(pattern, at), None if kind is None else str(kind), span=span
            )
        case "codec", [word, *arguments, where]:
            found = tuple(_codec_argument(argument, at) for argument in arguments)
            return syntax.Codec(
                str(word), found, _optional(expression, where, at), span=span
            )
        case "prefixes", texts:
            values = tuple(string_value(at.span(text)) for text in texts)
            return syntax.Prefixes(values, span=span)
        case rule, _:
            raise AssertionError(f"rule `{rule}` stands in no layout")


def _stages(node: Piece, at: Origin) -> syntax.Stages:
    mesh, over, by, first, last, virtual, named, counting = children(node)
    counted: dict[str, tuple[Span, syntax.Expr]] = {}
    for one in () if counting is None else children(counting):
        word, value = children(one)
        if str(word) in counted:
            _refuse_second(str(word), at.span(word), counted[str(word)][0])
        counted[str(word)] = (at.span(word), expression(value, at))
    return syntax.Stages(
        str(mesh),
        expression(over, at),
        by=_optional(expression, by, at),
        first=_optional(expression, first, at),
        last=_optional(expression, last, at),
        virtual=_optional(expression, virtual, at),
        named=None if named is None else str(named),
        embedding=counted["embedding"][1] if "embedding" in counted else None,
        loss=counted["loss"][1] if "loss" in counted else None,
        span=at.span(node),
    )


def _refuse_second(word: str, here: Span, before: Span) -> None:
    labels = (Label(before, "first here"),)
    message = f"expected `{word}` once, found it twice"
    raise MapError(Diagnostic("M0115", message, here, "again here", labels))


def _codec_argument(node: Piece, at: Origin) -> syntax.Name | syntax.Setting:
    return name(node, at) if isinstance(node, Token) else setting(node, at)


# ---- config, packed maps and the file -------------------------------------------------------------


def _section(node: Piece, at: Origin) -> syntax.Config | syntax.Tensors:
    (inner,) = children(node)
    if _rule(node) == "tensors":
        return syntax.Tensors(_block(inner, at), span=at.span(node))
    entries = tuple(_entry(entry, at) for entry in children(inner))
    return syntax.Config(entries, span=at.span(node))


def _entry(node: Piece, at: Origin) -> syntax.Entry:
    binder, *values = children(node)
    found = tuple(_config_value(value, at) for value in values)
    left, right = (None, *found) if _rule(node) == "right_only" else (*found, None)[:2]
    word = None if binder is None else str(children(binder)[0])
    return syntax.Entry(word, left, right, span=at.span(node))


def _config_value(node: Piece, at: Origin) -> syntax.ConfigValue:
    if isinstance(node, Token) or _rule(node) not in ("constant", "translated"):
        return expression(node, at)
    span = at.span(node)
    if _rule(node) == "constant":
        key, value = children(node)
        assert isinstance(key, Token), "a key is a token"
        text = string_value(at.span(key)) if key.type == "STRING" else str(key)
        return syntax.Constant(text, expression(value, at), span=span)
    keys, table, default = children(node)
    pairs = tuple(_pair(pair, at) for pair in children(table))
    return syntax.Translated(
        expression(keys, at), pairs, _optional(expression, default, at), span=span
    )


def _pair(node: Piece, at: Origin) -> tuple[syntax.Expr, syntax.Expr]:
    left, right = children(node)
    return expression(left, at), expression(right, at)


def _packed_item(node: Piece, at: Origin) -> syntax.PackedItem:
    match _rule(node):
        case "component":
            return _component(node, at)
        case "config" | "tensors":
            return _section(node, at)
        case _:
            return _plain(node, at)


def _component(node: Piece, at: Origin) -> syntax.Component:
    word, origin, *places = children(node)
    plain = isinstance(origin, Token)
    return syntax.Component(
        str(word),
        str(origin) if plain else None,
        None if plain else str(children(origin)[0]),
        tuple(_component_place(place, at) for place in places),
        span=at.span(node),
    )


def _component_place(node: Piece, at: Origin) -> syntax.ComponentPlace:
    layout, text = children(node)
    word = "at" if _rule(node) == "directory" else "prefix"
    return syntax.ComponentPlace(
        str(layout), word, string_value(at.span(text)), span=at.span(node)
    )


def _link(node: Piece, at: Origin) -> syntax.Link:
    word, inverse = children(node)
    return syntax.Link(str(word), inverse is not None, span=at.span(node))


def _option(
    word: Piece, default: Piece, key: Piece, at: Origin, span: Span
) -> syntax.Option:
    layout, dot, rest = str(key).partition(".")
    if not dot:
        message = f"expected a layout and a key, `layout.key`, found `{key}`"
        help = (f"`as LAYOUT.{key}`, the layout whose config has the key",)
        raise MapError(Diagnostic("M0116", message, at.span(key), "", (), help))
    return syntax.Option(str(word), expression(default, at), layout, rest, span=span)
