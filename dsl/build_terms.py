"""Axes and terms, with their ties: from the rules' tree to the syntax tree."""

from __future__ import annotations

from dataclasses import replace

from lark import Token

from . import syntax
from .build_expressions import condition, expression
from .grammar import Origin, Piece, children
from .holes import name, plain_word
from .source import Span


def side(node: Piece, at: Origin) -> tuple[syntax.Term, ...]:
    """The terms of one side of an equation."""
    return tuple(term(piece, at) for piece in children(node))


def term(node: Piece, at: Origin) -> syntax.Term:
    """One tensor with all that stands behind it: the rules nest from the last word inwards."""
    assert node is not None and not isinstance(node, Token), "a term is a rule"
    pieces = children(node)
    span = at.span(node)
    match node.data, pieces:
        case "tensor", [tensor, axes_, suffix]:
            return _tensor(tensor, axes_, suffix, at, span)
        case "cast", [inner, dtype]:
            return replace(term(inner, at), span=span, dtype=str(dtype))
        case "shift" | "scale", [inner, operator, operand]:
            found = term(inner, at)
            where = Span(span.source, at.span(operator).start, span.end)
            step = syntax.Arithmetic(str(operator), expression(operand, at), span=where)
            return replace(found, span=span, arithmetic=(*found.arithmetic, step))
        case "placed", [inner, place]:
            return replace(term(inner, at), span=span, at=stage(place, at))
        case "tied", [inner, *ties]:
            names = tuple(_tie(tie, at) for tie in ties)
            return replace(term(inner, at), span=span, ties=names)
        case rule, _:
            raise AssertionError(f"rule `{rule}` is no term")


def stage(node: Piece, at: Origin) -> syntax.At | None:
    """`at pp=first`, where it is there."""
    if node is None:
        return None
    mesh, place = children(node)
    text = "first,last" if str(place) == "last,first" else str(place)
    return syntax.At(str(mesh), text, span=at.span(node))


def axes(node: Piece, at: Origin) -> syntax.Axes:
    """What stands between the brackets."""
    assert node is not None and not isinstance(node, Token), "axes are a rule"
    items = tuple(axis(piece, at) for piece in children(node))
    return syntax.Axes(items, node.data == "any_axes", span=at.span(node))


def axis(node: Piece, at: Origin) -> syntax.Axis:
    """One axis, or a factor or part of one; a product of one factor is that factor."""
    span = at.span(node)
    if isinstance(node, Token):
        return (
            syntax.One(span=span)
            if node.type == "ONE"
            else syntax.Index(str(node), span=span)
        )
    assert node is not None, "an axis is missing"
    match node.data, children(node):
        case "product", [factor]:
            return axis(factor, at)
        case "product", factors:
            return syntax.Product(
                tuple(axis(factor, at) for factor in factors), span=span
            )
        case "sum", parts:
            return syntax.Sum(tuple(_part(part, at) for part in parts), span=span)
        case "padded", [value, size]:
            return syntax.Padded(axis(value, at), str(size), span=span)
        case "split", [value, mesh, ceil]:
            return syntax.Split(axis(value, at), str(mesh), ceil is not None, span=span)
        case rule, _:
            raise AssertionError(f"rule `{rule}` is no axis")


def setting(node: Piece, at: Origin) -> syntax.Setting:
    """`block=128`."""
    key, value = children(node)
    word = plain_word(key, at, "a setting")
    return syntax.Setting(word, expression(value, at), span=at.span(node))


def _part(node: Piece, at: Origin) -> syntax.Part:
    assert node is not None and not isinstance(node, Token), "a part is a rule"
    label = None
    value: Piece = node
    if node.data == "labelled":
        label, value = children(node)
    return syntax.Part(
        None if label is None else str(label), axis(value, at), span=at.span(node)
    )


def _tensor(
    tensor: Piece, axes_: Piece, suffix: Piece, at: Origin, span: Span
) -> syntax.Term:
    default = None if isinstance(suffix, Token) else _default(suffix, at)
    named = isinstance(tensor, Token) or (
        tensor is not None and tensor.data == "of_component"
    )
    return syntax.Term(
        name(tensor, at) if named else _apply(tensor, at),
        axes=None if axes_ is None else axes(axes_, at),
        optional=isinstance(suffix, Token),
        default=default,
        span=span,
    )


def _default(node: Piece, at: Origin) -> syntax.Default | None:
    if node is None:
        return None
    function, *arguments = children(node)
    found = tuple(expression(argument, at) for argument in arguments)
    return syntax.Default(str(function), found, span=at.span(node))


def _apply(node: Piece, at: Origin) -> syntax.Apply:
    function, *arguments = children(node)
    word = plain_word(function, at, "a codec")
    found = tuple(_argument(argument, at) for argument in arguments)
    return syntax.Apply(word, found, span=at.span(node))


def _argument(node: Piece, at: Origin) -> syntax.Term | syntax.Setting:
    assert node is not None and not isinstance(node, Token), "an argument is a rule"
    return setting(node, at) if node.data == "setting" else term(node, at)


def _tie(node: Piece, at: Origin) -> syntax.Tie:
    other, place, test = children(node)
    return syntax.Tie(
        name(other, at), stage(place, at), condition(test, at), span=at.span(node)
    )
