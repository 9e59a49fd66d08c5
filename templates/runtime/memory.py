"""The memory executor: tensors in, tensors out, one target alive at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

from .checks import Source
from .errors import ConversionError
from .grid import dot
from .layouts import Converter
from .narrowing import Narrowing, may_narrow
from .plan import make_plan
from .recipe import Copy
from .transfers import Transfer, made_differs
from .values import compute, dtype_code, fill_block, torch_dtype, unequal

if TYPE_CHECKING:
    from torch import Tensor

Out: TypeAlias = "Callable[[str, tuple[int, ...], Any], Tensor]"


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
    found = _by_rank(tensors, converter.ranks(1 - converter.side(to), mesh))
    plan = make_plan(converter, to, config, mesh, found)
    check_ties(found, plan.ties)
    for source, transfer in plan.made:
        check_made_values(found, source, transfer)
    return (
        (transfer.name, make_tensor(transfer, found, out, allow_narrowing))
        for transfer in plan.transfers(rank)
    )


def check_ties(
    found: Mapping[Any, Mapping[str, Tensor]], ties: Iterable[tuple[Source, Source]]
) -> None:
    """ConversionError where tensors differ that are one in the map."""
    for one, other in ties:
        if not _same_bytes(found[one.rank][one.name], found[other.rank][other.name]):
            raise ConversionError(
                f"{one} and {other} are one tensor in this map, but their values differ"
            )


def check_made_values(
    found: Mapping[Any, Mapping[str, Tensor]], source: Source, transfer: Transfer
) -> None:
    """ConversionError where a tensor of the source does not have the values that the map makes."""
    stored = found[source.rank][source.name].detach()
    made = make_tensor(transfer, None, None).to(stored.device)
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


def _by_rank(
    tensors: Mapping[Any, Any], ranks: list[Any]
) -> Mapping[Any, Mapping[str, Tensor]]:
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


def make_tensor(
    transfer: Transfer,
    found: Mapping[Any, Mapping[str, Tensor]] | None,
    out: Out | None,
    allow_narrowing: bool = False,
) -> Tensor:
    """A target; nothing is found of a source that is absent and has a default."""
    import torch

    there = [found[s.rank].get(s.name) if found else None for s in transfer.sources]
    sources = [torch.empty(0) if source is None else source for source in there]
    device = next((s.device for s in there if s is not None), torch.device("cpu"))
    with torch.no_grad():
        if out is None and (view := _view(transfer, sources)) is not None:
            return view
        target = _target(transfer, device, out)
        whole = (
            target
            if target.is_contiguous()
            else torch.empty_like(target, memory_format=torch.contiguous_format)
        )
        for block in transfer.zeros:
            whole.as_strided(
                block.counts, block.strides, whole.storage_offset() + block.offset
            ).zero_()
        flat = [source.detach().contiguous() for source in sources]
        for block in transfer.copies:
            source = flat[block.source]
            if transfer.changes and transfer.changes[block.source].filled is not None:
                numbers = whole.as_strided(
                    (whole.numel(),), (1,), whole.storage_offset()
                )
                fill_block(numbers, block, transfer.changes[block.source])
                continue
            values = source.as_strided(
                block.counts, block.steps, source.storage_offset() + block.start
            )
            here = whole.as_strided(
                block.counts, block.strides, whole.storage_offset() + block.offset
            )
            if transfer.changes:
                narrowing = Narrowing(found or {}, allow_narrowing)
                _compute(transfer, block, values, here, narrowing)
            else:
                here.copy_(values)
        return target if whole is target else target.copy_(whole)


def _compute(
    transfer: Transfer, block: Copy, there: Tensor, here: Tensor, narrowing: Narrowing
) -> None:
    """Compute a block of a target, and look for numbers that have become infinite."""
    change, to = transfer.changes[block.source], dtype_code(here.dtype)
    here.copy_(compute(there, change.steps))
    if may_narrow(change, to):
        narrowing.look(
            transfer,
            change,
            to,
            there,
            here,
            lambda index: block.offset + dot(block.strides, index),
        )


def _view(transfer: Transfer, sources: list[Tensor]) -> Tensor | None:
    """The target as a view, where it is one piece of one source; else None."""
    size = prod(transfer.shape)
    if len(transfer.copies) != 1 or transfer.zeros or transfer.changes:
        return None
    block, source = transfer.copies[0], sources[transfer.copies[0].source].detach()
    if (
        prod(block.counts) != size
        or block.steps != block.strides
        or (block.steps and block.steps != (1,))
    ):
        return None
    if tuple(source.shape) == transfer.shape:
        return source
    if not source.is_contiguous():
        return None
    return source.view(-1)[block.start : block.start + size].view(transfer.shape)


def _target(transfer: Transfer, device: Any, out: Out | None) -> Tensor:
    """The memory to fill: fresh, or the caller's."""
    import torch

    dtype = torch_dtype(transfer.dtype)
    if out is None:
        return torch.empty(transfer.shape, dtype=dtype, device=device)
    target = out(transfer.name, transfer.shape, dtype)
    if not isinstance(target, torch.Tensor):
        raise TypeError(f"out({transfer.name!r}): expected a tensor, found {target!r}")
    target = target.detach()
    if tuple(target.shape) != transfer.shape or target.dtype != dtype:
        raise ValueError(
            f"out({transfer.name!r}): expected a tensor {list(transfer.shape)} of {dtype}, "
            f"found {list(target.shape)} of {target.dtype}"
        )
    return target
