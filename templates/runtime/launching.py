"""Launching: moves in a table on their device, and the few launches of kernels that do them all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .kernels import kernels, words
from .moves import Launch, Move

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


class MoveTable:
    """Moves that can be done again and again, as long as the memory at their addresses is there.

    `infinite` has a number a move: not 0 where a number that was finite did not stay so. Nothing waits for the device.
    """

    def __init__(self, moves: Sequence[Move], device: Any) -> None:
        import torch

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
                if not torch.cuda.is_current_stream_capturing():
                    self._written.wait()  # the stream does, if it is another
                self._launch()

    def _event(self) -> Any:
        """What the streams of a GPU wait for that read the table."""
        import torch

        if self._device.type == "cpu":
            return None
        with torch.cuda.device(self._device):
            event = torch.cuda.Event()
            event.record()
        return event

    def _launch(self) -> None:
        import torch

        lanes = 64 if torch.version.hip else 32
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

        made = torch.tensor(rows, dtype=dtype)
        if self._device.type == "cpu":
            return made
        return made.pin_memory().to(self._device, non_blocking=True)
