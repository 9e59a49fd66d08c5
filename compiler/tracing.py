"""`mapc explain FILE.map TENSOR`: the statement that owns a tensor and, on a config, where each piece comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from ..dsl import syntax
from . import hir
from .answer import Answer, Refused, of_each
from .configured import Given, Instance, configured
from .driver import plan_file
from .explaining import (
    drop_data,
    drop_lines,
    head,
    make_data,
    make_lines,
    source_lines,
    statement_data,
    tensor_data,
)
from .locating import Held, Owner, dropped, held, made, nearest, nearest_held, owners
from .lower_functions import wrapped
from .pieces import piece_data, piece_lines, pieces
from .plan import Plan
from .proof import Proven
from .wording import full_equation, local_shape, parts, surroundings, where

WIDTH = 100  # of an equation


@dataclass(frozen=True, slots=True)
class _Found:
    """A tensor of a statement, and what a config makes of it: nothing without one."""

    owner: Owner
    held: tuple[Held, ...]


def explain_tensor(
    path: Path, name: str, given: Given | None, include: Sequence[Path] = ()
) -> Answer:
    """Whose a tensor is and where it comes from. Raises MapError, Refused, OSError, usage errors."""
    (planned,) = of_each([path], lambda path: plan_file(path, include=include))
    proven = planned.proven
    context: AbstractContextManager[Instance | None] = nullcontext(None)
    if given is not None:
        context = configured(proven, planned, given)
    with context as instance:
        found, left = _found(proven, name, instance)
        lines = [name]
        for one in found:
            lines += ["", *_lines(one, proven, planned, instance)]
        for proof in made(proven, name):
            lines += ["", *make_lines(proof, proven)]
        for drop in left:
            lines += ["", *drop_lines(drop, proven)]
        data = {
            "tensor": name,
            "map": proven.hir.source.name,
            "statements": [_data(one, proven) for one in found],
            "makes": [make_data(proof, proven) for proof in made(proven, name)],
            "drops": [drop_data(drop, proven) for drop in left],
        }
    return Answer("\n".join(lines), data)


def _found(
    proven: Proven, name: str, instance: Instance | None
) -> tuple[list[_Found], list[hir.Drop]]:
    """The tensors that have a name, and the drops that take it. Refused where there is none."""
    if instance is None:
        found = [_Found(owner, ()) for owner in owners(proven, name)]
        left = dropped(proven, name)
    else:
        groups, left = held(instance, name)
        keys = dict.fromkeys(one.owner.key for one in groups)
        same = [[one for one in groups if one.owner.key == key] for key in keys]
        found = [_Found(some[0].owner, tuple(some)) for some in same]
    if not found and not left and not made(proven, name):
        raise Refused(_unknown(proven, name, instance))
    return found, left


def _unknown(proven: Proven, name: str, instance: Instance | None) -> str:
    """What is known in place of a name: the statement that has it elsewhere, else the nearest names."""
    what = f"a tensor of {proven.hir.name if instance is None else instance.title}"
    text = f"expected {what}, found `{name}`"
    elsewhere = next(iter(owners(proven, name)), None)
    if elsewhere is not None:
        where_ = elsewhere.proof.where
        return f"{text}; {where_} has it {surroundings(elsewhere.proof)}".rstrip()
    close = nearest(proven, name) if instance is None else nearest_held(instance, name)
    told = ", ".join(f"`{one}`" for one in close)
    return f"{text}; the nearest: {told}" if told else text


def _lines(
    found: _Found, proven: Proven, planned: Plan, instance: Instance | None
) -> Iterator[str]:
    owner = found.owner
    proof, tensor = owner.proof, owner.tensor
    yield head(proof)
    yield from (f"    {line}" for line in source_lines(proof.statement.span))
    yield ""
    layout = proven.hir.layouts[owner.side]
    yield from _labelled("layout", [layout.name])
    yield from _labelled("equation", wrapped(full_equation(proof), WIDTH, "    "))
    yield from _labelled("", [parts(proof)])
    yield from _labelled("shape", [_shape(found, instance)])
    yield from _labelled("place", where(tensor, layout, proof))
    yield from _labelled("sizes", _sizes(owner, proven, planned))
    if instance is not None:
        for one in found.held:
            for piece in pieces(one):
                rank = instance.coordinates(piece.at)
                yield ""
                yield f"{'on ' + rank if rank else 'pieces'}:"
                yield from (f"    {line}" for line in piece_lines(instance, piece))


def _labelled(label: str, lines: list[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f"{label if number == 0 else '':<8}  {line}"


def _shape(found: _Found, instance: Instance | None) -> str:
    """The formula of the shape on one rank, with its numbers on a config."""
    owner = found.owner
    formula = local_shape(owner.tensor)
    if instance is None or not found.held or owner.tensor.whole:
        return formula
    recipe = found.held[0].group.recipe
    axes = recipe.tensors[owner.side][found.held[0].position]
    sizes = {**recipe.sizes, **{dim: getattr(instance.mesh, dim) for dim in axes.dims}}
    told = " ".join(f"{name}={size}" for name, size in sizes.items())
    shapes = [
        str(list(shape))
        for piece, shape in recipe.shapes.items()
        if (piece.side, piece.position) == (owner.side, found.held[0].position)
    ]
    found_shapes = " or ".join(dict.fromkeys(shapes))
    return f"{formula} = {found_shapes}" + (f" ({told})" if told else "")


def _sizes(owner: Owner, proven: Proven, planned: Plan) -> list[str]:
    """What each size of a tensor is: its config keys, how it is computed, or the loop that binds it."""
    nodes = [node for axis in owner.tensor.axes for node in syntax.walk(axis)]
    names = [node.name for node in nodes if isinstance(node, syntax.Index)]
    names += [node.size for node in nodes if isinstance(node, syntax.Padded)]
    known = {let.name: let.value.span.words for let in proven.hir.lets} | dict(
        planned.legend
    )
    known |= {
        let.name: f"{known[let.name]}, the number of copies"
        for let in proven.hir.lets
        if let.replica
    }
    known |= {
        loop.index: f"for {loop.index} in {loop.range.span.text}"
        for loop in owner.proof.loops
    }
    told = {name: known.get(name, "measured on the tensors") for name in names}
    return [f"{name:<{max(map(len, told))}}  {text}" for name, text in told.items()]


def _data(found: _Found, proven: Proven) -> dict[str, object]:
    owner = found.owner
    layout = proven.hir.layouts[owner.side]
    return {
        **statement_data(owner.proof, proven),
        "source": "\n".join(source_lines(owner.proof.statement.span)),
        "tensor": tensor_data(owner.tensor, layout, owner.proof),
        "pieces": [piece_data(piece) for one in found.held for piece in pieces(one)],
    }
