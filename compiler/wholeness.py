"""Dimensions that a layout does not have, `whole tp, pp`: what is split over them elsewhere is whole in it.

So a definition and an included file serve layouts of ranks and layouts of whole tensors alike. What the statements say
of these dimensions is taken out of them: `f@tp` is `f`, `{i@pp}` is `{i}`, and `at pp=first` is nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

from ..dsl import syntax
from ..dsl.diagnostics import Label
from .problems import refuse, word
from .replacing import changed_fields


def without_dims(file: syntax.File) -> syntax.File:
    """The file without the dimensions that its layouts do not have."""
    rules = [
        rule
        for item in file.items
        if isinstance(item, syntax.Layout)
        for rule in item.rules
        if isinstance(rule, syntax.WholeDims)
    ]
    if not rules:
        return file
    for item in file.items:
        if isinstance(item, syntax.Layout):
            _check(item)
    leaving = Leaving(frozenset(dim for rule in rules for dim in rule.dims))
    return replace(file, items=tuple(map(leaving.item, file.items)))


def _check(layout: syntax.Layout) -> None:
    """No dimension is both there and not there."""
    named = [(dim, rule) for rule in layout.rules for dim in _dims(rule)]
    seen: dict[str, syntax.Rule] = {}
    for dim, rule in named:
        if dim in seen and isinstance(rule, syntax.WholeDims) | isinstance(
            seen[dim], syntax.WholeDims
        ):
            refuse(
                "M0207",
                f"`{dim}` stands twice among the dimensions of `{layout.name}`",
                word(dim, rule.span, last=True),
                labels=(Label(word(dim, seen[dim].span), "first here"),),
                help="a layout has a dimension or is whole in it",
            )
        seen[dim] = rule


def _dims(rule: syntax.Rule) -> tuple[str, ...]:
    match rule:
        case syntax.WholeDims(dims=dims):
            return dims
        case syntax.Mesh(countings=countings):
            return tuple(dim for counting in countings for dim in counting)
        case _:
            return ()


@dataclass(frozen=True, slots=True)
class Leaving:
    """What becomes of a file without some dimensions."""

    dims: frozenset[str]

    def item(self, item: syntax.TopLevel) -> syntax.TopLevel:
        match item:
            case syntax.Layout(rules=rules):
                kept = tuple(r for r in rules if not isinstance(r, syntax.WholeDims))
                return replace(item, rules=kept)
            case syntax.Tensors():
                return cast("syntax.Tensors", self._value(item))
            case _:
                return item

    def _value(self, value: Any) -> Any:
        match value:
            case syntax.At(mesh=mesh) if mesh in self.dims:
                return None
            case syntax.Split(value=inner, mesh=mesh) if mesh in self.dims:
                return self._value(inner)
            case syntax.Hole(mesh=mesh) if mesh in self.dims:
                return replace(value, mesh=None)
            case syntax.Node():
                return self._fields(value)
            case (syntax.Node(), *_) | (None, *_):
                found = tuple(map(self._value, value))
                same = all(new is old for new, old in zip(found, value))
                return value if same else found
            case _:
                return value

    def _fields(self, node: syntax.Node) -> syntax.Node:
        """The node with what is below it replaced; the same node where nothing is."""
        changed = changed_fields(node, self._value)
        return replace(node, **changed) if changed else node
