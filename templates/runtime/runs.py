"""Runs: an output file as stretches of bytes that lie together in the source, too, and tensors that do not.

Found in the order of the file, just ahead of the stream that works them off. Neighbours are merged, so many small
tensors that follow each other in the source as well are one run.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .output_files import OutputFile, OutputTensor
from .recipe import Copy
from .stored import StoredTensor, item_size

LONG_RUN = 1 << 16  # bytes; many shorter ones are gathered from mapped memory instead


class Run(NamedTuple):
    """The bytes [begin, end) of an output file.

    They are those from begin + shift on of the file or the memory that holds `stored`; where it is None, some of
    `tensor`, which is put together element by element.
    """

    begin: int
    end: int
    shift: int
    stored: StoredTensor | None
    tensor: OutputTensor


def file_runs(
    found: Mapping[Any, Mapping[str, StoredTensor]],
    file: OutputFile,
    begin: int,
    end: int,
) -> Iterator[Run]:
    """The runs that touch the bytes [begin, end) of the data of a file, in order and without a gap."""
    first = max(0, bisect_right(file.starts, begin) - 1)
    last, stop = None, begin  # the run so far, and where it ends
    for number in range(first, bisect_left(file.starts, end)):
        tensor = file.tensors[number]
        runs = _tensor_runs(found, tensor, begin, end) if tensor.size else []
        if file.gaps:
            runs.append(_gap_behind(tensor, memoryview(file.gaps[number])))
        for run in runs:
            if run.end <= begin:
                continue
            if last is None or not _goes_on(last, run):
                if last is not None:
                    yield last._replace(end=stop)
                last = run
            stop = run.end
    if last is not None:
        yield last._replace(end=stop)


def _gap_behind(tensor: OutputTensor, gap: memoryview) -> Run:
    """What stands in a file behind a tensor, before the next one begins."""
    begin = tensor.begin + tensor.size
    stored = StoredTensor("U8", (len(gap),), "", 0, len(gap), gap)
    return Run(begin, begin + len(gap), -begin, stored, tensor)


def _goes_on(one: Run, other: Run) -> bool:
    """Whether a run is the continuation of the one before it, in the same file or memory of the source."""
    if one.stored is None or other.stored is None or one.shift != other.shift:
        return False
    here, there = one.stored, other.stored
    return (
        here.memory is there.memory
        and here.path == there.path
        and here.spread is there.spread
    )


def _tensor_runs(
    found: Mapping[Any, Mapping[str, StoredTensor]],
    tensor: OutputTensor,
    begin: int,
    end: int,
) -> list[Run]:
    """The runs of one tensor: several where it is made of long ones alone, else the tensor as it is.

    At least those that touch the bytes [begin, end) of the file: all of a large tensor would take memory.
    """
    transfer, copies = tensor.transfer, tensor.blocks.copies
    width = item_size(tensor.dtype)
    as_stored = transfer.dtype == tensor.dtype and not transfer.changes
    if as_stored and _is_whole(copies, tensor.size // width):
        source = transfer.sources[0]
        stored = found[source.rank][source.name]
        shift = stored.begin + copies[0].start * width - tensor.begin
        end = tensor.begin + tensor.size
        return [Run(tensor.begin, end, shift, stored, tensor)]
    if not as_stored or transfer.zeros or not all(_is_long(c, width) for c in copies):
        return [Run(tensor.begin, tensor.begin + tensor.size, 0, None, tensor)]
    first, last = (begin - tensor.begin) // width, -((tensor.begin - end) // width)
    runs: list[Run] = []
    for copy in copies:
        source = transfer.sources[copy.source]
        stored = found[source.rank][source.name]
        origin = stored.begin - tensor.begin
        for offset, start, count in _rows(copy, first, last):
            low = tensor.begin + offset * width
            shift = origin + (start - offset) * width
            runs.append(Run(low, low + count * width, shift, stored, tensor))
    runs.sort()
    return runs


def _is_whole(copies: tuple[Copy, ...], count: int) -> bool:
    """Whether a tensor of so many elements is one run, as most are; this is quicker to see than the runs of the rest."""
    return len(copies) == 1 and copies[0].steps == (1,) and copies[0].counts == (count,)


def _is_long(copy: Copy, width: int) -> bool:
    """Whether a copy is one run, or rows of them that are long."""
    if copy.steps[-1:] != (1,) or copy.strides[-1:] != (1,):
        return not copy.counts
    return len(copy.counts) == 1 or (
        len(copy.counts) == 2 and copy.counts[1] * width >= LONG_RUN
    )


def _rows(copy: Copy, first: int, last: int) -> list[tuple[int, int, int]]:
    """The runs of a copy that `_is_long`, in elements: where each begins in the target and the source, and its length.

    Of many rows, those with elements in [first, last) of the target.
    """
    if len(copy.counts) < 2:
        return [(copy.offset, copy.start, copy.counts[0] if copy.counts else 1)]
    (rows, count), step, stride = copy.counts, copy.steps[0], copy.strides[0]
    low = max(0, (first - copy.offset - count) // stride + 1)
    high = min(rows, (last - copy.offset - 1) // stride + 1)
    return [
        (copy.offset + row * stride, copy.start + row * step, count)
        for row in range(low, high)
    ]
