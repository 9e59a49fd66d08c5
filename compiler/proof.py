"""Proofs: statements whose leaves are matched one to one.

Third form of a map (hir -check-> proof -lower-> plan). What holds here is said by `verify`, which runs after the pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

from ..dsl import syntax
from . import arithmetic, hir
from .kinds import paths
from .layout import Leaf, axis_indices, formula, leaves, spell


@dataclass(frozen=True, slots=True)
class Proof:
    """A statement with its matched leaves (left, right), where it stands, and what it is.

    `bundled` are the loops whose index stands on an axis: they belong to the statement and not around it.
    `measured` are the indices whose size is found on the source's tensors, `local` the names that a `let` around
    the statement binds.
    """

    statement: hir.Statement
    pairs: tuple[tuple[Leaf, Leaf], ...]
    loops: tuple[hir.Loop, ...]
    tests: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    bundled: tuple[hir.Loop, ...]
    measured: tuple[str, ...]
    local: frozenset[str]
    kinds: tuple[str, ...]
    make: hir.Make | None = None

    @property
    def where(self) -> str:
        """`NAME.map:41`."""
        return self.statement.span.where


@dataclass(frozen=True, slots=True)
class Proven:
    """The map and a proof of each of its statements, in order; `makes` are those of tensors that are made."""

    hir: hir.Map
    proofs: tuple[Proof, ...]
    makes: tuple[Proof, ...] = ()

    @property
    def every(self) -> tuple[Proof, ...]:
        """The proofs of both, in order."""
        both = (*self.proofs, *self.makes)
        return tuple(sorted(both, key=lambda proof: proof.statement.number))


def varying(proof: Proof) -> dict[str, syntax.Expr]:
    """The ranges of bundled indices that change with a loop or a `let` around the statement."""
    around = {loop.index for loop in proof.loops} | proof.local
    return {
        loop.index: loop.range
        for loop in proof.bundled
        if any(path.text in around - {loop.index} for path in paths(loop.range))
    }


def name_indices(name: syntax.Name) -> list[str]:
    """The names that a tensor's name is printed from."""
    return [
        path.text
        for part in name.parts
        if isinstance(part, syntax.Hole)
        for path in paths(part.value)
    ]


def name_splits(name: syntax.Name, layout: hir.Layout) -> tuple[tuple[str, str], ...]:
    """The indices of a name that are split over the mesh, and over what; those of stages aside."""
    staged = layout.stages.mesh if layout.stages else None
    found = [
        (part.value.text, part.mesh)
        for part in name.parts
        if isinstance(part, syntax.Hole)
        and part.mesh not in (None, staged)
        and isinstance(part.value, syntax.Path)
    ]
    return tuple(dict.fromkeys((index, dim) for index, dim in found if dim))


def spellings(name: syntax.Name) -> tuple[syntax.Name, ...]:
    """The name with each choice of its alternates, the one that is written first."""
    choices = [
        (
            tuple(syntax.Text(item, span=part.span) for item in part.items)
            if isinstance(part, syntax.Alternates)
            else (part,)
        )
        for part in name.parts
    ]
    return tuple(replace(name, parts=parts) for parts in product(*choices))


def spelled(name: syntax.Name) -> str:
    """A name as the map writes it, prefixes included."""
    return "".join(
        (
            part.text
            if isinstance(part, syntax.Text)
            else (
                "**"
                if isinstance(part, syntax.Deep)
                else "{" + part.span.text.strip("{}") + "}"
            )
        )
        for part in name.parts
    )


def axes_of(tensor: hir.Tensor) -> str:
    """The axes of a tensor as the map writes them: `[(f@tp + f@tp) e]`, nothing for a whole tensor."""
    return "" if tensor.whole else formula(tensor.axes)


def equation(proof: Proof) -> str:
    """The statement on one line, its names without the prefixes of the loops."""
    prefixes = next(
        (loop.prefixes for loop in reversed(proof.loops) if loop.prefixes), None
    )
    sides = []
    for side, tensors in enumerate(proof.statement.sides):
        if proof.make is not None and proof.make.side != side:
            continue
        cut = len(prefixes[side].parts) + 1 if prefixes else 0
        tensors = tensors if proof.make is None else (proof.make.tensor,)
        names = [
            replace(t.names[0].name, parts=t.names[0].name.parts[cut:]) for t in tensors
        ]
        optional = "?" if proof.statement.optional else ""
        sides.append(
            ", ".join(
                arithmetic.spelled(spelled(name) + axes_of(t) + optional, t)
                for name, t in zip(names, tensors)
            )
        )
    if proof.make is not None:
        return _making(proof.make, sides[0])
    return " <-> ".join(sides)


def _making(make: hir.Make, text: str) -> str:
    """A `make` on one line."""
    plain = make.fill.function == "full"
    value = (
        arithmetic.operand(make.fill.arguments[0])
        if plain
        else arithmetic.filled(make.fill)
    )
    dtype = f" as {make.tensor.dtype}" if make.tensor.dtype is not None else ""
    name = text.removesuffix(dtype)
    return f"make {('left', 'right')[make.side]} {name} = {value}{dtype}"


def verify(proven: Proven) -> Proven:
    """Assert what `check` promises; a failure here is a bug of the compiler."""
    numbers = [statement.number for statement in hir.statements(proven.hir.items)]
    assert [
        proof.statement.number for proof in proven.proofs
    ] == numbers, "one proof a statement"
    for proof in proven.proofs:
        for side in (0, 1):
            found = leaves(tuple(tensor.axes for tensor in proof.statement.sides[side]))
            assert sorted(map(repr, found)) == sorted(
                repr(pair[side]) for pair in proof.pairs
            ), "each leaf once"
        for tensor in proof.statement.left + proof.statement.right:
            for axis in tensor.axes:
                assert all(axis_indices(axis)), spell(axis)
    return proven
