"""The memory executor: tensors in, tensors out, one target alive at a time, or a batch of them on a GPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .batches import make_tensors
from .checks import Source
from .collecting import without_collecting
from .errors import ConversionError
from .layouts import Converter
from .making import Out, Tensors, fill_target, new_target
from .plan import Plan, make_plan
from .transfers import Transfer, made_differs
from .values import unequal

if TYPE_CHECKING:
    from torch import Tensor


def convert_tensors(
    converter: Converter,
    to: str,
    tensors: Mapping[Any, Any],
    config: Any,
    mesh: Any,
    rank: Any,
    out: Out | None,
    allow_narrowing: bool,
) -> Iterator[tuple[str, Tensor]]:
    """Check a whole checkpoint in memory, then yield the target's tensors in checkpoint order.

    A target that is one piece of one source is a view of it, unless `out` supplies memory:
    out(name, shape, dtype) returns the tensor to fill. Raises ConversionError before the first tensor; where the map
    computes, for a number that becomes infinite when it is its turn, unless `allow_narrowing`.
    """
    found = by_rank(tensors, converter.ranks(1 - converter.side(to), mesh))
    plan = plan_tensors(converter, to, found, config, mesh)
    return make_tensors(plan.transfers(rank), found, out, allow_narrowing)


def plan_tensors(
    converter: Converter, to: str, found: Tensors, config: Any, mesh: Any
) -> Plan:
    """The plan of a whole checkpoint in memory, whose values are compared where the map says what they are."""
    with without_collecting():
        plan = make_plan(converter, to, config, mesh, found)
    check_ties(found, plan.ties)
    for source, transfer in plan.made:
        check_made_values(found, source, transfer)
    return plan


def check_ties(found: Tensors, ties: Iterable[tuple[Source, Source]]) -> None:
    """ConversionError where tensors differ that are one in the map."""
    for one, other in ties:
        if not _same_bytes(found[one.rank][one.name], found[other.rank][other.name]):
            raise ConversionError(
                f"{one} and {other} are one tensor in this map, but their values differ"
            )


def check_made_values(found: Tensors, source: Source, transfer: Transfer) -> None:
    """ConversionError where a tensor of the source does not have the values that the map makes."""
    stored = found[source.rank][source.name].detach()
    made = new_target(transfer, [], None)
    fill_target(transfer, None, made, allow_narrowing=False)
    made = made.to(stored.device)
    at = unequal(stored.reshape(-1), made.reshape(-1), transfer.changes)
    if at is not None:
        raise made_differs(
            source, transfer, at, made.view(-1)[at], stored.reshape(-1)[at]
        )


def one_rank(rank: Any, mesh: Any) -> Any:
    """The rank that is asked for; ValueError where the mesh has several and none is named."""
    ranks = mesh.ranks()
    if rank is None and len(ranks) > 1:
        raise ValueError(
            f"the mesh has {len(ranks)} ranks: say which one, rank={ranks[0]!r} for instance"
        )
    if rank is not None and rank not in ranks:
        raise ValueError(f"{rank!r} is not a rank of {mesh!r}")
    return ranks[0 if rank is None else ranks.index(rank)]


def by_rank(tensors: Mapping[Any, Any], ranks: list[Any]) -> Tensors:
    """Tensors by rank; a source of one rank may be given without it."""
    if len(ranks) == 1 and ranks[0] not in tensors:
        return {ranks[0]: tensors}
    named = [key for key in tensors if isinstance(key, str)]
    if named:
        raise ConversionError(
            f"expected {{rank: {{name: tensor}}}} for a source of {len(ranks)} ranks, found the name {named[0]}"
        )
    return tensors


def _same_bytes(one: Tensor, other: Tensor) -> bool:
    import torch

    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    bits = [x.detach().contiguous().view(-1).view(torch.uint8) for x in (one, other)]
    return torch.equal(bits[0], bits[1].to(bits[0].device))
