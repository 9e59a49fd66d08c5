"""Numbers that do not fit the dtype that they are written in: refused, or written all the same and counted.

A number becomes infinite where the dtype that is written, or a step of the arithmetic, does not reach so far. One that
becomes zero is rounded, and only counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any

from .checks import named_in
from .errors import ConversionError
from .grid import Counts, index_of
from .transfers import Transfer, origin_of
from .values import Change

if TYPE_CHECKING:
    from torch import Tensor

INFINITE = {"torch.bfloat16": 0x7F80, "torch.float16": 0x7C00}  # the bits of it
RANGES = ("F16", "BF16", "F32", "F64")  # each holds larger numbers than the one before


def may_narrow(change: Change, to: str) -> bool:
    """Whether a finite number may become infinite on its way into a dtype."""
    here = RANGES.index(change.dtype) if change.dtype in RANGES else 0
    return bool(change.steps) or to in RANGES[:here]


class Narrowing:
    """What one conversion does with such numbers; `infinite` and `zero` say how many there were, by target.

    `found` are the tensors of the source. Zeros are counted of casts, but for those of F32 to BF16, where numbers below
    1e-40 become zero.
    """

    def __init__(
        self, found: Mapping[Any, Mapping[str, Any]], allowed: bool = False
    ) -> None:
        self.allowed = allowed
        self.infinite: dict[str, int] = {}
        self.zero: dict[str, int] = {}
        self._found = found
        self._lock = Lock()

    def look(
        self,
        transfer: Transfer,
        change: Change,
        to: str,
        source: Tensor,
        target: Tensor,
        number: Callable[[Counts], int],
    ) -> None:
        """Look at elements of a target, and what they were in the source; `number` is that of an index in the target.

        ConversionError where one has become infinite, unless that is allowed.
        """
        import torch

        if not _all_finite(target):
            lost = torch.isfinite(source).logical_and_(~torch.isfinite(target))
            count = int(torch.count_nonzero(lost))
            if count and not self.allowed:
                index = tuple(index_of(int(lost.to(torch.int8).argmax()), lost.shape))
                values = source[index].item(), target[index].item()
                raise self._too_large(transfer, number(index), change.dtype, to, values)
            self._add(self.infinite, transfer.name, count)
        if not change.steps and (change.dtype, to) != ("F32", "BF16"):
            count = int(torch.count_nonzero(source)) - int(torch.count_nonzero(target))
            self._add(self.zero, transfer.name, count)

    def _add(self, counts: dict[str, int], name: str, count: int) -> None:
        if count:
            with self._lock:
                counts[name] = counts.get(name, 0) + count

    def _too_large(
        self,
        transfer: Transfer,
        number: int,
        dtype: str,
        to: str,
        values: tuple[float, float],
    ) -> ConversionError:
        origin = origin_of(transfer, number)
        assert origin is not None, "padding is zero"
        source, at = origin
        index = index_of(at, self._found[source.rank][source.name].shape)
        return ConversionError(
            f"{named_in(self._found, source)}: element {index}: expected a number that {to} holds, found {values[0]} of {dtype}, which would "
            f"become {values[1]} in {transfer.name} ({transfer.where}); --allow-narrowing writes it all the same"
        )


def _all_finite(values: Tensor) -> bool:
    """Whether no element is infinite or no number.

    The bits of one that is are greater, among those of its sign, than any other's. Where numpy cannot tell the greatest
    of 16 bits a sum takes the least time; it may be too large where no element is.
    """
    import torch

    infinite = INFINITE.get(str(values.dtype))
    if infinite and values.is_contiguous() and (bits := _as_array(values)) is not None:
        return bool(
            bits.max() < infinite and bits.view("u2").max() < infinite | 1 << 15
        )
    if math.isfinite(values.sum().item()):
        return True
    return all(math.isfinite(end.item()) for end in torch.aminmax(values))


def _as_array(values: Tensor) -> Any:
    """Numbers of 16 bits as an array of integers; None without numpy, and of another device."""
    import torch

    try:
        return values.view(torch.int16).numpy()
    except (RuntimeError, TypeError):
        return None
