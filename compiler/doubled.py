"""Names that two statements would write; the last thing that `check` looks at."""

from __future__ import annotations

from ..dsl import syntax
from ..dsl.diagnostics import Diagnostic, Label
from . import hir
from .facts import Fact, exclusive, facts
from .proof import Proof, spelled, spellings


def doubled(proofs: tuple[Proof, ...]) -> list[Diagnostic]:
    """A diagnostic for each name that stands in two statements whose conditions do not contradict each other."""
    problems: list[Diagnostic] = []
    seen: dict[tuple[int, str], list[tuple[tuple[Fact, ...], hir.Placed]]] = {}
    for proof in proofs:
        loops = " ".join(loop.index + loop.range.span.text for loop in proof.loops)
        for side, tensors in enumerate(proof.statement.sides):
            if proof.make is not None and proof.make.side != side:
                continue
            for placed in (placed for tensor in tensors for placed in tensor.names):
                said = proof.facts + (facts(placed.when, True) if placed.when else ())
                for name in spellings(placed.name):
                    key = (side, f"{spelled(name)} {loops}")
                    for others, other in seen.get(key, []):
                        if not exclusive(others, said):
                            problems.append(_twice(name, other))
                    seen.setdefault(key, []).append((said, placed))
    return problems


def _twice(name: syntax.Name, other: hir.Placed) -> Diagnostic:
    return Diagnostic(
        "M0306",
        f"the name `{spelled(name)}` stands twice on this side",
        name.span,
        labels=(Label(other.name.span, "first here"),),
        help=(
            "a tensor belongs to one statement, or to the two branches of a condition",
        ),
    )
