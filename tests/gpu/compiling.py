"""Kernels compiled for GPUs that are not there, as a launch compiles them.

`python -m tests.gpu.compiling` prints what each takes. It is a process of its own, since triton compiles nothing in one
where it interprets.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from mapc.templates.runtime.moves import Launch

from .loading import committed
from .reading import Reading, read_amd, read_nvidia
from .variants import GPUS, chosen

CONVERTER = "gemma_hf_mcore"  # one of them: their kernels have one text


class Compiled(NamedTuple):
    """A kernel for a GPU: its text for that, and what it takes."""

    gpu: str
    launch: Launch
    text: str
    reading: Reading


def compile_all() -> Iterator[Compiled]:
    """All that is chosen, compiled by two processes."""
    every = [(gpu, launch) for gpu in GPUS for launch in chosen(gpu)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_compiled, every, chunksize=8)


def _compiled(what: tuple[str, Launch]) -> Compiled:
    """A launch without the launch: its kernel, compiled for the GPU that triton is told is there."""
    from torch import int32, int64
    from triton import knobs
    from triton.runtime.driver import driver

    gpu, launch = what
    module = _module()
    driver.set_active(_stand_in(gpu))
    knobs.nvidia.dump_ptxas_log = knobs.compilation.always_compile = True
    tensors = [int64, int32] if launch.change is None else [int64, int32, int32]
    kernel = module.kernels()[launch.kernel]
    constants = module.constants(module.Launch(*launch), GPUS[gpu].lanes)
    with redirect_stdout(io.StringIO()) as said:
        made = kernel.warmup(*tensors, grid=(1,), **constants)
    shared = made.metadata.shared
    if GPUS[gpu].backend == "hip":
        text = made.asm["amdgcn"]
        return Compiled(gpu, launch, text, read_amd(text, shared))
    return Compiled(gpu, launch, made.asm["ptx"], read_nvidia(said.getvalue(), shared))


@cache
def _module() -> ModuleType:
    return committed(CONVERTER)


@cache
def _stand_in(gpu: str) -> Any:
    """What tells triton that there is a GPU, and which."""
    from triton.backends.compiler import GPUTarget
    from triton.backends.driver import DriverBase

    class StandIn(DriverBase):  # type: ignore[misc,unused-ignore]
        def get_current_device(self) -> int:
            return [*GPUS].index(gpu)

        def get_current_stream(self, device: int) -> int:
            return 0

        def get_current_target(self) -> Any:
            return GPUTarget(*GPUS[gpu])

    StandIn.__abstractmethods__ = frozenset()  # what a compilation does not ask for
    return StandIn()


def table(compiled: list[Compiled]) -> str:
    """Registers a thread by kernel and GPU, the least and the most of what was compiled; bytes of shared memory."""
    rows: dict[str, list[Compiled]] = {}
    for one in compiled:
        rows.setdefault(_row_name(one.launch), []).append(one)
    lines = [["kernel", *GPUS, "shared memory"], ["---"] * (2 + len(GPUS))]
    for name, alike in sorted(rows.items()):
        spans = [
            _span([one.reading.registers for one in alike if one.gpu == gpu])
            for gpu in GPUS
        ]
        lines.append([name, *spans, _span([one.reading.shared for one in alike])])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row_name(launch: Launch) -> str:
    aligned = "16-byte vectors" if launch.aligned == 16 else "words"
    said = (
        f", {launch.word} B" if launch.change is None else f" from {launch.change[0]}"
    )
    return f"`{launch.kernel}`{said}, {aligned}"


def _span(numbers: list[int]) -> str:
    least, most = min(numbers), max(numbers)
    return str(most) if least == most else f"{least} to {most}"


if __name__ == "__main__":
    made = list(compile_all())
    if sys.argv[1:]:
        Path(sys.argv[1]).write_bytes(pickle.dumps([tuple(one) for one in made]))
    print(table(made))
