"""Whose a tensor is: the statements and drops of a map that own a name.

A name is matched with the literal pieces and the holes of the map's names; on a config it is looked up among the
names that the converter writes and reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from ..dsl import syntax
from . import hir
from .configured import Instance
from .kinds import infer
from .lower_config import kinds
from .proof import Proof, Proven, spelled, spellings

_DEEP = "\0"  # stands for `**` while a pattern is put together


@dataclass(frozen=True, slots=True)
class Owner:
    """A tensor of a statement: its side and its position there, and which of its names is meant."""

    proof: Proof
    side: int
    position: int
    name: int

    @property
    def key(self) -> tuple[int, int, int, int]:
        """Two owners with the same key are the same."""
        return self.proof.statement.number, self.side, self.position, self.name

    @property
    def tensor(self) -> hir.Tensor:
        return self.proof.statement.sides[self.side][self.position]


@dataclass(frozen=True, slots=True)
class Held:
    """An owner for one value of its loops: the group that the converter makes of it, and the place of the name.

    `position` is that of the tensor in the group: an index in its name may be an axis of the other side, and then
    one tensor of the statement is several of the group.
    """

    owner: Owner
    group: Any
    position: int
    place: Any


def owners(proven: Proven, name: str) -> list[Owner]:
    """Every tensor of a statement that may have the name; a name as the map spells it counts too.

    Those of tails where no other may have it.
    """
    found = [
        owner
        for owner, placed in _named(proven)
        if _is(placed.name, name, owner.side, proven, owner.proof)
    ]
    named = [owner for owner in found if not owner.proof.statement.tail]
    return named or found


def dropped(proven: Proven, name: str) -> list[hir.Drop]:
    """Every drop that may take the name."""
    return [
        drop
        for drop in hir.drops(proven.hir.items)
        if _is(drop.name, name, drop.side, proven, None)
    ]


def made(proven: Proven, name: str) -> list[Proof]:
    """Every tensor that is made and may have the name."""
    return [
        proof
        for proof in proven.makes
        if proof.make is not None
        and _is(proof.make.tensor.names[0].name, name, proof.make.side, proven, proof)
    ]


def held(instance: Instance, name: str) -> tuple[list[Held], list[hir.Drop]]:
    """The groups that have the name on this config, and the drops that take it."""
    groups: list[Held] = []
    tails: list[Held] = []
    lines: dict[str, int] = {}
    for item in instance.statements():
        if isinstance(item, instance.names["Group"]):
            groups += _holding(instance, item, name)
        elif isinstance(item, instance.names["Tail"]):
            for group in _taken(instance, item, name):
                tails += _holding(instance, group, name)
        elif isinstance(item, instance.names["Drop"]) and re.fullmatch(
            _deep(re.escape(item.place.name.replace("**", _DEEP))), name
        ):
            lines[item.where] = item.side
    left = dropped(instance.proven, name)
    if not groups:
        groups = [one for one in tails if one.owner.side not in lines.values()]
    return groups, [drop for drop in left if drop.span.where in lines]


def _holding(instance: Instance, group: Any, name: str) -> list[Held]:
    """The tensors of a group that have the name."""
    return [
        Held(_owner(instance.proven, group, side, name), group, position, found)
        for side, tensors in enumerate((group.left, group.right))
        for position, places in enumerate(tensors)
        for found in places
        if _prefixed(instance, side, name) & set(found.names)
    ]


def _prefixed(instance: Instance, side: int, name: str) -> set[str]:
    """The name as the converter writes it, whichever of the layout's prefixes it has."""
    first, *others = instance.proven.hir.layouts[side].prefixes
    found = [name.removeprefix(other) for other in others if name.startswith(other)]
    return {name, *(first + rest for rest in found)}


def _taken(instance: Instance, tail: Any, name: str) -> Iterator[Any]:
    """The groups that a tail would make of a name, one a side that may have it."""
    for side in (0, 1):
        places = [place for slot in tail.sides[side] for place in slot]
        texts = [
            instance.names["standing"](pattern, written)
            for written in sorted(_prefixed(instance, side, name))
            for place in places
            for pattern in place.names
        ]
        text = next((text for text in texts if text is not None), None)
        if text is not None:
            shapes = instance.names["Shapes"](None, {})
            recipes = instance.names["Recipes"](instance.config, instance.mesh, shapes)
            yield instance.names["tail_group"](tail, text, recipes)


def nearest(proven: Proven, name: str) -> list[str]:
    """The most similar names, as the map spells them."""
    known = {
        _numbers(placed.name): spelled(placed.name) for _, placed in _named(proven)
    }
    return [
        known[close]
        for close in get_close_matches(re.sub(r"\d+", "0", name), known, n=3)
    ]


def nearest_held(instance: Instance, name: str) -> list[str]:
    """The most similar names that the converter reads or writes on this config."""
    known = [
        found.name
        for item in instance.statements()
        if isinstance(item, instance.names["Group"])
        for places in (*item.left, *item.right)
        for found in places
    ]
    return get_close_matches(name, list(dict.fromkeys(known)), n=3)


def _named(proven: Proven) -> Iterator[tuple[Owner, hir.Placed]]:
    for proof in proven.proofs:
        for side, tensors in enumerate(proof.statement.sides):
            for position, tensor in enumerate(tensors):
                for number, placed in enumerate(tensor.names):
                    yield Owner(proof, side, position, number), placed


def _owner(proven: Proven, group: Any, side: int, name: str) -> Owner:
    """The statement that made a group: of those on its line, the one whose names the group's are."""
    there = [proof for proof in proven.proofs if proof.where == group.recipe.where]
    proof = next(proof for proof in there if _made(proof, group, proven))
    position, number = next(
        (position, number)
        for position, tensor in enumerate(proof.statement.sides[side])
        for number, placed in enumerate(tensor.names)
        if _is(placed.name, name, side, proven, proof)
    )
    return Owner(proof, side, position, number)


def _made(proof: Proof, group: Any, proven: Proven) -> bool:
    """Whether every tensor of the group has a name of one of the statement's tensors on its side."""
    return all(
        any(
            _is(placed.name, places[0].name, side, proven, proof)
            for tensor in tensors
            for placed in tensor.names
        )
        for side, (tensors, found) in enumerate(
            zip(proof.statement.sides, (group.left, group.right), strict=True)
        )
        for places in found
    )


def _is(
    pattern: syntax.Name, name: str, side: int, proven: Proven, proof: Proof | None
) -> bool:
    """Whether a name of a side is one that the pattern prints, behind a prefix, or is the pattern itself."""
    known = kinds(proven.hir)
    known |= {loop.index: "int" for loop in proof.loops} if proof is not None else {}
    printed = re.compile(_regex(pattern, known))
    return name == spelled(pattern) or any(
        printed.fullmatch(name.removeprefix(prefix))
        for prefix in proven.hir.layouts[side].prefixes
        if name.startswith(prefix)
    )


def _regex(name: syntax.Name, known: Mapping[str, str]) -> str:
    """Literal pieces as they are, numbers for holes of sizes; a hole that stands twice has one value."""
    holes: list[str] = []
    found = ""
    for part in name.parts:
        match part:
            case syntax.Text(text=text):
                found += re.escape(text.replace("**", _DEEP))
            case syntax.Deep():
                found += _DEEP
            case syntax.Hole(value=value):
                kind = r"\d+" if infer(value, known) == "int" else r"[^.]+"
                text = value.span.text + (part.mesh or "")
                found += (
                    f"(?P=h{holes.index(text)})"
                    if text in holes
                    else f"(?P<h{len(holes)}>{kind})"
                )
                holes += [text] if text not in holes else []
            case syntax.Alternates(items=items):
                found += f"(?:{'|'.join(re.escape(item) for item in items)})"
            case syntax.Several():
                raise AssertionError("lists are written out")
    return _deep(found)


def _deep(pattern: str) -> str:
    """`**` is any number of whole components."""
    for written, meant in (
        (f"{_DEEP}\\.", r"(?:[^.]+\.)*"),
        (f"\\.{_DEEP}", r"(?:\.[^.]+)*"),
        (_DEEP, ".*"),
    ):
        pattern = pattern.replace(written, meant)
    return pattern


def _numbers(name: syntax.Name) -> str:
    """The name with 0 in every hole, to be compared with names."""
    return "".join(
        part.text if isinstance(part, syntax.Text) else "0"
        for part in spellings(name)[0].parts
    )
