"""What the language has and this version does not compile: refused by name, never passed over.

Runs on the syntax tree, before names are resolved.
"""

from __future__ import annotations

from ..dsl import syntax
from ..dsl.diagnostics import Diagnostic, MapError
from .arithmetic import STEPS
from .resolve_layouts import FORMATS


def support(file: syntax.File) -> syntax.File:
    """The same tree; MapError with one M0200 for every construct that is not supported yet."""
    inside = {
        id(argument)
        for node in syntax.walk(file)
        if isinstance(node, syntax.Apply) and node.function in STEPS
        for argument in node.arguments
    }
    found = tuple(
        Diagnostic(
            "M0200",
            f"{what} is not supported yet",
            node.span,
            help=(f"leave out {what}",),
        )
        for node in syntax.walk(file)
        if id(node) not in inside
        if (what := _unsupported(node)) is not None
    )
    if found:
        raise MapError(*found)
    return file


def _unsupported(node: syntax.Node) -> str | None:
    match node:
        case syntax.Composed():
            return "`compose`"
        case syntax.Packed():
            return "a packed map (`component`)"
        case syntax.Codec():
            return "a layout's `codec`"
        case syntax.Apply(function=function) if function not in STEPS:
            return f"the function `{function}` on tensors"
        case syntax.Derived(kind="lora"):
            return "`with lora`"
        case syntax.Files(format=form) if form not in (None, *FORMATS):
            return f"the file format `{form}`"
        case syntax.Name(component=str()):
            return "a name in a component (`text:`)"
        case syntax.Equation():
            return _in_equation(node)
    return None


def _in_equation(node: syntax.Equation) -> str | None:
    if node.lossy:
        return "`lossy`"
    if node.decode:
        return "`decode`"
    return None
