"""The algebra, the recipes and the executor against the brute-force oracle, on drawn equations.

A source tensor's elements are numbered, copies on other ranks too, so that a result says which element it was read
from. Both directions, every rank, every element.
"""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import torch
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st
from mapc.compiler import layout
from mapc.dsl.diagnostics import MapError

from . import oracle
from .equations import LETTERS, Drawn, equations
from .oracle import Element, Statement
from .quick import Quick, quick

LONG = bool(os.environ.get("MAPC_LONG"))
thorough = settings(
    max_examples=20_000 if LONG else 400,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
    ],
)
Tensors = dict[str, torch.Tensor]


@thorough
@given(equations())
def test_leaves_and_sizes(drawn: Drawn) -> None:
    statement = drawn.statement
    found = [
        layout.leaves(tuple(term.axes for term in side)) for side in statement.sides
    ]
    for side, mine in enumerate(found):
        theirs = oracle.leaves(
            statement.sides[side], statement.sizes, statement.meshes[side]
        )
        assert [(leaf.term, leaf.indices, leaf.labels) for leaf in mine] == [
            (leaf.term, leaf.indices, leaf.labels) for leaf in theirs
        ]
        for term in statement.sides[side]:
            for axis in term.axes:
                whole = whole_size(layout.size(axis), statement)
                unsplit = oracle.Mesh(dict.fromkeys(("tp", "ep"), 1), ())
                assert whole == oracle.size(
                    axis, statement.sizes, unsplit
                ), layout.spell(axis)
    matched = layout.matched(found[0], found[1])
    assert matched is not None
    assert [
        [(leaf.term, leaf.indices, leaf.labels) for leaf in pair] for pair in matched
    ] == [
        [(leaf.term, leaf.indices, leaf.labels) for leaf in pair]
        for pair in oracle.pairs(statement) or []
    ]


def whole_size(polynomial: layout.Size, statement: Statement) -> int:
    total = 0
    for names, factor in polynomial.items():
        for name in names:
            factor *= statement.sizes[name]
        total += factor
    return total


@thorough
@given(equations())
def test_conversion(drawn: Drawn) -> None:
    convert_both_ways(drawn, quick(drawn.text))


@settings(thorough, max_examples=thorough.max_examples // 2)
@given(equations(), st.sampled_from(LETTERS))
def test_conversion_with_a_measured_size(drawn: Drawn, name: str) -> None:
    """An index that no config binds, where the compiler finds an axis that tells its size."""
    text = drawn.text.replace(f"    {name}: {name} <-> {name}\n", "")
    assume(text != drawn.text and 0 not in drawn.statement.sizes.values())
    try:
        made = quick(text)
    except MapError as error:
        # No axis tells it, or it stands in a name alone.
        assert {diagnostic.code for diagnostic in error.diagnostics} <= {
            "M0307",
            "M0212",
        }
        reject()
    convert_both_ways(drawn, made)


def convert_both_ways(drawn: Drawn, made: Quick) -> None:
    """Each element of each tensor of each rank, from left to right and back."""
    mesh = made.mesh(**drawn.statement.meshes[drawn.sharded].sizes)
    config = SimpleNamespace(
        **drawn.statement.sizes,
        **{f"size_{name}": size for name, size in drawn.statement.sizes.items()},
    )
    for target in (0, 1):
        sources, codes = coded(drawn, 1 - target, mesh)
        expected = predicted(drawn, target, codes, mesh)
        to = (made.converter.left, made.converter.right)[target].name
        before = {
            rank: {n: t.clone() for n, t in found.items()}
            for rank, found in sources.items()
        }
        convert = made.runtime.convert_tensors
        plan = made.runtime.make_plan(made.converter, to, config, mesh, sources)
        for rank in expected:
            for out in (None, unwritten):
                found = dict(
                    convert(made.converter, to, sources, config, mesh, rank, out, False)
                )
                assert list(found) == list(expected[rank])
                for name, tensor in found.items():
                    assert tensor.tolist() == expected[rank][name].tolist(), (
                        name,
                        rank,
                    )
                    assert tensor.shape == expected[rank][name].shape
            for transfer in plan.transfers(rank):
                assert all(count == 1 for count in written(transfer)), (
                    transfer.name,
                    rank,
                )
        assert all(
            torch.equal(t, sources[r][n])
            for r, found in before.items()
            for n, t in found.items()
        )


def unwritten(name: str, shape: tuple[int, ...], dtype: Any) -> torch.Tensor:
    """Memory that shows which elements were never written."""
    return torch.full(shape, -1, dtype=dtype)


def written(transfer: Any) -> list[int]:
    """How often each element of a target is written."""
    counts = torch.zeros(transfer.shape, dtype=torch.int64)
    for block in (*transfer.copies, *transfer.zeros):
        counts.as_strided(block.counts, block.strides, block.offset).add_(1)
    return list(counts.flatten().tolist())


# ---- coordinate-coded tensors -----------------------------------------------------------------------


def ranks_of(drawn: Drawn, side: int, mesh: Any) -> list[Any]:
    return list(mesh.ranks()) if side == drawn.sharded else [None]


def names_of(drawn: Drawn, side: int) -> dict[tuple[int, tuple[int, ...]], str]:
    """The name of every tensor of a side, by its term and the values of the indices in its name."""
    found = {}
    for number, (name, tensor) in enumerate(
        zip(drawn.names[side], drawn.statement.sides[side], strict=True)
    ):
        for values in every(
            tuple(drawn.statement.sizes[index] for index in tensor.named)
        ):
            found[number, values] = ".".join([name, *map(str, values)])
    return found


def every(counts: tuple[int, ...]) -> list[tuple[int, ...]]:
    """All multi-indices below these counts, row-major."""
    if not counts:
        return [()]
    return [(first, *rest) for first in range(counts[0]) for rest in every(counts[1:])]


def empty(drawn: Drawn, side: int, mesh: Any) -> dict[Any, Tensors]:
    """The tensors of a side, all zeros."""
    tensors = drawn.statement.sides[side]
    shapes = [
        [oracle.shape(tensor, drawn.statement, side, number) for tensor in tensors]
        for number, _ in enumerate(ranks_of(drawn, side, mesh))
    ]
    return {
        rank: {
            name: torch.zeros(shapes[number][term], dtype=torch.int64)
            for (term, _), name in names_of(drawn, side).items()
        }
        for number, rank in enumerate(ranks_of(drawn, side, mesh))
    }


def coded(
    drawn: Drawn, side: int, mesh: Any
) -> tuple[dict[Any, Tensors], dict[Element, int]]:
    """The tensors of a side with their elements numbered from 1, and the number of every element."""
    codes = {
        e: code for code, e in enumerate(oracle.elements(drawn.statement, side), 1)
    }
    names, ranks = names_of(drawn, side), ranks_of(drawn, side, mesh)
    tensors = empty(drawn, side, mesh)
    for element, code in codes.items():
        name = names[element.term, element.named]
        tensors[ranks[element.rank]][name][element.index] = code
    return tensors, codes


def predicted(
    drawn: Drawn, side: int, codes: dict[Element, int], mesh: Any
) -> dict[Any, Tensors]:
    """The tensors of a target as the oracle has them: padding is zero."""
    names, ranks = names_of(drawn, side), ranks_of(drawn, side, mesh)
    tensors = empty(drawn, side, mesh)
    for place, source in oracle.mapping(drawn.statement, side).items():
        tensors[ranks[place.rank]][names[place.term, place.named]][place.index] = codes[
            source
        ]
    return tensors
