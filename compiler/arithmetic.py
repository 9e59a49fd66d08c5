"""Arithmetic on terms: functions and operators as steps, from what is stored outwards."""

from __future__ import annotations

from dataclasses import replace

from ..dsl import syntax
from . import hir
from .problems import refuse, word
from .scope import Scope

STEPS = ("neg", "exp", "log")
# What the language calls the dtypes that are computed with, and safetensors.
FLOATS = {"f64": "F64", "f32": "F32", "f16": "F16", "bf16": "BF16"}
MADE_DTYPES = FLOATS | {"u8": "U8", "bool": "BOOL"}
MADE_DTYPES |= {f"i{bits}": f"I{bits}" for bits in (8, 16, 32, 64)}


def flat(node: syntax.Equation) -> syntax.Equation:
    """The equation with every function on a tensor among the tensor's arithmetic."""
    left, right = (
        tuple(_flat(term) for term in side) for side in (node.left, node.right)
    )
    return replace(node, left=left, right=right)


def _flat(term: syntax.Term) -> syntax.Term:
    """MapError where a function takes something else than one tensor."""
    inner, functions = term, list[syntax.Arithmetic]()
    while isinstance(inner.tensor, syntax.Apply):
        span = inner.tensor.span
        nothing = syntax.Nothing(span=span)
        functions.insert(
            0, syntax.Arithmetic(inner.tensor.function, nothing, span=span)
        )
        inner = _argument(inner.tensor, inner)
    steps = (*functions, *term.arithmetic)
    return replace(term, tensor=inner.tensor, axes=inner.axes, arithmetic=steps)


def steps_of(term: syntax.Term, scope: Scope) -> tuple[hir.Step, ...]:
    """The arithmetic of a term, from what is stored outwards."""
    for step in term.arithmetic:
        scope.check(step.operand)
    return tuple(
        hir.Step(step.operator, None if step.operator in STEPS else step.operand)
        for step in term.arithmetic
    )


def _argument(apply: syntax.Apply, around: syntax.Term) -> syntax.Term:
    """The tensor in a function's parentheses, with the axes that stand there or behind them."""
    argument, *more = apply.arguments
    if more or isinstance(argument, syntax.Setting):
        refuse("M0280", f"`{apply.function}` takes one tensor", apply.span)
    if argument.optional or argument.default or around.axes and argument.axes:
        refuse(
            "M0281",
            f"what stands behind a tensor stands behind the parentheses of `{apply.function}`",
            argument.span,
            help=f"`{apply.function}(NAME)[..]`",
        )
    return replace(argument, axes=around.axes or argument.axes)


def dtype_of(term: syntax.Term) -> str | None:
    """The dtype that a term is always stored in. MapError for one that is not computed with."""
    if term.dtype is not None and term.dtype not in FLOATS:
        refuse(
            "M0282",
            f"`as {term.dtype}` on a tensor of an equation",
            word(term.dtype, term.span),
            help=f"the dtypes that are converted are {', '.join(FLOATS)}",
        )
    return term.dtype


def computes(statement: hir.Statement) -> bool:
    """Whether values may change in a statement: it has arithmetic, or a dtype that only one side fixes."""
    tensors = statement.left + statement.right
    dtypes = {tensor.dtype for tensor in tensors}
    return len(dtypes) > 1 or any(tensor.steps for tensor in tensors)


def named(tensor: hir.Tensor) -> list[syntax.Path]:
    """The names that a tensor's arithmetic and its default are computed from."""
    values = [step.operand for step in tensor.steps if step.operand is not None]
    values += tensor.default.arguments if tensor.default is not None else ()
    return [
        node
        for value in values
        for node in syntax.walk(value)
        if isinstance(node, syntax.Path)
    ]


def spelled(text: str, tensor: hir.Tensor) -> str:
    """A tensor's name and axes with all that stands around them, as the map writes it."""
    if tensor.default is not None:
        text += f" ?? {filled(tensor.default)}"
    if tensor.dtype is not None:
        text += f" as {tensor.dtype}"
    for step in tensor.steps:
        if step.operand is None:
            text = f"{step.operator}({text})"
        else:
            text += f" {step.operator} {operand(step.operand)}"
    return text


def filled(fill: hir.Fill) -> str:
    """Values that no tensor holds, as the map writes them."""
    given = ", ".join(value.span.words for value in fill.arguments)
    return f"{fill.function}({given})" if given else fill.function


def operand(value: syntax.Expr) -> str:
    """An expression on one line, in parentheses where it has operators."""
    text = value.span.words
    bare = isinstance(
        value, (syntax.Path, syntax.Number, syntax.Call, syntax.Item, syntax.Unary)
    )
    return text if bare else f"({text})"
