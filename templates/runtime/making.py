"""Making one target with torch: as a view, or in memory that is fresh or the caller's, block by block."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

from .grid import dot
from .narrowing import Narrowing, may_narrow
from .recipe import Copy
from .transfers import Transfer
from .values import compute, dtype_code, fill_block, torch_dtype

if TYPE_CHECKING:
    from torch import Tensor

Out: TypeAlias = "Callable[[str, tuple[int, ...], Any], Tensor]"
# The tensors of a source by rank and name.
Tensors: TypeAlias = "Mapping[Any, Mapping[str, Tensor]]"


def sources_of(transfer: Transfer, found: Tensors | None) -> list[Tensor | None]:
    """The sources of a target; None for one that is absent and has a default."""
    return [found[s.rank].get(s.name) if found else None for s in transfer.sources]


def view_of(transfer: Transfer, sources: Sequence[Tensor | None]) -> Tensor | None:
    """The target as a view, where it is one piece of one source; else None."""
    size = prod(transfer.shape)
    if len(transfer.copies) != 1 or transfer.zeros or transfer.changes:
        return None
    block, source = transfer.copies[0], sources[transfer.copies[0].source]
    if (
        source is None
        or prod(block.counts) != size
        or block.steps != block.strides
        or (block.steps and block.steps != (1,))
    ):
        return None
    source = source.detach()
    if tuple(source.shape) == transfer.shape:
        return source
    if not source.is_contiguous():
        return None
    return source.view(-1)[block.start : block.start + size].view(transfer.shape)


def new_target(
    transfer: Transfer, sources: Sequence[Tensor | None], out: Out | None
) -> Tensor:
    """The memory to fill: fresh, where the sources are, or the caller's."""
    import torch

    dtype = torch_dtype(transfer.dtype)
    if out is None:
        devices = (source.device for source in sources if source is not None)
        device = next(devices, torch.device("cpu"))
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


def fill_target(
    transfer: Transfer, found: Tensors | None, target: Tensor, allow_narrowing: bool
) -> None:
    """Give a target its values."""
    import torch

    with torch.no_grad():
        whole = (
            target
            if target.is_contiguous()
            else torch.empty_like(target, memory_format=torch.contiguous_format)
        )
        for block in transfer.zeros:
            _block(whole, block.offset, block.strides, block.counts).zero_()
        flat = [
            torch.empty(0) if source is None else source.detach().contiguous()
            for source in sources_of(transfer, found)
        ]
        for block in transfer.copies:
            source = flat[block.source]
            if transfer.changes and transfer.changes[block.source].filled is not None:
                numbers = _block(whole, 0, (1,), (whole.numel(),))
                fill_block(numbers, block, transfer.changes[block.source])
                continue
            values = _block(source, block.start, block.steps, block.counts)
            here = _block(whole, block.offset, block.strides, block.counts)
            if transfer.changes:
                narrowing = Narrowing(found or {}, allow_narrowing)
                _compute(transfer, block, values, here, narrowing)
            else:
                here.copy_(values)
        if whole is not target:
            target.copy_(whole)


def _block(
    tensor: Tensor, offset: int, steps: tuple[int, ...], counts: tuple[int, ...]
) -> Tensor:
    """A block of a contiguous tensor, from element `offset` on."""
    return tensor.as_strided(counts, steps, tensor.storage_offset() + offset)


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
