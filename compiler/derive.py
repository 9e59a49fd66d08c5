"""Derived statements: `with bias` is the same equation for `.bias`, without the input axis."""

from __future__ import annotations

from dataclasses import replace

from ..dsl import syntax
from ..dsl.source import Span
from . import hir
from .layout import axis_indices
from .problems import refuse


def bias(
    statement: hir.Statement, input_axis: str | None, number: int, span: Span
) -> hir.Statement:
    """The statement for the biases. MapError where no `weight` can be renamed or no input axis be left out."""
    sides = [
        tuple(_bias(tensor, input_axis) for tensor in side)
        for side in (statement.left, statement.right)
    ]
    dropped = {
        frozenset(axis_indices(_input(t, input_axis)))
        for t in statement.left + statement.right
        if not t.whole
    }
    if len(dropped) > 1:
        spelled = " and ".join(
            "{" + " ".join(sorted(indices)) + "}"
            for indices in sorted(dropped, key=sorted)
        )
        refuse(
            "M0251",
            f"the input axes differ: {spelled}",
            span,
            help="mark the input axis, `in e`",
        )
    return hir.Statement(number, sides[0], sides[1], statement.span, statement.optional)


def _bias(tensor: hir.Tensor, input_axis: str | None) -> hir.Tensor:
    names = tuple(
        replace(placed, name=_renamed(placed.name)) for placed in tensor.names
    )
    if tensor.whole:
        return replace(tensor, names=names)
    dropped = _input(tensor, input_axis)
    axes = tuple(axis for axis in tensor.axes if axis is not dropped)
    return replace(tensor, names=names, axes=axes)


def _input(tensor: hir.Tensor, input_axis: str | None) -> syntax.Axis:
    """The input axis: the one with the index that the statement marks, else the last."""
    if len(tensor.axes) < 2:
        refuse("M0252", "`with bias` on a tensor of one axis", tensor.span)
    if input_axis is None:
        return tensor.axes[-1]
    found = [axis for axis in tensor.axes if input_axis in axis_indices(axis)]
    if len(found) != 1:
        refuse(
            "M0253",
            f"the input axis `{input_axis}` stands on {len(found)} axes",
            tensor.span,
        )
    return found[0]


def _renamed(name: syntax.Name) -> syntax.Name:
    """The name with its last `weight` replaced by `bias`."""
    parts = list(name.parts)
    for position in reversed(range(len(parts))):
        part = parts[position]
        if isinstance(part, syntax.Alternates) and "weight" in " ".join(part.items):
            break
        if isinstance(part, syntax.Text) and "weight" in part.text:
            head, _, tail = part.text.rpartition("weight")
            parts[position] = syntax.Text(f"{head}bias{tail}", span=part.span)
            return replace(name, parts=tuple(parts))
    refuse(
        "M0254",
        "`with bias` on a name without `weight`",
        name.span,
        help="state the bias by itself",
    )
