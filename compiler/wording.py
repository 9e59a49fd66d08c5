"""A statement in words: which axes are split or padded, on which ranks a tensor lives, what it is tied to."""

from __future__ import annotations

from collections.abc import Iterator

from ..dsl import syntax
from ..dsl.never import assert_never
from ..dsl.syntax import Axis
from . import arithmetic, hir
from .layout import axis_indices, spell, splits
from .proof import Proof, axes_of, spelled

_PLACES = {
    "first": "the first",
    "last": "the last",
    "first,last": "the first and the last",
}


def surroundings(proof: Proof) -> str:
    """`for i in L; if not tied`: the loops and the conditions around a statement."""
    loops = ", ".join(
        f"for {loop.index} in {loop.range.span.words}" for loop in proof.loops
    )
    tests = [f"if {' '.join(test.split())}" for test in proof.tests]
    return "; ".join([*([loops] if loops else []), *tests])


def full_equation(proof: Proof) -> str:
    """The statement on one line, its names in full."""
    optional = "?" if proof.statement.optional else ""
    sides = [
        ", ".join(
            arithmetic.spelled(
                spelled(tensor.names[0].name) + axes_of(tensor) + optional, tensor
            )
            for tensor in tensors
        )
        for tensors in proof.statement.sides
    ]
    return " <-> ".join(sides)


def parts(proof: Proof) -> str:
    """`2 parts: f e | f e`."""
    if proof.statement.tail:
        return "every tensor of these names that no other statement and no drop takes, unchanged"
    if proof.statement.whole:
        return "whole, of any shape and dtype"
    told = [" ".join(left.indices) or "1" for left, _ in proof.pairs]
    return f"{len(told)} part{'s' if len(told) > 1 else ''}: {' | '.join(told)}"


def where(tensor: hir.Tensor, layout: hir.Layout, proof: Proof) -> list[str]:
    """Where a tensor's elements are: axes that are cut or padded, ranks, other names."""
    axes = [
        line for number, axis in enumerate(tensor.axes) for line in _axis(number, axis)
    ]
    found = [*dict.fromkeys(axes), *_replicas(tensor, proof)]
    found += [f"always stored as {tensor.dtype}"] if tensor.dtype else []
    found += _named(tensor.names[0].name, layout)
    found += _copies(tensor, layout)
    staged = next((loop.index for loop in proof.loops if loop.staged), None)
    found += _stage(tensor.names[0], layout, staged)
    for other in tensor.names[1:]:
        place = "".join(f", {line}" for line in _stage(other, layout, staged))
        when = f", if {other.when.span.words}" if other.when is not None else ""
        found.append(f"the same tensor as {spelled(other.name)}{place}{when}")
    return found


def local_shape(tensor: hir.Tensor) -> str:
    """The shape on one rank, as a formula: `[g * (h + 2) * d / tp, e]`."""
    if tensor.whole:
        return "any"
    return f"[{', '.join(_size(axis) for axis in tensor.axes)}]"


def _axis(number: int, axis: Axis) -> Iterator[str]:
    """What happens to an axis, from the innermost factor out."""
    for node in reversed(list(syntax.walk(axis))):
        if isinstance(node, syntax.Padded):
            yield f"in axis {number}, {spell(node.value)} is padded with zeros to {node.size}"
        elif isinstance(node, syntax.Split):
            inside = "" if node is axis else f"in axis {number}, {spell(node.value)}"
            short = ", the last ranks hold less" if node.ceil else ""
            yield f"{inside or f'axis {number}'} is split over {node.mesh}{short}"


def _replicas(tensor: hir.Tensor, proof: Proof) -> Iterator[str]:
    """The indices that the other side does not have: they count copies."""
    shared = {
        name
        for pair in proof.pairs
        for name in set(pair[0].indices) & set(pair[1].indices)
    }
    shared |= {loop.index for loop in proof.loops}
    for name in dict.fromkeys(
        name for axis in tensor.axes for name in axis_indices(axis)
    ):
        if name not in shared:
            yield f"{name} counts copies of the same elements"


def _named(name: syntax.Name, layout: hir.Layout) -> Iterator[str]:
    """The indices in a name that a mesh dimension owns."""
    staged = layout.stages.mesh if layout.stages else None
    for part in name.parts:
        if (
            isinstance(part, syntax.Hole)
            and part.mesh is not None
            and part.mesh != staged
        ):
            yield f"{part.value.span.words} is split over {part.mesh}, and counts from 0 on each rank"


def _copies(tensor: hir.Tensor, layout: hir.Layout) -> Iterator[str]:
    """The mesh dimensions over which a tensor is the same."""
    used = {split.mesh for axis in tensor.axes for split in splits(axis)}
    used |= {
        part.mesh
        for part in tensor.names[0].name.parts
        if isinstance(part, syntax.Hole) and part.mesh
    }
    staged = layout.stages.mesh if layout.stages else None
    counting = next(
        (found for found in layout.countings if used & set(found) - {staged}),
        layout.countings[0] if layout.countings else (),
    )
    same = [dim for dim in counting if dim != staged and dim not in used]
    if same:
        yield f"every {' and '.join(same)} rank holds a copy"


def _stage(placed: hir.Placed, layout: hir.Layout, staged: str | None) -> Iterator[str]:
    if layout.stages is None:
        return
    dim = layout.stages.mesh
    if placed.at is not None:
        yield f"on {_PLACES[placed.at]} {dim} stage"
    elif staged is not None:
        yield f"on the {dim} stage of layer {staged}"


def _size(axis: Axis) -> str:
    match axis:
        case syntax.Index(name=name):
            return name
        case syntax.One():
            return "1"
        case syntax.Product(factors=factors):
            texts = [
                _factor(factor)
                for factor in factors
                if not isinstance(factor, syntax.One)
            ]
            return " * ".join(texts) or "1"
        case syntax.Sum(parts=parts):
            return _sum([part.value for part in parts])
        case syntax.Split(value=value, mesh=mesh, ceil=True):
            return f"ceil({_size(value)} / {mesh})"
        case syntax.Split(value=value, mesh=mesh):
            return f"{_factor(value)} / {mesh}"
        case syntax.Padded(size=size):
            return size
        case _:
            assert_never(axis)


def _factor(axis: Axis) -> str:
    text = _size(axis)
    return f"({text})" if " + " in text and isinstance(axis, syntax.Sum) else text


def _sum(values: list[Axis]) -> str:
    """Equal parts counted, ones added up."""
    texts = [_size(value) for value in values]
    ones = texts.count("1")
    counts = {text: texts.count(text) for text in texts if text != "1"}
    told = [
        text if count == 1 else f"{count} * {text}" for text, count in counts.items()
    ]
    return " + ".join([*told, *([str(ones)] if ones else [])])
