"""Sizes that only the tensors know: solved from the shapes of whichever side is the source.

An axis of a rank's tensor measures a sum of products. With one unknown in it, once, it is linear in that unknown:
total = times * size + plus. Shares count as the whole divided by the mesh, so both sides are multiplied by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..dsl import syntax
from . import hir
from .emit import Env, expression, identifier, quoted
from .layout import Size, axis_indices, plus, size, splits, times
from .lower_recipe import bundled_names
from .plan import Function
from .problems import refuse
from .proof import Proof


@dataclass(frozen=True, slots=True)
class _Step:
    """One index, solved on one axis of one tensor: the axis times `mesh` is `times` * size + `plus`."""

    index: str
    position: int
    axis: int
    times: Size
    plus: Size
    mesh: tuple[str, ...]


def measuring(proof: Proof, env: Env, name: str, local: list[str]) -> Function:
    """The function that solves a statement's measured sizes; `local` are sizes that a `let` in a block gives."""
    known = {
        **env.names,
        **{
            loop.index: expression(loop.range, env)
            for loop in proof.bundled
            if loop.index not in local
        },
        **{index: identifier(index) for index in (*proof.measured, *local)},
    }
    left, right = (_lines(_steps(proof, side), proof, side, known) for side in (0, 1))
    result = f"return ({', '.join(known[index] for index in proof.measured)},)"
    places = "tuple[tuple[Place, ...], ...]"
    more = "".join(f", {identifier(size)}: int" for size in local)
    return Function(
        f"{name}_sizes",
        f"config: Config, mesh: Any, shapes: Shapes, left: {places}, right: {places}{more}",
        "tuple[int, ...]",
        (
            f"The sizes of {', '.join(proof.measured)}, measured on the source's tensors.",
        ),
        (
            "if shapes.side == 1:",
            *(f"    {line}" for line in (*right, result)),
            *left,
            result,
        ),
    )


def _steps(proof: Proof, side: int) -> list[_Step]:
    """In which order the unknown sizes follow from the axes of a side; MapError where one does not."""
    unknown = set(proof.measured)
    steps: list[_Step] = []
    while unknown:
        step = _next(proof.statement.sides[side], unknown)
        if step is None:
            index = min(unknown)
            tensors = proof.statement.sides[side]
            holding = [
                t
                for t in tensors
                if any(index in axis_indices(axis) for axis in t.axes)
            ]
            refuse(
                "M0307",
                f"the size of `{index}` cannot be solved from the {('left', 'right')[side]} tensors",
                (holding or list(tensors))[0].span,
                help=f"bind `{index}` in `config` or by a `let`",
            )
        steps.append(step)
        unknown.discard(step.index)
    return steps


def _next(tensors: tuple[hir.Tensor, ...], unknown: set[str]) -> _Step | None:
    """An axis with one unknown, which stands once in each product."""
    for position, tensor in enumerate(tensors):
        for number, axis in enumerate(tensor.axes):
            if any(split.ceil for split in splits(axis)):
                continue  # ranks differ, and one alone says too little
            total, mesh = _whole(_local(axis))
            found = sorted({name for names in total for name in names} & unknown)
            if len(found) != 1 or any(names.count(found[0]) > 1 for names in total):
                continue
            index = found[0]
            factor = {
                _without(names, index): n
                for names, n in total.items()
                if index in names
            }
            rest = {names: n for names, n in total.items() if index not in names}
            return _Step(index, position, number, factor, rest, mesh)
    return None


def _without(names: tuple[str, ...], index: str) -> tuple[str, ...]:
    return tuple(name for name in names if name != index)


def _local(axis: syntax.Axis) -> Size:
    """The size of an axis on a rank: a share over tp is the whole with a factor `1/tp`."""
    match axis:
        case syntax.Split(value=value, mesh=mesh):
            return times(_local(value), {(f"1/{mesh}",): 1})
        case syntax.Product(factors=factors):
            total: Size = {(): 1}
            for factor in factors:
                total = times(total, _local(factor))
            return total
        case syntax.Sum(parts=parts):
            return plus(*(_local(part.value) for part in parts))
        case _:
            return size(axis)


def _whole(total: Size) -> tuple[Size, tuple[str, ...]]:
    """A size without fractions, and the mesh dimensions that it was multiplied by."""
    shares = {name for names in total for name in names if name.startswith("1/")}
    most = {
        share: max(names.count(share) for names in total) for share in sorted(shares)
    }
    result: Size = {}
    for names, factor in total.items():
        more = [
            share[2:]
            for share, count in most.items()
            for _ in range(count - names.count(share))
        ]
        result = plus(
            result,
            {tuple(sorted((*(n for n in names if n not in shares), *more))): factor},
        )
    return result, tuple(
        share[2:] for share, count in most.items() for _ in range(count)
    )


def _lines(
    steps: list[_Step], proof: Proof, side: int, known: Mapping[str, str]
) -> list[str]:
    found = []
    for step in steps:
        tensor = proof.statement.sides[side][step.position]
        places = (
            f"{('left', 'right')[side]}[{_position(proof, side, step.position, known)}]"
        )
        shape = (
            f"shapes.of({places}, {len(tensor.axes)}, {quoted(f'index {step.index}')})"
        )
        total = " * ".join(
            [f"{shape}[{step.axis}]", *(known[dim] for dim in step.mesh)]
        )
        factor, rest = _text(step.times, known), _text(step.plus, known)
        found.append(
            f"{known[step.index]} = solve({quoted(step.index)}, {total}, {factor}, {rest})"
        )
    return found


def _position(proof: Proof, side: int, number: int, known: Mapping[str, str]) -> str:
    """Where a term's first tensor stands among the tensors of its side."""
    before = [
        bundled_names(proof, tensor) for tensor in proof.statement.sides[side][:number]
    ]
    return _text(
        plus(*({tuple(loop.index for loop in loops): 1} for loops in before)), known
    )


def _text(total: Size, known: Mapping[str, str]) -> str:
    """A size as Python text."""
    terms = []
    for names, factor in total.items():
        number = [str(factor)] if factor != 1 or not names else []
        terms.append(" * ".join([*number, *(known[name] for name in names)]))
    return " + ".join(terms) or "0"
