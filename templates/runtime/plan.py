"""The plan: which tensor of the target comes from where, with everything checked before a byte moves.

Both executors, memory and files, take their work from here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from .checks import (
    Checked,
    Findings,
    Source,
    check_sources,
    leftover,
    named_in,
    take_drops,
    unread,
)
from .errors import ConversionError
from .layouts import Converter
from .mapping import Drop, Group, Item, Make, Tail
from .shapes import Holders, Recipes, Shapes
from .spelling import prefix_of, statements
from .tails import Tails
from .transfers import Transfer, Transfers
from .values import dtype_code
from .variants import detected


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
    prefix = prefix_of(converter, 1 - target, found)
    shapes = Shapes(1 - target, found)
    config, items = detected(converter, shapes, config, mesh, prefix)
    if items is None:
        shapes = Shapes(1 - target, found, prefix)
        items = list(statements(converter, config, mesh, shapes))
    return Plan(converter, target, config, mesh, found, items)


class Plan:
    """A checked conversion. `transfers(rank)` are the tensors of one target rank, in checkpoint order.

    `ties` are pairs of source tensors that must hold the same bytes, `replicas` pairs of copies over the mesh,
    `paddings` the regions of source tensors that should be zero, `drops` how many tensors each drop left behind,
    `made` the source tensors that must be as the map makes them, with the transfers that would, `repeating` the
    statements whose source has elements several times.
    """

    def __init__(
        self,
        converter: Converter,
        target: int,
        config: Any,
        mesh: Any,
        found: Mapping[Any, Mapping[str, Any]],
        every: list[Item],
    ) -> None:
        self.converter = converter
        self.target = target
        self.config = config
        self.mesh = mesh
        self.found = found
        source, ranks = 1 - target, converter.ranks(target, mesh)
        holders = Holders(converter.ranks(source, mesh))
        findings = Findings(found)
        check = partial(check_sources, side=source, holders=holders, findings=findings)
        shapes = Shapes(source, found)
        there = [item for item in every if _is_there(item, shapes, source)]
        checked = list(check(item for item in there if isinstance(item, Group)))
        made = [i for i in there if isinstance(i, Make) and i.side == source]
        made_groups = [one.group for one in check(item.group for item in made)]
        transfers = Transfers(converter, target, config, found, holders)
        self.made = [
            pair
            for item, group in zip(made, made_groups)
            for pair in made_pairs(found, item, group, transfers)
        ]
        drops = [i for i in there if isinstance(i, Drop) and i.side == source]
        tails = Tails(every, target, ranks, Recipes(config, mesh, shapes))
        left = take_drops(unread(findings), drops, findings)
        self._check_left([one for one in left if not tails.take(one)], checked)
        stated = iter(checked)
        taken: list[Checked] = []
        for item in there:  # in the order of the map
            if isinstance(item, Group):
                taken.append(next(stated))
            elif isinstance(item, Tail):
                taken += check(tails.groups_of(item))
            elif isinstance(item, Make) and item.side == target:
                taken.append(Checked(item.group))
        self.repeating = [
            one.group for one in checked if one.group.recipe.repeats(source)
        ]
        self.holders = holders
        self.ties, self.replicas = findings.ties, findings.replicas
        self.paddings, self.drops = findings.paddings, findings.drops
        self._transfers: dict[Any, list[Transfer]] = dict(
            transfers.of_ranks(taken, ranks)
        )

    def _check_left(self, left: list[Source], checked: list[Checked]) -> None:
        """ConversionError where a stored tensor is left that nothing takes."""
        if left:
            groups = [one.group for one in checked]
            named = named_in(self.found, left[0])
            source = 1 - self.target
            raise leftover(self.converter.name, groups, source, left, named)

    def transfers(self, rank: Any) -> list[Transfer]:
        """The tensors of one target rank; rank is None where the target has no mesh."""
        return self._transfers[rank]


def made_pairs(
    found: Mapping[Any, Mapping[str, Any]],
    item: Make,
    group: Group,
    transfers: Transfers,
) -> Iterator[tuple[Source, Transfer]]:
    """The stored tensors of a `make` that must have its values, each with the transfer that would make it."""
    for rank, tensors in found.items():
        for transfer in transfers.of_group(group, item.side, rank):
            if transfer.name not in tensors or item.lossy:
                continue
            source = Source(rank, transfer.name)
            dtype = tensors[transfer.name].dtype
            if transfer.fixed and dtype_code(dtype) != transfer.dtype:
                raise ConversionError(
                    f"{named_in(found, source)}: expected {transfer.dtype}, which the map fixes, found {dtype} ({transfer.where})"
                )
            yield source, transfer._replace(dtype=dtype)


def _is_there(item: Item, shapes: Shapes, source: int) -> bool:
    """Whether the source has the tensors of a statement, if it may do without them."""
    if isinstance(item, Group):
        return not item.optional or shapes.first(item.sides[source]) is not None
    if isinstance(item, Make):
        return item.side != source or shapes.first(item.tensor) is not None
    return True
