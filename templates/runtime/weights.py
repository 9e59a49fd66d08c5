"""The weights of a checkpoint directory, as tensors of one layout, whatever layout they are stored in.

That layout is the one without ranks, or the left one where neither has them, and its tensors are those that the other
layout would give back: what a map makes or drops is none of them. Of a directory in that very layout most are stored as
they are; the rest, those of another variant, are put together by way of the other layout.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from math import prod
from typing import Any, NamedTuple

from .between import Between, BetweenReader, planned_tensors
from .casting import check_cast_library
from .chunk_needs import scratch_of
from .errors import ConversionError
from .grid import index_of
from .layouts import Converter
from .narrowing import Narrowing, may_narrow
from .opening import check_values, plan_source
from .output_files import OutputTensor
from .plan import Plan
from .recipe import Copy, whole_copy
from .source_folder import SourceFolder, open_source
from .stream import CHUNK, Assembler
from .transfers import Transfer, origin_of


class Asked(NamedTuple):
    """What a caller says of a directory: its layout (None: that it is told by what is in it), its mesh, and how to read it.

    `choices` are options and variants by name.
    """

    layout: str | None
    mesh: Any
    choices: Mapping[str, Any]
    check_replicas: bool
    allow_narrowing: bool
    follow_links: bool


class Location(NamedTuple):
    """Where an element is stored."""

    name: str
    element: list[int]
    rank: Mapping[str, int]
    file: str  # relative to the directory

    def __str__(self) -> str:
        at = " ".join(f"{dim}={position}" for dim, position in self.rank.items())
        return f"{self.name} {self.element} in {self.file}{at and f' (rank {at})'}"


class Weights(NamedTuple):
    """What a directory holds. `layout` and `mesh` are those that it is stored in."""

    layout: str
    mesh: Mapping[str, int]
    source: SourceFolder
    tensors: Mapping[str, OutputTensor]  # all of them
    between: Between | None
    through: frozenset[str]  # the names of those whose sources are `between`
    rounded: tuple[str, ...]  # of those on whose way is arithmetic or a smaller dtype
    dropped: Mapping[str, int]
    nonzero_padding: Mapping[str, int]
    allow_narrowing: bool

    def locate(self, name: str, number: int) -> Location | None:
        """Where an element is stored; None for padding, and for what is absent and has a default."""
        origin = origin_of(self.tensors[name].transfer, number)
        if origin is not None and name in self.through:
            assert self.between is not None, "something is put together of it"
            origin = origin_of(self.between.tensor(origin[0]).transfer, origin[1])
        if origin is None:
            return None
        (rank, stored_name), at = origin
        stored = self.source.tensors[rank].get(stored_name)
        if stored is None:
            return None
        coordinates = {} if rank is None else rank._asdict()
        file = os.path.relpath(stored.path, self.source.path)
        return Location(stored_name, index_of(at, stored.shape), coordinates, file)


def open_weights(converter: Converter, path: str, asked: Asked) -> Weights:
    """Open a directory; ConversionError where it is a checkpoint of none of the layouts, or might be of both."""
    layouts = (converter.left.name, converter.right.name)
    found: dict[str, tuple[SourceFolder, Plan]] = {}
    errors: list[tuple[str, ConversionError]] = []
    for layout in layouts if asked.layout is None else (asked.layout,):
        try:
            found[layout] = _planned(converter, path, layout, asked)
        except ConversionError as error:
            errors.append((layout, error))
    if not found and len(errors) == 1:
        raise errors[0][1]
    if not found:
        said = "; ".join(f"as {layout}, {error}" for layout, error in errors)
        raise ConversionError(
            f"{path}: expected a checkpoint of {' or '.join(layouts)}; {said}"
        )
    if len(found) > 1:
        raise ConversionError(
            f"{path}: it may be a checkpoint of {' or '.join(layouts)}; --layout says of which"
        )
    ((layout, (source, plan)),) = found.items()
    if converter.side(layout) == whole_side(converter):
        return _of_whole(converter, source, plan, asked)
    return _of_other(converter, source, plan, asked)


def whole_side(converter: Converter) -> int:
    """The side whose tensors stand for a checkpoint: the one without ranks, or the left one."""
    return int(converter.left.file is not None)


def _planned(
    converter: Converter, path: str, layout: str, asked: Asked
) -> tuple[SourceFolder, Plan]:
    """A directory as a source in one layout, and its way to the other one."""
    number = converter.side(layout)
    sides = (converter.left, converter.right)
    here, there = sides[number], sides[1 - number]
    mesh = asked.mesh if here.file is not None else None
    source = open_source(path, here, converter.mesh, mesh, asked.follow_links)
    return source, plan_source(converter, source, there.name, mesh, asked.choices)


def _of_other(
    converter: Converter, source: SourceFolder, plan: Plan, asked: Asked
) -> Weights:
    """The weights of a directory in the other layout: what would be converted."""
    transfers = _not_made(plan)
    return Weights(
        (converter.right, converter.left)[plan.target].name,
        {} if plan.mesh is None else asdict(plan.mesh),
        source,
        _by_name(converter, transfers),
        None,
        frozenset(),
        tuple(one.name for one in transfers if _is_rounded(one)),
        plan.drops,
        check_values(plan, source, asked.check_replicas),
        asked.allow_narrowing,
    )


def _of_whole(
    converter: Converter, source: SourceFolder, plan: Plan, asked: Asked
) -> Weights:
    """The weights of a directory in the very layout: of what would come back, most is what is stored."""
    variants = {n: c for n, c in asked.choices.items() if n in converter.variants}
    between = Between(converter, plan, variants)
    back = _not_made(between.back)
    stored = [_stored(source, between, one) for one in back]
    through = frozenset(one.name for one, same in zip(back, stored) if same is None)
    ways = ((one, *between.sources(one)) for one in back)
    return Weights(
        (converter.right, converter.left)[plan.target].name,
        {},
        source,
        _by_name(converter, [one or other for one, other in zip(stored, back)]),
        between if through else None,
        through,
        tuple(way[0].name for way in ways if any(map(_is_rounded, way))),
        plan.drops,
        check_values(plan, source, asked.check_replicas),
        asked.allow_narrowing,
    )


def _stored(source: SourceFolder, between: Between, back: Transfer) -> Transfer | None:
    """The transfer of a tensor that is stored as it would come back; None for another."""
    origin = between.origin(back)
    stored = origin and source.tensors[origin.rank].get(origin.name)
    if not origin or not stored or stored[:2] != (str(back.dtype), back.shape):
        return None
    copies = _all_elements(prod(back.shape))
    return back._replace(sources=(origin,), copies=copies, changes=())


@cache
def _all_elements(count: int) -> tuple[Copy, ...]:
    return (whole_copy(count),)


def _not_made(plan: Plan) -> list[Transfer]:
    """The tensors of a layout without ranks, without those that the map makes, whose sources have no names."""
    return [
        transfer
        for transfer in plan.transfers(None)
        if any(source.name for source in transfer.sources)
    ]


def _is_rounded(transfer: Transfer) -> bool:
    """Whether the elements of a tensor may be rounded on their way into it."""
    changes = [change for change in transfer.changes if change.filled is None]
    return any(may_narrow(change, str(transfer.dtype)) for change in changes)


def _by_name(
    converter: Converter, transfers: list[Transfer]
) -> dict[str, OutputTensor]:
    if any(transfer.changes for transfer in transfers):
        check_cast_library(f"the arithmetic of {converter.name}.map")
    return {tensor.transfer.name: tensor for tensor in planned_tensors(transfers)}


class WeightReader:
    """Reads the weights of a directory. One thread's worth; `scratch` is what `weights_scratch` says."""

    def __init__(self, weights: Weights, scratch: int) -> None:
        found, allowed = weights.source.tensors, weights.allow_narrowing
        self._stored = Assembler(found, CHUNK, scratch, Narrowing(found, allowed))
        self._through, self._names = self._stored, weights.through
        if weights.between is not None:
            between = weights.between.found
            narrowing = Narrowing(between, allowed)
            self._through = Assembler(between, CHUNK, scratch, narrowing)
            self._through.reader = BetweenReader(weights.between, self._stored)

    def fill(self, tensor: OutputTensor, begin: int, view: memoryview) -> None:
        """Put the bytes of a tensor from `begin` on, at most a chunk, into a view."""
        through = tensor.transfer.name in self._names
        (self._through if through else self._stored).fill_part(tensor, begin, view)

    def close(self) -> None:
        """Close the source files."""
        self._stored.close()


def weights_scratch(weights: Weights) -> int:
    """The bytes that hold the source of a chunk, for whatever is cast or computed."""
    between = weights.between.tensors if weights.between is not None else ()
    return scratch_of([*weights.tensors.values(), *between])
