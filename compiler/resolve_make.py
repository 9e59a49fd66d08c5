"""Tensors that a map makes, and defaults: values that follow from the number of an element alone."""

from __future__ import annotations

from dataclasses import replace

from ..dsl import syntax
from . import hir
from .arithmetic import MADE_DTYPES
from .problems import nearest, refuse, word
from .resolve_names import Context, check_axes, names_of, place_of
from .scope import Scope

# Functions and how many values each takes.
CONSTANT = {"zeros": 0, "ones": 0, "full": 1}
MADE = {**CONSTANT, "arange": 1, "tril": 1, "rotary_inv_freq": 2, "alibi": 1}
DEFAULTS = {**CONSTANT, "normal": 2, "uniform": 3}


def made(node: syntax.Make, context: Context, number: int) -> tuple[hir.Make, ...]:
    """What a `make` states, a tensor a name; their statements are numbered from `number` on."""
    side = ("left", "right").index(node.side)
    if node.axes.any:
        refuse("M0286", "a tensor that is made has axes", node.axes.span)
    term = syntax.Term(node.name, axes=node.axes, at=node.at, span=node.span)
    check_axes(term, side, context)
    fill = _value(node.value, context.scope)
    if fill.function == "tril" and len(node.axes.items) < 2:
        refuse(
            "M0285",
            f"`tril` needs two axes or more, found {len(node.axes.items)}",
            node.axes.span,
            help="it is lower triangular in the last two",
        )
    dtype = _dtype(node)
    found: list[hir.Make] = []
    for name in names_of(node.name, side, context):
        place = place_of(node.at, side, name, context)
        placed = hir.Placed(name, place, None)
        tensor = hir.Tensor((placed,), node.axes.items, node.span, dtype=dtype)
        again: dict[str, str] = {}
        axes = tuple(_apart(axis, again) for axis in tensor.axes)
        own = replace(tensor, axes=axes)
        sides = (own,), (_absent(own, fill),)
        left, right = sides if side == 0 else sides[::-1]
        statement = hir.Statement(number + len(found), left, right, node.span)
        second = tuple((one, other) for one, other in again.items() if one != other)
        found.append(hir.Make(side, tensor, statement, second, node.lossy))
    return tuple(found)


def default(term: syntax.Term, scope: Scope) -> hir.Fill | None:
    """The values of a term where its tensor is absent."""
    if term.default is None:
        return None
    function, arguments = term.default.function, term.default.arguments
    if function not in DEFAULTS:
        refuse(
            "M0287",
            f"there is no default `{function}`",
            word(function, term.default.span),
            help=nearest(function, DEFAULTS) or f"there are {', '.join(DEFAULTS)}",
        )
    if term.axes is None or term.axes.any:
        refuse("M0288", "a default of a whole tensor", term.default.span)
    return _called(function, arguments, DEFAULTS, term.default, scope)


def _value(value: syntax.Expr, scope: Scope) -> hir.Fill:
    """A function with its values, or a number for all elements."""
    match value:
        case syntax.Path(text=text) if text in MADE and text not in scope.names:
            return _called(text, (), MADE, value, scope)
        case syntax.Call(function=function, arguments=arguments) if function in MADE:
            return _called(function, arguments, MADE, value, scope)
        case _:
            scope.check(value)
            return hir.Fill("full", (value,))


def _called(
    function: str,
    arguments: tuple[syntax.Expr, ...],
    known: dict[str, int],
    node: syntax.Node,
    scope: Scope,
) -> hir.Fill:
    if len(arguments) != known[function]:
        count = known[function]
        refuse(
            "M0214",
            f"`{function}` takes {count} value{'s' if count != 1 else ''}, found {len(arguments)}",
            node.span,
        )
    for argument in arguments:
        scope.check(argument)
    return hir.Fill(function, arguments)


def _dtype(node: syntax.Make) -> str | None:
    if node.dtype is not None and node.dtype not in MADE_DTYPES:
        refuse(
            "M0283",
            f"there is no dtype `{node.dtype}`",
            word(node.dtype, node.span, last=True),
            help=f"there are {', '.join(MADE_DTYPES)}",
        )
    return node.dtype


def _apart(axis: syntax.Axis, names: dict[str, str]) -> syntax.Axis:
    """The axis with a name of its own for a size that has stood before; `names` are all so far, and what they are."""
    match axis:
        case syntax.Index(name=name):
            count = list(names.values()).count(name) + 1
            own = name if count == 1 else f"{name}_{count}"
            while own in names:
                own += "_"
            names[own] = name
            return replace(axis, name=own)
        case syntax.Split(value=value) | syntax.Padded(value=value):
            return replace(axis, value=_apart(value, names))
        case syntax.Product(factors=factors):
            found = tuple(_apart(factor, names) for factor in factors)
            return replace(axis, factors=found)
        case syntax.Sum(parts=parts):
            return replace(
                axis,
                parts=tuple(
                    replace(part, value=_apart(part.value, names)) for part in parts
                ),
            )
        case syntax.One():
            return axis


def _absent(tensor: hir.Tensor, fill: hir.Fill) -> hir.Tensor:
    """The whole tensor that is not there: neither split nor padded."""
    placed = tensor.names[0]
    parts = tuple(
        replace(part, mesh=None) if isinstance(part, syntax.Hole) else part
        for part in placed.name.parts
    )
    name = hir.Placed(replace(placed.name, parts=parts), None, None)
    axes = tuple(_whole(axis) for axis in tensor.axes)
    return hir.Tensor((name,), axes, tensor.span, default=fill)


def _whole(axis: syntax.Axis) -> syntax.Axis:
    match axis:
        case syntax.Split(value=value) | syntax.Padded(value=value):
            return _whole(value)
        case syntax.Product(factors=factors):
            return replace(axis, factors=tuple(_whole(factor) for factor in factors))
        case syntax.Sum(parts=parts):
            found = tuple(replace(part, value=_whole(part.value)) for part in parts)
            return replace(axis, parts=found)
        case syntax.Index() | syntax.One():
            return axis
