"""`mapc check`: every statement with its proof, and what a config makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import hir
from .answer import Answer, of_each
from .configured import Given, configured
from .counting import counted
from .driver import plan_file
from .explaining import drop_data, make_data, statement_data
from .lower_functions import wrapped
from .plan import Plan
from .proof import Proof, Proven, equation, spelled
from .table import columns
from .wording import surroundings

KINDS = {
    "bijective": "every element of each side has exactly one place on the other",
    "rounded": "each way computes, and rounds once",
    "tail": "all tensors whose names begin so, unchanged",
    "made": "written where one side has no such tensor; when it is read it is compared",
    "optional": "there on both sides or on none",
    "defaulted": "takes a default where the source has none",
    "padded": "zeros fill the last part of an axis; they are left out on the way back",
    "tied": "one tensor under several names; read from one that is there, and all are equal",
    "replicating": "copied going there; coming back the first copy is read",
    "lossy": "something is lost, as the map says",
    "dropped": "left behind by name when it is read, and not written",
}
WIDTH = 118  # of a line, equations aside that have no blank to break at


def check(
    maps: Sequence[Path], given: Given | None, every: bool, include: Sequence[Path] = ()
) -> Answer:
    """Prove the maps and, with a config, count. Raises MapError, Refused, OSError, usage errors."""
    planned = of_each(maps, lambda path: plan_file(path, include=include))
    found = [_reported(one, given, every) for one in planned]
    return Answer(
        "\n\n".join(text for text, _ in found), {"maps": [data for _, data in found]}
    )


def _reported(
    planned: Plan, given: Given | None, every: bool
) -> tuple[str, dict[str, object]]:
    proven = planned.proven
    left, right = proven.hir.layouts
    heading = f"{proven.hir.source.name} ({left.name} <-> {right.name})"
    text = "\n".join(
        [
            *(heading, planned.title, "", *_table(proven), ""),
            *(*_legend(proven), "", *_closing(proven)),
        ]
    )
    data: dict[str, object] = {
        "map": proven.hir.source.name,
        "layouts": [layout.name for layout in proven.hir.layouts],
        "statements": [statement_data(proof, proven) for proof in proven.proofs],
        "makes": [make_data(proof, proven) for proof in proven.makes],
        "drops": [drop_data(drop, proven) for drop in hir.drops(proven.hir.items)],
    }
    if given is not None:
        with configured(proven, planned, given) as instance:
            more, data["config"] = counted(instance, every)
        text += f"\n\n{more}"
    return text, data


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the table, and the heading that it stands under."""

    heading: str
    where: str
    kind: str
    parts: str
    equation: str


def _table(proven: Proven) -> list[str]:
    """The statements, under the loops and conditions that they share, and the drops."""
    rows = list(_rows(proven))
    where = max(len(row.where) for row in rows)
    kind = max(len(row.kind) for row in rows)
    lines = [f"  {'where':<{where}}  {'kind':<{kind}}  parts  equation"]
    around = ""
    for row in rows:
        if row.heading != around:
            lines += wrapped(row.heading, WIDTH, "    ")
            around = row.heading
        start = f"  {row.where:<{where}}  {row.kind:<{kind}}  {row.parts:>5}  "
        first, *more = wrapped(row.equation, max(40, WIDTH - len(start)), "    ")
        lines += [start + first, *(" " * len(start) + line for line in more)]
    return lines


def _rows(proven: Proven) -> Iterator[_Row]:
    for proof in proven.every:
        where, kind = proof.where, ", ".join(proof.kinds)
        yield _Row(
            _heading(proof), where, kind, str(len(proof.pairs)), _equation(proof)
        )
    for drop in hir.drops(proven.hir.items):
        told = drop_data(drop, proven)
        name = f"{told['layout']}: {told['name']}"
        yield _Row("left behind by name:", told["where"], "dropped", "", name)


def _legend(proven: Proven) -> list[str]:
    """What the columns and the kinds mean that the table has, in the order of KINDS."""
    there = {kind for proof in proven.every for kind in proof.kinds}
    there |= {"dropped"} if any(hir.drops(proven.hir.items)) else set()
    told = [(kind, why) for kind, why in KINDS.items() if kind in there]
    return columns(
        [
            (
                "  parts",
                "the blocks that the tensors of one side are cut into; as many on the other side",
            ),
            *((f"  {kind}", why) for kind, why in told),
        ]
    )


def _equation(proof: Proof) -> str:
    """The statement on one line, and what its tensors are tied to."""
    tensors = (*proof.statement.left, *proof.statement.right)
    tied = [spelled(placed.name) for tensor in tensors for placed in tensor.names[1:]]
    return equation(proof) + (f"; also as {', '.join(tied)}" if tied else "")


def _heading(proof: Proof) -> str:
    """`for i in L; if not tied: A.{i} <-> B.{i}`: what is around a statement, and how its names begin."""
    prefixes = next(
        (loop.prefixes for loop in reversed(proof.loops) if loop.prefixes), None
    )
    names = (
        ""
        if prefixes is None
        else f" {spelled(prefixes[0])} <-> {spelled(prefixes[1])}"
    )
    return f"{surroundings(proof) or 'in no loop'}:{names}"


def _closing(proven: Proven) -> list[str]:
    count, left = len(proven.proofs), len(list(hir.drops(proven.hir.items)))
    dropped = (
        f" or dropped by name ({left} drop{'s' if left > 1 else ''})" if left else ""
    )
    made = (
        f" Besides, {len(proven.makes)} statement{'s' if len(proven.makes) > 1 else ''} make{'' if len(proven.makes) > 1 else 's'} what only one side has."
        if proven.makes
        else ""
    )
    rounded = sum("rounded" in proof.kinds for proof in proven.proofs)
    up_to = (
        f"; of the {rounded} with arithmetic or `as`, up to rounding: each way is computed in float32, or in "
        "float64 for float64, and rounded once"
        if rounded
        else ""
    )
    return wrapped(
        f"{count} statement{'s' if count > 1 else ''} proven: each element of the target is written once, "
        f"each element of the source is read{dropped}, and the two directions compose to the identity{up_to}.{made}",
        WIDTH,
    )
