"""Expressions, conditions and strings: from the rules' tree to the syntax tree."""

from __future__ import annotations

import re
from math import isfinite

from lark import Token

from . import syntax
from .diagnostics import Diagnostic, MapError
from .grammar import Origin, Piece, children
from .source import Span

ESCAPES = {"\\": "\\", '"': '"', "n": "\n", "r": "\r", "t": "\t"}


def expression(node: Piece, at: Origin) -> syntax.Expr:
    """The expression that a rule or a token stands for."""
    span = at.span(node)
    if isinstance(node, Token):
        return _literal(node, span)
    assert node is not None, "an expression is missing"
    pieces = children(node)
    match node.data:
        case "conditional" | "item" | "call" | "list":
            return _compound(node.data, pieces, span, at)
        case "binary" | "compare":
            left, sign, right = pieces
            operator = str(sign)
        case "group":
            return expression(pieces[0], at)
        case "minus" | "not":
            operator = "-" if node.data == "minus" else "not"
            return syntax.Unary(operator, expression(pieces[0], at), span=span)
        case "coalesce" | "or" | "and" | "member":
            left, right = pieces
            operator = {"coalesce": "??", "member": "in"}.get(node.data, str(node.data))
        case rule:
            raise AssertionError(f"rule `{rule}` is no expression")
    return syntax.Binary(
        operator, expression(left, at), expression(right, at), span=span
    )


def condition(node: Piece, at: Origin) -> syntax.Condition | None:
    """`if a` or `unless a`, where it is there."""
    if node is None:
        return None
    assert not isinstance(node, Token), "a condition is a rule"
    (test,) = children(node)
    return syntax.Condition(
        expression(test, at), node.data == "unless", span=at.span(node)
    )


def string_value(span: Span) -> str:
    """The text between the quotes, with its escapes replaced. Raises MapError at one that is not known."""
    return "".join(
        unescaped(
            Span(
                span.source,
                span.start + 1 + piece.start(),
                span.start + 1 + piece.end(),
            )
        )
        for piece in re.finditer(r"\\.|[^\\]+", span.text[1:-1])
    )


def unescaped(span: Span, escapes: dict[str, str] = ESCAPES) -> str:
    """What a backslash and a character mean; other text is itself."""
    if not span.text.startswith("\\"):
        return span.text
    if span.text[1:] in escapes:
        return escapes[span.text[1:]]
    known = " ".join(f"`\\{char}`" for char in escapes)
    message = f"expected one of {known}, found `{span.text}`"
    raise MapError(Diagnostic("M0112", message, span, "not an escape"))


def _literal(token: Token, span: Span) -> syntax.Expr:
    match token.type:
        case "PATH":
            return syntax.Path(str(token), span=span)
        case "NUMBER":
            _check_number(span)
            return syntax.Number(str(token), span=span)
        case "STRING":
            return syntax.String(string_value(span), span=span)
        case "TRUE" | "FALSE":
            return syntax.Boolean(token.type == "TRUE", span=span)
        case "NONE":
            return syntax.Nothing(span=span)
        case other:
            raise AssertionError(f"terminal {other} is no expression")


def _check_number(span: Span) -> None:
    """A number is one that 64 bits hold, as an integer or as a float."""
    text = span.text
    small = (
        len(text.lstrip("0")) < 20 and int(text) < 2**63
        if text.isdigit()
        else isfinite(float(text))
    )
    if not small:
        shown = text if len(text) <= 40 else f"{text[:37]}..."
        message = f"expected a number of 64 bits, found `{shown}`"
        raise MapError(Diagnostic("M0004", message, span))


def _compound(rule: str, pieces: list[Piece], span: Span, at: Origin) -> syntax.Expr:
    match rule, pieces:
        case "conditional", [then, test, other]:
            then_, test_, other_ = (
                expression(piece, at) for piece in (then, test, other)
            )
            return syntax.Conditional(then_, test_, other_, span=span)
        case "item", [value, index]:
            return syntax.Item(expression(value, at), expression(index, at), span=span)
        case "call", [function, *arguments]:
            found = tuple(expression(argument, at) for argument in arguments)
            return syntax.Call(str(function), found, span=span)
        case "list", items:
            return syntax.ListOf(
                tuple(expression(item, at) for item in items), span=span
            )
        case _:
            raise AssertionError(f"rule `{rule}` has other pieces: {pieces!r}")
