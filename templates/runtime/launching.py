"""Launching: moves in a table on their device, and the few launches of kernels that do them all."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from .kernels import kernels, words
from .moves import Launch, Move, moves_of
from .recipe import whole_copy

if TYPE_CHECKING:
    from torch import Tensor

THREADS = 256  # of a program, each of which moves up to 128 bytes


def constants(launch: Launch, lanes: int) -> dict[str, Any]:
    """What the kernel of a launch is compiled for, on a GPU whose warps have so many threads."""
    same = {
        "UNIT": launch.unit,
        "ALIGNED": launch.aligned,
        "ROWS": launch.tile[0],
        "COLUMNS": launch.tile[1],
        "num_warps": THREADS // lanes,
        "enable_fp_fusion": False,  # each step rounds, as it does in torch
    }
    if launch.change is None:
        return {"WORD": words(launch.word), **same}
    before, after, steps, operands = launch.change
    return {"FROM": before, "TO": after, "STEPS": steps, "NUMBERS": operands, **same}


def has_kernels(device: Any) -> bool:
    """Whether kernels make what is on a device of torch.

    MAPC_KERNELS=off says that none do, and MAPC_KERNELS=interpreted that triton interprets them on the CPU, for tests.
    """
    asked = os.environ.get("MAPC_KERNELS")
    if device.type == "cpu":
        return asked == "interpreted" and bool(kernels())
    return device.type == "cuda" and asked is None and _run_on_gpu(device.index)


@cache
def _run_on_gpu(index: int) -> bool:
    """Whether triton compiles for a GPU and its driver takes that, which is tried; where not, torch makes everything."""
    import torch

    if not kernels():
        return False
    import triton  # type: ignore[import-not-found,import-untyped,unused-ignore]

    ampere = torch.version.hip or torch.cuda.get_device_capability(index) >= (8, 0)
    if not ampere or triton.knobs.runtime.interpret:
        return False
    device = torch.device("cuda", index)
    numbers = torch.zeros(2, dtype=torch.int64, device=device)
    here = numbers.data_ptr()
    try:
        MoveTable([*moves_of(whole_copy(1), 8, here, here + 8)], device).launch()
    except Exception as error:  # noqa: BLE001 - of triton, a C compiler, a driver
        warnings.warn(f"no kernels on {device}: {error}", stacklevel=2)
        return False
    return True


def is_captured(device: Any) -> bool:
    """Whether a CUDA graph is being captured on the current stream of a device."""
    import torch

    if device.type != "cuda":
        return False
    with torch.cuda.device(device):
        return bool(torch.cuda.is_current_stream_capturing())


class MoveTable:
    """Moves that can be done again and again, as long as the memory at their addresses is there.

    `infinite` has a number a move: not 0 where, in the last launch, a number that was finite did not stay so. Nothing
    waits for the device. RuntimeError where a CUDA graph is being captured, which would keep addresses of other memory.
    """

    def __init__(self, moves: Sequence[Move], device: Any) -> None:
        import torch

        if is_captured(device):
            raise RuntimeError(
                "expected a conversion that has been called before it is captured in a CUDA graph, on tensors that have "
                "not moved since; call it once, then capture"
            )
        self._device = device
        self._table = self._sent([move.row for move in moves], torch.int64)
        self.infinite = torch.zeros(len(moves), dtype=torch.int32, device=device)
        numbers: dict[Launch, list[int]] = {}
        for number, move in enumerate(moves):
            numbers.setdefault(move.launch, []).append(number)
        self._launches = [
            (launch, self._programs(own, [moves[number].tiles for number in own]))
            for launch, own in numbers.items()
        ]
        self._written = self._event()

    @property
    def launches(self) -> int:
        """How many there are."""
        return len(self._launches)

    def launch(self) -> None:
        """Do all moves, on the current stream of their device."""
        import torch

        if self._device.type == "cpu":
            self._launch()
        else:
            with torch.cuda.device(self._device):
                if not is_captured(self._device):
                    self._follow()
                self._launch()

    def _follow(self) -> None:
        """Let the current stream begin when the table is written, and the table stay until it has been read there."""
        import torch

        self._written.wait()
        stream = torch.cuda.current_stream()
        for tensor in (self._table, self.infinite, *dict(self._launches).values()):
            tensor.record_stream(stream)

    def _event(self) -> Any:
        """What the streams of a GPU wait for that read the table."""
        import torch

        if self._device.type == "cpu":
            return None
        with torch.cuda.device(self._device):
            event = torch.cuda.Event()  # type: ignore[no-untyped-call,unused-ignore]
            event.record()
        return event

    def _launch(self) -> None:
        import torch

        lanes = 64 if torch.version.hip else 32
        if any(launch.change for launch, _ in self._launches):
            self.infinite.zero_()
        for launch, programs in self._launches:
            kernel = kernels()[launch.kernel][(len(programs),)]
            tensors = [self._table, programs]
            if launch.change is not None:
                tensors.append(self.infinite)
            kernel(*tensors, **constants(launch, lanes))

    def _programs(self, numbers: list[int], tiles: list[int]) -> Tensor:
        """A row a program: the number of its move, and of its tile there."""
        import torch

        total = sum(tiles)
        assert total < 2**31, "tiles are counted in 31 bits"
        counts = self._sent(tiles, torch.int32)
        firsts = counts.cumsum(0, dtype=torch.int32) - counts
        both = torch.stack((self._sent(numbers, torch.int32), firsts), 1)
        programs = both.repeat_interleave(counts, dim=0, output_size=total)
        every = torch.arange(total, dtype=torch.int32, device=self._device)
        programs[:, 1] = every - programs[:, 1]
        return programs

    def _sent(self, rows: Any, dtype: Any) -> Tensor:
        """Numbers as a tensor on the device, from pinned memory, or it would be waited for."""
        import torch

        made = torch.tensor(rows, dtype=dtype, device="cpu")
        if self._device.type == "cpu":
            return made
        return made.pin_memory().to(self._device, non_blocking=True)
