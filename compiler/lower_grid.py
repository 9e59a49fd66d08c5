"""Grids as text: the operations that lead from a tensor to the block that a leaf holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..dsl import syntax
from ..dsl.never import assert_never
from ..dsl.syntax import Axis
from .emit import identifier
from .layout import Cut, Front, Leaf, Picked, Place, Row, place_indices, spell


@dataclass(frozen=True, slots=True)
class Match:
    """A pair of leaves: the operations that lead from each tensor to its block, and the paddings passed."""

    leaves: tuple[Leaf, Leaf]
    chains: tuple[tuple[str, ...], tuple[str, ...]]
    orders: tuple[tuple[str, ...], tuple[str, ...]]
    paddings: tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]


def match_of(left: Leaf, right: Leaf, shares: Mapping[str, str]) -> Match:
    found = [_chain(leaf.axes, shares) for leaf in (left, right)]
    return Match(
        (left, right),
        (found[0][0], found[1][0]),
        (found[0][1], found[1][1]),
        (found[0][2], found[1][2]),
    )


def size_text(axis: Axis, shares: Mapping[str, str]) -> str:
    """The local size of an axis as Python text."""
    match axis:
        case syntax.Index(name=name):
            return identifier(name)
        case syntax.One():
            return "1"
        case syntax.Product(factors=factors):
            texts = [
                _factor(factor, shares)
                for factor in factors
                if not isinstance(factor, syntax.One)
            ]
            return " * ".join(texts) or "1"
        case syntax.Sum(parts=parts):
            return sum_text([part.value for part in parts], shares)
        case syntax.Split():
            return f"{shares[spell(axis)]}.size"
        case syntax.Padded(size=size):
            return identifier(size)
        case _:
            assert_never(axis)


def sum_text(parts: list[Axis], shares: Mapping[str, str]) -> str:
    """The size of some parts: equal ones counted, ones added up."""
    counts: dict[str, int] = {}
    for part in parts:
        text = _factor(part, shares)
        counts[text] = counts.get(text, 0) + 1
    ones = counts.pop("1", 0)
    texts = [
        text if count == 1 else f"{count} * {text}" for text, count in counts.items()
    ]
    return " + ".join([*texts, *([str(ones)] if ones else [])]) or "0"


def _factor(axis: Axis, shares: Mapping[str, str]) -> str:
    text = size_text(axis, shares)
    return f"({text})" if isinstance(axis, syntax.Sum) and " + " in text else text


def _chain(
    axes: tuple[Place, ...], shares: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The operations to a leaf's block, the indices of its dims, and the chains to the paddings on the way."""
    dims, chain, paddings = list(axes), [], []
    while any(not isinstance(place, syntax.Index) for place in dims):
        for dim, place in enumerate(dims):
            while isinstance(place, Cut):
                chain.append(f".of({dim}, {shares[spell(place.whole)]})")
                dims[dim] = place = place.value
        if any(isinstance(place, Row) for place in dims):
            dims = [
                factor
                for place in dims
                for factor in (place.factors if isinstance(place, Row) else (place,))
            ]
            chain.append(
                f".view({', '.join(size_text(_axis(place), shares) for place in dims)})"
            )
            continue
        for dim, place in enumerate(dims):
            if isinstance(place, Front):
                before = [
                    _key(other, shares) if isinstance(other, Front) else ":"
                    for other in dims[:dim]
                ]
                paddings.append(
                    (
                        *chain,
                        index_text(
                            [*before, f"{size_text(place.whole.value, shares)}:"]
                        ),
                    )
                )
        keys = [_key(place, shares) for place in dims]
        if any(key != ":" for key in keys):
            chain.append(index_text(keys))
        dims = [_inner(place) for place, key in zip(dims, keys) if ":" in key]
    return tuple(chain), tuple(place_indices_of(dims)), tuple(paddings)


def _key(place: Place, shares: Mapping[str, str]) -> str:
    """How a dim is cut to the part that a leaf takes of it."""
    match place:
        case syntax.One():
            return "0"
        case Picked(whole=whole, part=part, value=value):
            values = [item.value for item in whole.parts]
            start = sum_text(values[:part], shares) if part else ""
            if isinstance(value, syntax.One):
                return start or "0"
            stop = (
                sum_text(values[: part + 1], shares) if part < len(values) - 1 else ""
            )
            return _slice(start, stop)
        case Front(whole=whole):
            return _slice("", size_text(whole.value, shares))
        case syntax.Index() | Row() | Cut():
            return ":"
        case _:
            assert_never(place)


def index_text(keys: list[str]) -> str:
    while keys and keys[-1] == ":":
        keys = keys[:-1]
    return f"[{', '.join(keys)}]"


def _slice(start: str, stop: str) -> str:
    return f"{start}:{stop}"


def place_indices_of(dims: list[Place]) -> Iterator[str]:
    for place in dims:
        yield from place_indices(place)


def _axis(place: Place) -> Axis:
    match place:
        case syntax.Index() | syntax.One():
            return place
        case (
            Row(whole=whole)
            | Picked(whole=whole)
            | Cut(whole=whole)
            | Front(whole=whole)
        ):
            return whole
        case _:
            assert_never(place)


def _inner(place: Place) -> Place:
    return place.value if isinstance(place, (Picked, Front)) else place
