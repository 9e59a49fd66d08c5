"""Loops as text, over global values or over a mesh: `{x@ep}` prints the number of a value on the rank that holds it.

One call of the runtime says for every value its rank and its number there; a loop or a comprehension runs over it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..dsl import syntax
from . import hir
from .emit import Env, expression, quoted
from .kinds import infer
from .proof import name_splits

STAGED = "stages"  # stands for the dimension that has stages; `dims` of `loop_text`


def local_number(index: str, dim: str) -> str:
    """The variable of a value's number on its rank."""
    return f"{index}_in_{dim}"


def owner(index: str, dim: str) -> str:
    """The variable of the rank that holds a value."""
    return f"{dim}_of_{index}"


def local_numbers(index: str, layouts: Iterable[hir.Layout]) -> dict[str, str]:
    """How `{x@ep}` is written, for every dimension; the number in a stage has a name of its own."""
    return {
        f"{index}@{dim}": (
            "number"
            if layout.stages is not None and layout.stages.mesh == dim
            else local_number(index, dim)
        )
        for layout in layouts
        for dim in layout.dims
    }


def owners(name: syntax.Name, layout: hir.Layout) -> str:
    """The coordinates that the splits in a name ask for, as arguments: `, ep=ep_of_x`."""
    splits = name_splits(name, layout)
    return "".join(f", {dim}={owner(index, dim)}" for index, dim in splits)


def loop_text(
    loop: hir.Loop,
    variable: str,
    used: bool,
    dims: tuple[str, ...],
    env: Env,
    in_names: bool = False,
) -> str:
    """What stands behind `for`: `x in range(config.X)`, or `x, (ep_of_x, x_in_ep) in enumerate(shares(..))`.

    `dims` are the dimensions that the loop's index is split over, `used` whether its value is asked for. The stages
    are a dimension here that has a list of its own. `in_names`: the names of one statement.
    """
    if not dims:
        return f"{variable} in {range_text(loop.range, env, in_names)}"
    count = f"{quoted(loop.range.span.words)}, {expression(loop.range, env)}"
    calls = [f"shares({count}, {quoted(dim)}, mesh.{dim})" for dim in dims]
    pairs = [f"{owner(loop.index, d)}, {local_number(loop.index, d)}" for d in dims]
    if STAGED in dims:
        place = dims.index(STAGED)
        calls[place], pairs[place] = "layers", "stage, number"
    each, over = pairs[0], calls[0]
    if len(dims) > 1:
        each = ", ".join(f"({pair})" for pair in pairs)
        over = f"zip({', '.join(calls)})"
    return f"{variable}, ({each}) in enumerate({over})" if used else f"{each} in {over}"


def split_dims(
    loop: hir.Loop, layouts: Iterable[hir.Layout], lines: list[str]
) -> tuple[str, ...]:
    """The dimensions over which lines split a loop's index; the stages aside, which have lines of their own."""
    names = {
        dim: (owner(loop.index, dim), local_number(loop.index, dim))
        for layout in layouts
        for dim in layout.dims
    }
    return tuple(
        dim for dim, pair in names.items() if any(uses(lines, n) for n in pair)
    )


def uses(lines: list[str], name: str) -> bool:
    """Whether lines of Python mention a name."""
    return any(re.search(rf"\b{re.escape(name)}\b", line) for line in lines)


def range_text(value: syntax.Expr, env: Env, in_names: bool = False) -> str:
    """What a loop runs over: 0 .. L-1, or the values of a list."""
    text = expression(value, env)
    if infer(value, env.kinds) == "list":
        return text
    return (
        f"numbers({quoted(value.span.words)}, {text})" if in_names else f"range({text})"
    )
