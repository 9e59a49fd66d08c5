"""Times on a device, of functions in turn; what is written is read once and written once, as a copy of it would."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

Times = dict[str, list[float]]


class Clock:
    """Milliseconds by events of the device; nothing is timed on the CPU."""

    def __init__(self, device: Any, rounds: int) -> None:
        self.device = device
        self.is_gpu = device.type == "cuda"
        self._rounds = rounds

    def wait(self) -> None:
        if self.is_gpu:
            import torch

            torch.cuda.synchronize(self.device)

    def times(self, functions: Mapping[str, Callable[[], object]]) -> Times:
        """Each function in each round, one after the other, behind one round that does not count."""
        if not self.is_gpu:
            return {}
        for function in functions.values():
            function()
        self.wait()
        found: Times = {name: [] for name in functions}
        for _ in range(self._rounds):
            for name, function in functions.items():
                found[name].append(self._once(function))
        return found

    def _once(self, function: Callable[[], object]) -> float:
        import torch

        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        function()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end))

    def host(self, function: Callable[[], object]) -> float | None:
        """The median milliseconds until a call returns, whatever the device still does."""
        spent = []
        for _ in range(self._rounds if self.is_gpu else 1):
            begin = time.perf_counter()
            function()
            spent.append(1e3 * (time.perf_counter() - begin))
            self.wait()
        return statistics.median(spent) if self.is_gpu else None

    def forget(self) -> None:
        """Give memory back that tensors had."""
        if self.is_gpu:
            import torch

            torch.cuda.empty_cache()

    def peak(self) -> float | None:
        """The most bytes that tensors took since the last time that this was asked."""
        if not self.is_gpu:
            return None
        import torch

        most = torch.cuda.max_memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        return float(most)


def copying(clock: Clock, size: int) -> Callable[[], object]:
    """A copy of so many bytes, from one buffer to another on the device, a quarter of a gigabyte at a time."""
    import torch

    part = max(1, min(size, 1 << 28))
    here, there = (
        torch.ones(part, dtype=torch.uint8, device=clock.device) for _ in range(2)
    )

    def copy() -> None:
        for _ in range(size // part):
            here.copy_(there)
        here[: size % part].copy_(there[: size % part])

    return copy


@contextmanager
def by_torch(module: ModuleType) -> Iterator[None]:
    """A converter makes everything by torch, as if there were no kernels."""
    has_kernels = module.has_kernels
    module.has_kernels = lambda device: False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.has_kernels = has_kernels  # type: ignore[attr-defined]


def same_bits(one: Any, other: Any) -> bool:
    """Whether two tensors have the same dtype, shape and bits."""
    import torch

    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    words = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    word = words[one.element_size()]
    return torch.equal(one.contiguous().view(word), other.contiguous().view(word))


def median(times: Times, name: str) -> float | None:
    return statistics.median(times[name]) if times.get(name) else None
