"""Batches: targets that are made together, in a few launches where kernels run on their device, else one by one.

Kernels read addresses, so a batch keeps its tensors alive until it is launched. It can be launched again as long as
they stay where they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .launching import MoveTable, has_kernels, is_captured
from .making import Out, Tensors, fill_target, new_target, sources_of, view_of
from .moves import (
    ZEROS,
    Computed,
    Move,
    can_compute,
    computed_moves,
    moves_of,
    zero_moves,
)
from .narrowing import may_narrow
from .transfers import Transfer
from .values import FLOAT_DTYPES, Change, dtype_code

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 1 << 28  # bytes of targets, alive at a time, that are made together
# The operators that kernels compute with, in the order of their numbers there.
OPERATORS = ("+", "-", "*", "/", "neg")


def make_tensors(
    transfers: Iterable[Transfer],
    found: Tensors,
    out: Out | None,
    allow_narrowing: bool,
) -> Iterator[tuple[str, Tensor]]:
    """The targets by name, in order; those that kernels make come when BATCH bytes of them are there.

    Each target in memory of the caller's is made before he is asked for the next, since it may be the same.
    """
    batch, waiting = Batch(allow_narrowing), deque[Any]()
    for transfer in transfers:
        waiting.append((transfer.name, batch.add(transfer, found, out)))
        if out is not None or not batch.moves or batch.size >= BATCH:
            batch.make(found)
            batch = Batch(allow_narrowing)
            while waiting:
                yield waiting.popleft()
    batch.make(found)
    while waiting:
        yield waiting.popleft()


class Batch:
    """Targets that are made together; `size` is their bytes, `moves` what kernels do for them.

    With `later` the caller looks at them when the device has made them. So kernels write into pinned memory too, and
    compute what may become infinite, of which `infinite` names the targets; else torch does that, and waits.
    """

    def __init__(self, allow_narrowing: bool, later: bool = False) -> None:
        self.size = 0
        self._later = later
        self.moves: list[Move] = []
        self._allow_narrowing = allow_narrowing
        self._computes = allow_narrowing or later
        self._by_torch: list[tuple[Transfer, Tensor]] = []
        self._names: list[str] = []  # of the target of each move
        self._held: list[Tensor] = []
        self._zeros: Tensor | None = None
        self._device: Any = None
        self._table: MoveTable | None = None

    @property
    def launches(self) -> int:
        """How many launches it takes."""
        return self._made_table().launches if self.moves else 0

    def add(self, transfer: Transfer, found: Tensors, out: Out | None) -> Tensor:
        """A target, whose values come with `make`; a view has them already."""
        sources = sources_of(transfer, found)
        view = view_of(transfer, sources) if out is None else None
        if view is not None:
            return view
        target = new_target(transfer, sources, out)
        self.fill(transfer, found, target)
        return target

    def fill(self, transfer: Transfer, found: Tensors, target: Tensor) -> None:
        """Let `make` give this memory the values of a target."""
        sources = sources_of(transfer, found)
        self.size += target.nbytes
        there = [source for source in sources if source is not None]
        if len(there) == len(sources) and self._suits(transfer, there, target):
            self._add_moves(transfer, there, target)
        else:
            self._by_torch.append((transfer, target))

    def get_ready(self) -> None:
        """Do what `make` needs once, such as writing a table."""
        if self.moves:
            self._made_table()

    @property
    def is_captured(self) -> bool:
        """Whether `make` would now become a part of a CUDA graph."""
        return bool(self.moves) and is_captured(self._device)

    def make(self, found: Tensors) -> None:
        """Give the targets their values."""
        for transfer, target in self._by_torch:
            fill_target(transfer, found, target, self._allow_narrowing)
        if self.moves:
            self._made_table().launch()

    def infinite(self) -> list[str]:
        """The targets in which a finite number became infinite in the last launch; waits for the device."""
        if self._table is None:
            return []
        flags = self._table.infinite.tolist()
        return list(dict.fromkeys(n for n, flag in zip(self._names, flags) if flag))

    def _made_table(self) -> MoveTable:
        if self._table is None:
            self._table = MoveTable(self.moves, self._device)
        return self._table

    def _suits(self, transfer: Transfer, sources: list[Tensor], target: Tensor) -> bool:
        """Whether kernels make a target: they move bytes between tensors as they lie in memory, on one device."""
        if not sources:
            return False
        device = sources[0].device if self._device is None else self._device
        return (
            has_kernels(device)
            and all(source.device == device for source in sources)
            and (target.device == device or (self._later and target.is_pinned()))
            and all(map(_is_plain, (*sources, target)))
            and all(self._computes_copy(transfer, copy) for copy in transfer.copies)
        )

    def _computes_copy(self, transfer: Transfer, copy: Any) -> bool:
        change = _change_of(transfer, copy)
        if change is None:
            return True
        to = dtype_code(transfer.dtype)
        return (
            to in FLOAT_DTYPES
            and (self._computes or not may_narrow(change, to))
            and all(step.operator in OPERATORS for step in change.steps)
            and can_compute(copy)
        )

    def _add_moves(
        self, transfer: Transfer, sources: list[Tensor], target: Tensor
    ) -> None:
        import torch

        self._device = sources[0].device
        self._held += [*sources, target]
        size, here = target.element_size(), target.data_ptr()
        if transfer.zeros and self._zeros is None:
            self._zeros = torch.zeros(ZEROS, dtype=torch.uint8, device=self._device)
        for block in transfer.zeros:
            assert self._zeros is not None, "it has just been made"
            self.moves += zero_moves(block, size, self._zeros.data_ptr(), here)
        for copy in transfer.copies:
            source, change = sources[copy.source], _change_of(transfer, copy)
            if change is None:
                self.moves += moves_of(copy, size, source.data_ptr(), here)
                continue
            sizes = source.element_size(), size
            computed = _computed(change, dtype_code(transfer.dtype))
            self.moves += computed_moves(copy, sizes, computed, source.data_ptr(), here)
        self._names += [transfer.name] * (len(self.moves) - len(self._names))


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is its elements, one behind the other in memory that it has."""
    import torch

    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        return False
    address = tensor.data_ptr()
    return (
        address != 0
        and address % min(tensor.element_size(), 8) == 0
        and tensor.is_contiguous()
        and not tensor.is_conj()
        and not tensor.is_neg()
    )


def _change_of(transfer: Transfer, copy: Any) -> Change | None:
    """What becomes of the elements of a copy; None where they are moved as they are."""
    if not transfer.changes:
        return None
    change = transfer.changes[copy.source]
    same = not change.steps and change.dtype == dtype_code(transfer.dtype)
    return None if same and change.filled is None else change


def _computed(change: Change, to: str) -> Computed:
    """A change as kernels have it."""
    steps = tuple(OPERATORS.index(step.operator) for step in change.steps)
    return change.dtype, to, steps, tuple(float(step.operand) for step in change.steps)
