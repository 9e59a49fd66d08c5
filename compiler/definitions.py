"""Definitions: which can be used at a place, and what a `def` and a `use` must be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod

from ..dsl import syntax
from ..dsl.diagnostics import Diagnostic, Label, MapError
from ..dsl.source import Span
from .problems import refuse
from .replacing import first_component

DEEPEST = 64  # blocks in one another, and uses in one another


@dataclass(frozen=True, slots=True)
class Defs:
    """The definitions that can be used at a place: those of a block, and those around it."""

    found: dict[str, Definition]
    outer: Defs | None = None

    def get(self, name: str) -> Definition | None:
        here = self.found.get(name)
        return here if here is not None or self.outer is None else self.outer.get(name)

    def names(self) -> list[str]:
        return [*self.found, *([] if self.outer is None else self.outer.names())]


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition, and the definitions that its body can use."""

    node: syntax.Def
    around: Defs


def definitions(statements: Iterable[syntax.Statement], outer: Defs | None) -> Defs:
    """The definitions among some statements, which may stand in any order."""
    defs = Defs({}, outer)
    for node in statements:
        if not isinstance(node, syntax.Def):
            continue
        known = defs.get(node.name)
        if known is not None and known.node.span != node.span:
            refuse(
                "M0121",
                f"`{node.name}` is defined already",
                node.span,
                labels=(Label(known.node.span, "here"),),
            )
        _check_parameters(node)
        defs.found[node.name] = Definition(node, defs)
    return defs if defs.found or outer is None else outer


def _check_parameters(node: syntax.Def) -> None:
    twice = [word for word in node.parameters if node.parameters.count(word) > 1]
    if twice:
        refuse("M0124", f"`{node.name}` has two parameters `{twice[0]}`", node.span)
    used = {
        first_component(name)
        for name in syntax.walk(node.body)
        if isinstance(name, syntax.Name)
    }
    for word in node.parameters:
        if word not in used:
            refuse(
                "M0125",
                f"the parameter `{word}` begins no name of the body",
                node.span,
                help="a parameter stands for the first components of a name, "
                "as in `a.weight[e] <-> b.weight[e]`",
            )


def check_use(
    use: syntax.Use, node: syntax.Def, around: tuple[syntax.Def, ...]
) -> None:
    """The arguments are as many as the parameters, and no definition around uses itself here."""
    count, found = len(node.parameters), len(use.arguments)
    if count != found:
        refuse(
            "M0122",
            f"`{use.name}` has {count} parameter{'' if count == 1 else 's'}, found {found}",
            use.span,
            labels=(Label(node.span, "defined here"),),
        )
    if any(other.span == node.span for other in around):
        start = [other.span for other in around].index(node.span)
        names = [f"`{other.name}`" for other in (*around[start:], node)]
        refuse("M0123", f"a definition uses itself: {' -> '.join(names)}", use.span)
    if len(around) >= DEEPEST:
        refuse(
            "M0128",
            f"expected at most {DEEPEST} uses in one another, found more",
            use.span,
        )


def check_names(statement: syntax.Statement, use: syntax.Use) -> int:
    """No tensor's name is empty, as it is where `""` stands for all of it. How long all names are together."""
    length = 0
    for node in syntax.walk(statement):
        match node:
            case (
                syntax.Term(tensor=syntax.Name(parts=()) as name)
                | syntax.Tie(name=syntax.Name(parts=()) as name)
                | syntax.Drop(name=syntax.Name(parts=()) as name)
                | syntax.Make(name=syntax.Name(parts=()) as name)
            ):
                refuse(
                    "M0126",
                    "an empty argument leaves nothing of a tensor's name",
                    use.span,
                    labels=(Label(name.span, "this name"),),
                )
            case syntax.Text(text=text):
                length += len(text)
    return length


def choices(name: syntax.Name) -> int:
    """How many names a name with lists stands for."""
    return prod(len(p.items) for p in name.parts if isinstance(p, syntax.Several))


def told(error: MapError, uses: Iterable[tuple[Span, Span]]) -> MapError:
    """The same mistakes; one in a definition with a label where it is used, or first used."""
    places: dict[Span, list[Span]] = {}
    for node, use in uses:
        places.setdefault(node, []).append(use)
    return MapError(*(_labelled(one, places) for one in error.diagnostics))


def _labelled(found: Diagnostic, places: dict[Span, list[Span]]) -> Diagnostic:
    for node, (use, *others) in places.items():
        if node.source == found.span.source and (
            node.start <= found.span.start and found.span.end <= node.end
        ):
            more = f", and in {len(others)} more places" if len(others) > 1 else ""
            more = ", and in one more place" if len(others) == 1 else more
            label = Label(use, f"used here{more}")
            return replace(found, labels=(*found.labels, label))
    return found
