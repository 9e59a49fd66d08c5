"""The plan: which tensor of the target comes from where, with everything checked before a byte moves.

Both executors, memory and files, take their work from here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import merge
from typing import Any, NamedTuple

from .checks import Findings, Source, check_sources, leftover, take_drops, unread
from .errors import ConversionError
from .fills import Filled
from .grid import Counts, Piece
from .mapping import (
    Converter,
    Drop,
    Group,
    Holders,
    Make,
    Place,
    Recipes,
    Shapes,
    holds,
)
from .recipe import Copy
from .spelling import as_found, prefix_of, statements
from .tails import Tails
from .values import Change, Stored, config_dtype, dtype_code, written_values
from .variants import detected


class Transfer(NamedTuple):
    """One target tensor: its sources, the blocks that fill it and those that are zeros.

    `changes` has one for each source, or is empty where every element is moved as it is. `dtype` is the target's;
    `fixed`: whatever --dtype says.
    """

    where: str
    name: str
    shape: Counts
    sources: tuple[Source, ...]
    copies: tuple[Copy, ...]
    zeros: tuple[Copy, ...]
    dtype: Any
    changes: tuple[Change, ...] = ()
    fixed: bool = False


def make_plan(
    converter: Converter,
    to: str,
    config: Any,
    mesh: Any,
    found: Mapping[Any, Mapping[str, Any]],
) -> Plan:
    """Check the tensors of a whole source checkpoint against the map, and plan the conversion.

    `found` holds, for every source rank (None without a mesh), what is stored under each name: anything
    with a `shape` and a `dtype`. Raises ConversionError for whatever is missing, extra or different.
    """
    target = converter.side(to)
    ranks = converter.ranks(1 - target, mesh)
    if set(found) != set(ranks):
        missing = [rank for rank in ranks if rank not in found] or ["none"]
        extra = [rank for rank in found if rank not in ranks] or ["none"]
        raise ConversionError(
            f"expected the tensors of {len(ranks)} ranks, found {len(found)}; "
            f"first missing: {missing[0]}; first unexpected: {extra[0]}"
        )
    names = {name for tensors in found.values() for name in tensors}
    prefix = prefix_of(converter, 1 - target, names)
    config = detected(converter, Shapes(1 - target, found), config, mesh, prefix)
    return Plan(converter, target, config, mesh, found, prefix)


def made_differs(
    source: Source, transfer: Transfer, at: int, made: Any, stored: Any
) -> ConversionError:
    """The error for a tensor of the source that does not have the values that the map makes, from element `at` on."""
    index: list[int] = []
    for size in reversed(transfer.shape):
        at, position = divmod(at, size)
        index.insert(0, position)
    return ConversionError(
        f"{source}: element {index}: expected {made.item()}, which the map makes, found {stored.item()} "
        f"({transfer.where}); with `lossy` behind the `make` it is left behind"
    )


class Plan:
    """A checked conversion. `transfers(rank)` are the tensors of one target rank, in checkpoint order.

    `ties` are pairs of source tensors that must hold the same bytes, `replicas` pairs of copies over the mesh,
    `paddings` the regions of source tensors that should be zero, `drops` how many tensors each drop left behind,
    `made` the source tensors that must be as the map makes them, with the transfers that would.
    """

    def __init__(
        self,
        converter: Converter,
        target: int,
        config: Any,
        mesh: Any,
        found: Mapping[Any, Mapping[str, Any]],
        prefix: str,
    ) -> None:
        self.converter = converter
        self.target = target
        self.config = config
        self.mesh = mesh
        self.found = found
        source = 1 - target
        self._holders = Holders(converter.ranks(source, mesh))
        every = list(statements(converter, config, mesh, Shapes(source, found, prefix)))
        shapes = Shapes(source, found)
        there = [
            item
            for item in every
            if not isinstance(item, Group)
            or not item.optional
            or shapes.first(item.sides[source]) is not None
        ]
        stated = [self._as_found(item) for item in there if isinstance(item, Group)]
        makes = [item for item in there if isinstance(item, Make)]
        made = [
            item._replace(tensor=self._as_found(item.group).sides[source])
            for item in makes
            if item.side == source and shapes.first(item.tensor) is not None
        ]
        self._wholes: dict[tuple[int, int, int], tuple[Group, tuple[Stored, ...]]] = {}
        findings = Findings(found)
        check_sources(stated, source, self._holders, findings)
        check_sources([item.group for item in made], source, self._holders, findings)
        self.made = [pair for item in made for pair in self._made(item)]
        drops = [item for item in there if isinstance(item, Drop)]
        drops = [drop for drop in drops if drop.side == source]
        tails = Tails(
            every, target, converter.ranks(target, mesh), Recipes(config, mesh, shapes)
        )
        left = take_drops(unread(findings), drops, findings)
        left = [tensor for tensor in left if not tails.take(tensor)]
        if left:
            raise leftover(converter.name, stated, source, left)
        taken = [group for item in there for group in tails.groups_of(item)]
        self._groups = [self._as_found(group) for group in taken]
        self._placed: dict[Any, list[tuple[int, tuple[Group, int, Place]]]] | None = (
            None
        )
        in_tails = [self._as_found(group) for group in tails.groups()]
        check_sources(in_tails, source, self._holders, findings)
        self.ties, self.replicas = findings.ties, findings.replicas
        self.paddings, self.drops = findings.paddings, findings.drops
        self._check_targets()

    def _as_found(self, group: Group) -> Group:
        return as_found(group, 1 - self.target, self._holders, self.found)

    def transfers(self, rank: Any) -> Iterator[Transfer]:
        """The tensors of one target rank; rank is None where the target has no mesh."""
        for group, position, place in self._slots(rank):
            yield self._transfer(group, self.target, position, place, rank)

    def _transfers(self, group: Group, side: int, rank: Any) -> Iterator[Transfer]:
        """The tensors of one rank that a group fills on a side."""
        for position, places in enumerate(group.sides[side]):
            for place in places:
                if holds(rank, place):
                    yield self._transfer(group, side, position, place, rank)

    def _transfer(
        self, group: Group, side: int, position: int, place: Place, rank: Any
    ) -> Transfer:
        recipe = group.recipe
        target = recipe.piece(side, position, rank)
        filling, shape = recipe.filling(target), recipe.shapes[target]
        assert shape is not None, "its source was checked"
        sources = tuple(self._source(group, piece) for piece in filling.sources)
        stored = tuple(
            self._stored(group, place, piece, source)
            for piece, source in zip(filling.sources, sources)
        )
        written = written_values(
            recipe.where,
            place.name,
            stored,
            self._whole(group, target, place),
            place.values,
            self._config_dtype,
        )
        return Transfer(
            recipe.where,
            place.name,
            shape,
            sources,
            filling.copies,
            filling.zeros,
            written.dtype,
            written.changes,
            written.fixed,
        )

    def _slots(self, rank: Any) -> Iterator[tuple[Group, int, Place]]:
        """The places that a target rank holds, in order; kept by coordinates, since ranks are many."""
        if self._placed is None:
            self._placed = {}
            slots = (
                (group, position, place)
                for group in self._groups
                for position, places in enumerate(group.sides[self.target])
                for place in places
            )
            for number, slot in enumerate(slots):
                at = tuple(slot[2].at.items())
                self._placed.setdefault(at, []).append((number, slot))
        own = [slots for slots in self._placed.values() if holds(rank, slots[0][1][2])]
        for _, slot in merge(*own, key=lambda numbered: numbered[0]):
            yield slot

    def _made(self, item: Make) -> Iterator[tuple[Source, Transfer]]:
        """The stored tensors of a `make` that must have its values, each with the transfer that would make it."""
        for rank, tensors in self.found.items():
            for transfer in self._transfers(item.group, item.side, rank):
                if transfer.name not in tensors or item.lossy:
                    continue
                source = Source(rank, transfer.name)
                dtype = tensors[transfer.name].dtype
                if transfer.fixed and dtype_code(dtype) != transfer.dtype:
                    raise ConversionError(
                        f"{source}: expected {transfer.dtype}, which the map fixes, found {dtype} ({transfer.where})"
                    )
                yield source, transfer._replace(dtype=dtype)

    def _source(self, group: Group, piece: Piece) -> Source:
        """Where a piece is read: under the first of its names that is there, or of all where it is absent."""
        places = group.sides[piece.side][piece.position]
        ranks = [self._holders.of(place, piece.at)[0] for place in places]
        sources = [Source(rank, place.name) for rank, place in zip(ranks, places)]
        return next((s for s in sources if s.name in self.found[s.rank]), sources[0])

    def _whole(self, group: Group, target: Piece, place: Place) -> tuple[Stored, ...]:
        """What goes into a target on any of its ranks, one piece of each tensor: shards of a tensor have one dtype."""
        key = id(group), target.side, target.position
        if key not in self._wholes:
            pieces = group.recipe.goes_into(target.side, target.position)
            stored = tuple(
                self._stored(group, place, piece, self._source(group, piece))
                for piece in pieces
            )
            self._wholes[key] = (
                group,
                stored,
            )  # with the group, or its id may come again
        return self._wholes[key][1]

    def _stored(
        self, group: Group, target: Place, piece: Piece, source: Source
    ) -> Stored:
        """A source, or what stands in its place."""
        values = group.sides[piece.side][piece.position][0].values
        tensor = self.found[source.rank].get(source.name)
        if tensor is not None:
            return Stored(source, tensor.dtype, values)
        shape = group.recipe.shapes[piece]
        assert shape is not None, "a tensor of any shape is never absent"
        assert values is not None and values.default is not None, "its absence is found"
        sharded = (self.converter.left, self.converter.right)[piece.side].file
        name = source.name if sharded is None else target.name
        filled = Filled(values.default, shape, name, sharded is not None)
        return Stored(source, None, values, filled)

    def _config_dtype(self) -> str | None:
        """The dtype that the target's config says."""
        sides = (self.converter.left, self.converter.right)
        return config_dtype(sides[self.target].write(self.config))

    def _check_targets(self) -> None:
        """No target tensor is written twice, and each comes in one dtype."""
        for rank in self.converter.ranks(self.target, self.mesh):
            written: dict[str, str] = {}
            for transfer in self.transfers(rank):
                if transfer.name in written:
                    raise ConversionError(
                        f"{Source(rank, transfer.name)}: written twice, by {written[transfer.name]} "
                        f"and by {transfer.where}"
                    )
                written[transfer.name] = transfer.where
