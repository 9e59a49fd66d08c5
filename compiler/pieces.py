"""Which blocks of which tensors fill a tensor, rank by rank, read off its recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..templates.runtime.grid import Counts
from ..templates.runtime.recipe import Copy
from .configured import Instance
from .locating import Held
from .slices import blocks, words

SHOWN = 12  # Of more blocks than this a reader is told how many there are.


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor of the other layout: its name and the mesh coordinates that it needs."""

    name: str
    at: Mapping[str, int]
    shape: Counts


@dataclass(frozen=True, slots=True)
class Piece:
    """A tensor as the ranks with these coordinates hold it, and what fills it: (source, copy), and zeros."""

    at: Mapping[str, int]
    shape: Counts
    copies: tuple[tuple[Stored, Copy], ...]
    zeros: tuple[Copy, ...]


def pieces(held: Held) -> Iterator[Piece]:
    """The pieces of a tensor, in the order of the ranks."""
    owner, recipe = held.owner, held.group.recipe
    for piece, shape in recipe.shapes.items():
        mine = (piece.side, piece.position) == (owner.side, held.position)
        if mine and shape is not None:
            filling = recipe.filling(piece)
            sources = [_stored(held, source) for source in filling.sources]
            yield Piece(
                {**held.place.at, **dict(piece.at)},
                shape,
                tuple((sources[copy.source], copy) for copy in filling.copies),
                filling.zeros,
            )


def piece_lines(instance: Instance, piece: Piece) -> list[str]:
    """`rows 0..31 from rows 64..95 of NAME on tp=1`: a line a block."""
    lines = [
        line
        for stored, copy in piece.copies
        for line in _copied(instance, piece, stored, copy)
    ]
    lines += [
        (
            words(piece.shape, zero.offset, zero.strides, zero.counts),
            "zeros, for padding",
        )
        for zero in piece.zeros
    ]
    if not lines:
        return ["no element"]
    shown = lines if len(lines) <= SHOWN else lines[: SHOWN - 2]
    width = max(len(here) for here, _ in shown)
    text = [f"{here:<{width}}  {what}" for here, what in shown]
    return (
        text
        if shown == lines
        else [*text, f"and {len(lines) - len(shown)} more blocks in this way"]
    )


def piece_data(piece: Piece) -> dict[str, object]:
    """The blocks in numbers of elements: where each begins, its steps and its counts, slowest first."""
    return {
        "rank": dict(piece.at),
        "shape": list(piece.shape),
        "copies": [
            {
                "name": stored.name,
                "rank": dict(stored.at),
                "counts": list(copy.counts),
                "offset": copy.offset,
                "steps": list(copy.strides),
                "source_offset": copy.start,
                "source_steps": list(copy.steps),
            }
            for stored, copy in piece.copies
        ],
        "zeros": [
            {
                "counts": list(zero.counts),
                "offset": zero.offset,
                "steps": list(zero.strides),
            }
            for zero in piece.zeros
        ],
    }


def _stored(held: Held, source: tuple[int, int, tuple[tuple[str, int], ...]]) -> Stored:
    """A source as the first of its names has it."""
    side, position, at = source
    place = (held.group.left, held.group.right)[side][position][0]
    return Stored(
        place.name, {**place.at, **dict(at)}, held.group.recipe.shapes[source]
    )


def _copied(
    instance: Instance, piece: Piece, stored: Stored, copy: Copy
) -> Iterator[tuple[str, str]]:
    rank = instance.coordinates(stored.at)
    for block in blocks(copy):
        here = words(piece.shape, block.here, block.strides, block.counts)
        there = words(stored.shape, block.there, block.steps, block.counts)
        yield here, f"from {there} of {stored.name}{' on ' + rank if rank else ''}"
