"""`mapc check`: every statement with its proof, and what a config makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from . import hir
from .answer import Answer, of_each
from .check import Proof, Proven, equation, spelled
from .configured import Given, configured
from .counting import counted
from .driver import plan_file
from .lower_functions import place, wrapped
from .plan import Plan

WIDTH = 118  # of a line, equations aside that have no blank to break at


def check(maps: Sequence[Path], given: Given | None, every: bool) -> Answer:
    """Prove the maps and, with a config, count. Raises MapError, Refused, OSError, usage errors."""
    found = [_reported(*one, given, every) for one in of_each(maps, plan_file)]
    return Answer("\n\n".join(text for text, _ in found), {"maps": [data for _, data in found]})


def _reported(
    proven: Proven, planned: Plan, given: Given | None, every: bool
) -> tuple[str, dict[str, object]]:
    text = "\n".join(
        [f"{proven.hir.source.name}: {planned.title}", "", *_table(proven), "", *_closing(proven)]
    )
    data: dict[str, object] = {
        "map": proven.hir.source.name,
        "layouts": [layout.name for layout in proven.hir.layouts],
        "statements": [statement_data(proof, proven) for proof in proven.proofs],
        "drops": [place_of(drop, proven) for drop in drops(proven.hir.items)],
    }
    if given is not None:
        with configured(proven, planned, given) as instance:
            more, data["config"] = counted(instance, every)
        text += f"\n\n{more}"
    return text, data


def statement_data(proof: Proof, proven: Proven) -> dict[str, object]:
    return {
        "where": place(proof, proven.hir),
        "kinds": list(proof.kinds),
        "parts": [list(leaf.indices) for leaf, _ in proof.pairs],
        "loops": [f"{loop.index} in {loop.range.span.text}" for loop in proof.loops],
        "conditions": list(proof.tests),
        "equation": equation(proof),
    }


def _table(proven: Proven) -> list[str]:
    """The statements, under the loops and conditions that they share."""
    wheres = [place(proof, proven.hir) for proof in proven.proofs]
    kinds = [", ".join(proof.kinds) for proof in proven.proofs]
    widths = [max(map(len, ["where", *wheres])), max(map(len, ["kind", *kinds]))]
    lines = [f"{'where':<{widths[0]}}  {'kind':<{widths[1]}}  parts  equation"]
    around = ""
    for proof, where, kind in zip(proven.proofs, wheres, kinds, strict=True):
        if (heading := surroundings(proof)) != around:
            lines += wrapped(f"{heading or 'outside the loops'}:", WIDTH, "    ")
            around = heading
        start = f"{where:<{widths[0]}}  {kind:<{widths[1]}}  {len(proof.pairs):>5}  "
        first, *more = wrapped(equation(proof), max(40, WIDTH - len(start)), "    ")
        lines += [start + first, *(" " * len(start) + line for line in more)]
    return lines


def surroundings(proof: Proof) -> str:
    """`for i in L: A.{i} <-> B.{i}; if not tied`: the loops and conditions around a statement."""
    loops = ", ".join(f"for {loop.index} in {_text(loop.range.span.text)}" for loop in proof.loops)
    prefixes = next((loop.prefixes for loop in reversed(proof.loops) if loop.prefixes), None)
    if prefixes is not None:
        loops += f": {spelled(prefixes[0])} <-> {spelled(prefixes[1])}"
    tests = [condition(test) for test in proof.tests]
    return "; ".join([*([loops] if loops else []), *tests])


def condition(test: str) -> str:
    """`if tied`, or for an alternative of a variant `where norms=fused`."""
    return f"if {_text(test)}"


def _text(text: str) -> str:
    return " ".join(text.split())


def _closing(proven: Proven) -> list[str]:
    count, left = len(proven.proofs), len(drops(proven.hir.items))
    dropped = f"dropped by name ({left} `drop`{'s' if left > 1 else ''})" if left else "refused"
    return wrapped(
        f"{count} statement{'s' if count > 1 else ''} proven: each element of the target is written once, "
        f"each element of the source is read or {dropped}, and the two directions compose to the identity.",
        WIDTH,
    )


def drops(items: Sequence[hir.Item]) -> list[hir.Drop]:
    """What is left behind by name, in the order of the text."""
    found: list[hir.Drop] = []
    for item in items:
        match item:
            case hir.Drop():
                found.append(item)
            case hir.Loop(body=body):
                found += drops(body)
            case hir.Choice(then=then, otherwise=otherwise):
                found += drops((*then, *otherwise))
            case hir.Stored(bodies=bodies):
                found += [drop for body in bodies for drop in drops(body)]
            case hir.Statement() | hir.Let():
                pass
    return found


def place_of(drop: hir.Drop, proven: Proven) -> dict[str, object]:
    return {
        "where": f"{proven.hir.source.name}:{drop.span.line}",
        "layout": proven.hir.layouts[drop.side].name,
        "name": spelled(drop.name),
    }
