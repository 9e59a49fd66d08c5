"""Where an index stands, for messages that point at it and not at its whole statement."""

from __future__ import annotations

from ..dsl import syntax
from ..dsl.source import Span
from . import hir
from .kinds import paths


def index_spans(name: str, tensor: hir.Tensor) -> list[Span]:
    """Where an index stands in a tensor, in the order of the text; the whole tensor where a prefix has it."""
    found = [
        node.span
        for axis in tensor.axes
        for node in syntax.walk(axis)
        if isinstance(node, syntax.Index) and node.name == name
    ]
    for part in tensor.names[0].name.parts:
        if isinstance(part, syntax.Hole) and any(
            path.text == name for path in paths(part.value)
        ):
            found.append(part.span)
    inside = [s for s in found if s.start >= tensor.span.start]
    return sorted(inside, key=lambda span: span.start) or [tensor.span]


def axis_of(name: str, statement: hir.Statement) -> Span:
    """Where an index stands on an axis of a statement, first."""
    for tensor in statement.left + statement.right:
        for axis in tensor.axes:
            for node in syntax.walk(axis):
                if isinstance(node, syntax.Index) and node.name == name:
                    return node.span
    return statement.span
