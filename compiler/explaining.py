"""`mapc explain FILE.map`: what a map states, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import dedent

from ..dsl.source import Span
from . import hir
from .answer import Answer, of_each
from .driver import plan_file
from .proof import Proof, Proven, axes_of, equation, spelled
from .wording import local_shape, parts, surroundings, where


def explain(path: Path, include: Sequence[Path] = ()) -> Answer:
    """Every statement of a map in words. Raises MapError, OSError."""
    (planned,) = of_each([path], lambda path: plan_file(path, include=include))
    proven = planned.proven
    left = list(hir.drops(proven.hir.items))
    names = [layout.name for layout in proven.hir.layouts]
    sections = [[f"{proven.hir.source.name} ({' <-> '.join(names)})", planned.title]]
    sections += [[head(proof), *_statement(proof, proven)] for proof in proven.proofs]
    sections += [make_lines(proof, proven) for proof in proven.makes]
    sections += [drop_lines(drop, proven) for drop in left]
    data = {
        "map": proven.hir.source.name,
        "layouts": names,
        "statements": [statement_data(proof, proven) for proof in proven.proofs],
        "makes": [make_data(proof, proven) for proof in proven.makes],
        "drops": [drop_data(drop, proven) for drop in left],
    }
    return Answer("\n\n".join("\n".join(lines) for lines in sections), data)


def head(proof: Proof) -> str:
    """`block.map:41  bijective, tied  for i in L`."""
    around = surroundings(proof)
    told = [proof.where, ", ".join(proof.kinds), *([around] if around else [])]
    return "  ".join(told)


def source_lines(span: Span) -> list[str]:
    """The lines of the map that a statement stands on, as they are there."""
    last = span.source.position(span.end)[0]
    lines = [span.source.line(number) for number in range(span.line, last + 1)]
    return dedent("\n".join(lines)).splitlines()


def make_lines(proof: Proof, proven: Proven) -> list[str]:
    """A tensor that is made: what of, and what becomes of one that is read."""
    make = proof.make
    assert make is not None, "a proof of what is made"
    layout = proven.hir.layouts[make.side]
    read = "left behind" if make.lossy else "compared"
    return [
        head(proof),
        f"    {equation(proof)}",
        *(f"        {line}" for line in where(make.tensor, layout, proof)),
        f"    made when {layout.name} is written, {read} where it is read",
    ]


def make_data(proof: Proof, proven: Proven) -> dict[str, object]:
    make = proof.make
    assert make is not None, "a proof of what is made"
    return {
        "where": proof.where,
        "kinds": list(proof.kinds),
        "equation": equation(proof),
        "tensor": tensor_data(make.tensor, proven.hir.layouts[make.side], proof),
    }


def drop_lines(drop: hir.Drop, proven: Proven) -> list[str]:
    """What becomes of the tensors that a drop takes."""
    layout = proven.hir.layouts[drop.side].name
    return [
        f"{drop.span.where}  drop  {spelled(drop.name)}",
        f"    left behind when {layout} is read, and not written to {layout}",
    ]


def statement_data(proof: Proof, proven: Proven) -> dict[str, object]:
    sides = zip(proven.hir.layouts, proof.statement.sides, strict=True)
    return {
        "where": proof.where,
        "kinds": list(proof.kinds),
        "loops": [f"{loop.index} in {loop.range.span.words}" for loop in proof.loops],
        "conditions": list(proof.tests),
        "parts": [list(leaf.indices) for leaf, _ in proof.pairs],
        "equation": equation(proof),
        "tensors": [
            tensor_data(tensor, layout, proof)
            for layout, tensors in sides
            for tensor in tensors
        ],
    }


def tensor_data(
    tensor: hir.Tensor, layout: hir.Layout, proof: Proof
) -> dict[str, object]:
    return {
        "layout": layout.name,
        "names": [spelled(placed.name) for placed in tensor.names],
        "axes": axes_of(tensor),
        "shape": local_shape(tensor),
        "place": where(tensor, layout, proof),
    }


def drop_data(drop: hir.Drop, proven: Proven) -> dict[str, str]:
    return {
        "where": drop.span.where,
        "layout": proven.hir.layouts[drop.side].name,
        "name": spelled(drop.name),
    }


def _statement(proof: Proof, proven: Proven) -> Iterator[str]:
    width = max(len(layout.name) for layout in proven.hir.layouts)
    optional = "?" if proof.statement.optional else ""
    for layout, tensors in zip(proven.hir.layouts, proof.statement.sides, strict=True):
        for number, tensor in enumerate(tensors):
            name = layout.name if number == 0 else ""
            yield f"    {name:<{width}}  {spelled(tensor.names[0].name)}{axes_of(tensor)}{optional}"
            for line in where(tensor, layout, proof):
                yield f"    {'':<{width}}    {line}"
    yield f"    {parts(proof)}"
