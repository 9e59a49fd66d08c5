"""Axes behind the prefixes of loops, which go before the axes of every tensor in their blocks.

`for i in L: layers.{i} <-> layers[i] { norm.weight[e] <-> norm.weight[e] }` is the one tensor `layers.norm.weight[i e]`
on the right.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

from ..dsl import syntax
from ..dsl.source import Span
from .problems import refuse

# The axes that go before those of the left side's tensors, and of the right side's.
Before = tuple[tuple[syntax.Axis, ...], tuple[syntax.Axis, ...]]


def further(
    before: Before, axes: tuple[syntax.Axes | None, syntax.Axes | None]
) -> Before:
    """The axes of the loops around, and behind them those of another one."""
    for one in axes:
        if one is not None and (one.any or not one.items):
            _refuse("axes with names", "none", one.span)
    left, right = (() if one is None else one.items for one in axes)
    return (*before[0], *left), (*before[1], *right)


def with_axes(statement: syntax.Statement, before: Before) -> syntax.Statement:
    """A statement of loops whose prefixes have axes."""
    if before == ((), ()):
        return statement
    match statement:
        case syntax.Equation(left=left, right=right):
            return replace(
                statement,
                left=tuple(_stacked(term, before[0]) for term in left),
                right=tuple(_stacked(term, before[1]) for term in right),
            )
        case syntax.Make(side=side, name=name) if before[side == "right"]:
            _refuse("no tensor that is made", "one", name.span)
        case _:
            return statement


def _stacked(term: syntax.Term, axes: tuple[syntax.Axis, ...]) -> syntax.Term:
    if not axes:
        return term
    if isinstance(term.tensor, syntax.Apply):
        _refuse("a tensor by its name", "a function", term.span)
    if term.axes is None or term.axes.any:
        _refuse("the axes of a tensor", "none", term.span)
    own = replace(term.axes, items=(*axes, *term.axes.items))
    return replace(term, axes=own)


def _refuse(expected: str, found: str, span: Span) -> NoReturn:
    refuse(
        "M0145",
        f"expected {expected} where a loop's prefix has axes, found {found}",
        span,
        help="these go before the axes of every tensor below; state what has none outside of the loop",
    )
