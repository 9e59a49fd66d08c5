"""Elements that a source has more than once along an axis, such as keys that are repeated for more ranks.

The first is read, and `--check-replicas` compares the others with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import prod
from typing import Any, NamedTuple

from .checks import Source
from .compare import element_difference, first_difference
from .errors import ConversionError
from .grid import Counts, Piece, dot, index_of
from .mapping import Group
from .output_files import OutputTensor, find_blocks
from .recipe import Block, Copy
from .resharding import repetitions
from .shapes import Holders
from .stored import StoredTensor, item_size
from .stream import CHUNK, Assembler
from .transfers import Transfer


class Repeated(NamedTuple):
    """A block of a source, the block of the same elements that is read, and where the map says so."""

    where: str
    read: Source
    again: Source
    block: Block  # of both, in this order


def repeated_blocks(
    groups: Iterable[Group], side: int, holders: Holders
) -> Iterator[Repeated]:
    """The repetitions in the tensors of these statements, which are those of the source."""
    known: dict[int, list[Block]] = {}
    for group in groups:
        recipe = group.recipe
        if id(recipe) not in known:
            known[id(recipe)] = repetitions(recipe, side)

        def source(piece: Piece, group: Group = group) -> Source:
            place = group.sides[side][piece.position][0]
            return Source(holders.of(place, piece.at)[0], place.name)

        for block in known[id(recipe)]:
            read, again = map(source, block.pieces)
            yield Repeated(recipe.where, read, again, block)


def check_repeated(
    found: Mapping[Any, Mapping[str, StoredTensor]], repeats: Iterable[Repeated]
) -> None:
    """ConversionError for the first repetition that is not the same bit by bit."""
    assembler = Assembler(found, CHUNK, 0)
    try:
        for one in repeats:
            if one.again.name in found[one.again.rank]:
                _check_one(assembler, one)
    finally:
        assembler.close()


def _check_one(assembler: Assembler, one: Repeated) -> None:
    stored = assembler.found[one.again.rank][one.again.name]
    width, count = item_size(stored.dtype), prod(one.block.counts)
    tensors = [_dense(one, number, stored) for number in (0, 1)]
    for first in range(0, count, CHUNK // width):
        last = min(count, first + CHUNK // width)
        texts = []
        for tensor in tensors:
            view = assembler.buffer[: (last - first) * width]
            assembler.fill_elements(tensor, first, last, view)
            texts.append(bytes(view))
        if texts[0] != texts[1]:
            at = first_difference(*texts)
            number = first + at // width
            read = assembler.found[one.read.rank][one.read.name]
            source, here = (_at(one.block, side, number) for side in (0, 1))
            byte = here * width + at % width
            said = element_difference(
                stored.shape, stored.dtype, byte, texts[0], texts[1], at
            )
            raise ConversionError(
                f"{stored.path}: {one.again}: {said}; it is a copy of element {index_of(source, read.shape)} "
                f"of {one.read} ({one.where})"
            )


def _dense(one: Repeated, number: int, stored: StoredTensor) -> OutputTensor:
    """The elements of a block, one behind the other."""
    counts, source = one.block.counts, (one.read, one.again)[number]
    strides = tuple(prod(counts[dim + 1 :]) for dim in range(len(counts)))
    start, steps = one.block.offsets[number], one.block.steps[number]
    copies = (Copy(0, start, steps, 0, strides, counts),)
    shape: Counts = (prod(counts),)
    transfer = Transfer("", source.name, shape, (source,), copies, (), stored.dtype)
    size = prod(counts) * item_size(stored.dtype)
    return OutputTensor(transfer, find_blocks(copies), stored.dtype, 0, size)


def _at(block: Block, side: int, number: int) -> int:
    """The number of an element in its tensor, by its number in the block."""
    index = index_of(number, block.counts)
    return block.offsets[side] + dot(block.steps[side], index)
