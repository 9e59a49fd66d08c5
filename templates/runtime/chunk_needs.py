"""What has to be at hand to put together a chunk of any of these tensors: memory, and a library."""

from __future__ import annotations

from collections.abc import Iterable

from .casting import cast_scratch, computing_memory
from .narrowing import may_narrow
from .output_files import OutputFile, OutputTensor
from .recipe import Copy
from .runs import LONG_RUN
from .stream import CHUNK
from .strided import StridedBlock, copy_block
from .values import Change


def tensors_of(files: Iterable[OutputFile]) -> list[OutputTensor]:
    """The tensors of all files."""
    return [tensor for file in files for tensor in file.tensors]


def needs_arrays(tensor: OutputTensor) -> bool:
    """Whether something of a tensor may be copied as a strided block."""
    return any(map(_is_strided, tensor.blocks.copies))


def load_arrays() -> None:
    """Import what strided blocks are copied with, as the first of them would."""
    block = StridedBlock(0, (1,), 0, (1,), (1,), 1)
    copy_block(block, memoryview(b"\0"), memoryview(bytearray(1)), memoryview(b""))


def scratch_of(tensors: Iterable[OutputTensor]) -> int:
    """The bytes that hold the source of one chunk where it is cast or computed."""
    pairs = set()
    for tensor in tensors:
        if not tensor.transfer.changes and tensor.transfer.dtype != tensor.dtype:
            pairs.add((tensor.transfer.dtype, tensor.dtype))
        for change in tensor.transfer.changes:
            if change.filled is None:
                pairs.add((change.dtype, tensor.dtype))
    return cast_scratch(pairs, CHUNK)


def computing_of(tensors: Iterable[OutputTensor]) -> int:
    """The bytes that torch takes, to compute a chunk or to look for numbers that have become infinite."""
    pairs = {(bool(t.transfer.changes), t.transfer.dtype, t.dtype) for t in tensors}
    takes = any(
        computed or may_narrow(Change(dtype, ()), to) for computed, dtype, to in pairs
    )
    return computing_memory(CHUNK) if takes else 0


def _is_strided(copy: Copy) -> bool:
    """Whether a copy is not made of long runs, if its elements are as small as they can be."""
    if copy.steps[-1:] == copy.strides[-1:] == (1,):
        return len(copy.counts) > 1 and copy.counts[-1] < LONG_RUN
    return copy.counts != ()
