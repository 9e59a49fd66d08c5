"""The stream: an output file is one run of bytes, cut into chunks that are put together and written in one go.

A chunk is assembled in a buffer that is used again for the next one: long runs are read straight into
it, short and turned ones are copied from the mapped source. So memory does not grow with the model, and
every byte is moved once. Chunks end on multiples of their size in the output file, so the kernel caches each in large
folios, and every element lies in one chunk.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from typing import Any

from .account import Clock
from .casting import Part, as_tensor, cast_elements, compute_block
from .grid import boxes, dot
from .narrowing import Narrowing
from .output_files import Blocks, OutputFile, OutputTensor
from .recipe import Copy
from .runs import LONG_RUN, Run, file_runs
from .scatter import KEPT_SIZE, SHORT_RUN, KnownPieces, in_reads, row_pieces
from .sources import SourceReader
from .stored import StoredTensor, item_size
from .strided import StridedBlock, copy_block
from .values import fill_block

# bytes; measured: larger ones leave the cache, smaller ones cost more calls
CHUNK = 768 << 10
# What a disk, a quota or a limit says that has no room for a file.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# bytes for rows that siblings share: what is written at once, and two rows
ROWS = (1 << 20) + 2 * CHUNK


def assembler_memory(chunk: int, cast_scratch: int) -> int:
    """The bytes that one thread takes: an assembler's buffers and its lists, and two chunks for comparing."""
    return 3 * chunk + ROWS + KEPT_SIZE + max(chunk, cast_scratch) + cast_scratch


class Assembler:
    """Computes any stretch of an output file from the source. One thread's worth: it owns its buffers.

    `narrowing` looks at what is cast and computed.
    """

    def __init__(
        self,
        found: Mapping[Any, Mapping[str, StoredTensor]],
        chunk: int,
        cast_scratch: int,
        narrowing: Narrowing | None = None,
    ) -> None:
        self.found = found
        self.narrowing = narrowing
        self.reader = SourceReader()
        self.buffer = memoryview(mmap.mmap(-1, chunk))
        self._turned = memoryview(mmap.mmap(-1, max(chunk, cast_scratch)))
        self._uncast = memoryview(mmap.mmap(-1, cast_scratch or 1))
        self.rows = memoryview(mmap.mmap(-1, ROWS))  # untouched, it takes no memory
        self.pieces = KnownPieces()

    def close(self) -> None:
        """Close the source files."""
        self.reader.close()

    def chunks(
        self, file: OutputFile, begin: int, end: int
    ) -> Iterator[tuple[int, memoryview]]:
        """The bytes [begin, end) of a file, chunk by chunk: where each begins, and its bytes until the next is asked for."""
        runs = file_runs(self.found, file, begin, end)
        run, size = next(runs), len(self.buffer)
        while begin < end:
            low, high = begin, min(begin - begin % size + size, end)
            view = self.buffer[: high - low]
            while begin < high:
                stop = min(run.end, high)
                self._fill(run, begin, view[begin - low : stop - low])
                begin = stop
                if stop == run.end:
                    run = next(runs, run)
            yield low, view

    def _fill(self, run: Run, begin: int, view: memoryview) -> None:
        """Put the bytes of a run from byte `begin` of the file on into a view."""
        if run.stored is None:
            self.fill_part(run.tensor, begin - run.tensor.begin, view)
        else:
            self.reader.read_at(run.stored, begin + run.shift, view)

    def fill_part(self, tensor: OutputTensor, begin: int, view: memoryview) -> None:
        """Put the bytes of one tensor from `begin` on into a view."""
        dtype, width = tensor.transfer.dtype, item_size(tensor.dtype)
        first, last = begin // width, (begin + len(view)) // width
        if tensor.transfer.changes:
            self._fill_computed(tensor, first, last, view)
        elif dtype == tensor.dtype:
            self.fill_elements(tensor, first, last, view)
        else:
            source = self._uncast[: (last - first) * item_size(dtype)]
            self.fill_elements(tensor, first, last, source)
            part = Part(tensor.transfer, first, tensor.dtype, self.narrowing)
            cast_elements(source, dtype, view, part)

    def _fill_computed(
        self, tensor: OutputTensor, first: int, last: int, view: memoryview
    ) -> None:
        """Put the elements [first, last) of a tensor that is computed into a view, in the dtype of the file."""
        changes = tensor.transfer.changes
        part = Part(tensor.transfer, first, tensor.dtype, self.narrowing)
        if tensor.transfer.zeros:
            view[:] = bytes(len(view))  # padding is zero, whatever is computed
        for copy in touched(tensor.blocks, first, last):
            if changes[copy.source].filled is not None:
                for block in parts_within(copy, first, last):
                    flat = as_tensor(view, tensor.dtype)
                    fill_block(flat, block, changes[copy.source], first)
        for dtype in dict.fromkeys(c.dtype for c in changes if c.filled is None):
            source = self._uncast[: (last - first) * item_size(dtype)]
            self.fill_elements(tensor, first, last, source, dtype)
            for copy in touched(tensor.blocks, first, last):
                change = changes[copy.source]
                if change.filled is None and change.dtype == dtype:
                    for block in parts_within(copy, first, last):
                        block = block._replace(offset=block.offset - first)
                        compute_block(source, change, view, block, part)

    def fill_elements(
        self,
        tensor: OutputTensor,
        first: int,
        last: int,
        view: memoryview,
        dtype: str | None = None,
    ) -> None:
        """Put the elements [first, last) of one tensor into a view, in the dtype of the source.

        Where the sources differ in dtype, those of the `dtype` that is given.
        """
        if tensor.transfer.zeros:
            view[:] = bytes(len(view))  # what no copy covers
        for copy in touched(tensor.blocks, first, last):
            source = tensor.transfer.sources[copy.source]
            stored = self.found[source.rank].get(source.name)
            if stored is not None and dtype in (None, stored.dtype):
                self._fill_copy(copy, stored, first, last, view)

    def _fill_copy(
        self, copy: Copy, stored: StoredTensor, first: int, last: int, view: memoryview
    ) -> None:
        """Put that part of one copy into a view which lies in the elements [first, last) of its target."""
        width = item_size(stored.dtype)
        if copy.steps == copy.strides == (1,):
            begin = max(first, copy.offset)
            piece = view[
                (begin - first) * width : (copy.offset + copy.counts[0] - first) * width
            ]
            self.reader.read(stored, (copy.start + begin - copy.offset) * width, piece)
            return
        if len(copy.counts) == 2 and copy.steps[1] == copy.strides[1] == 1:
            if _can_scatter(copy, stored):
                self._scatter_rows(copy, stored, first, last, view)
            else:
                self._fill_rows(copy, stored, first, last, view)
            return
        for index, counts in boxes(copy.counts, copy.strides, copy.offset, first, last):
            start = copy.start + sum(i * step for i, step in zip(index, copy.steps))
            offset = copy.offset + sum(
                i * stride for i, stride in zip(index, copy.strides)
            )
            dims = [dim for dim, count in enumerate(counts) if count > 1]
            block = StridedBlock(
                start * width,
                tuple(copy.steps[dim] * width for dim in dims),
                (offset - first) * width,
                tuple(copy.strides[dim] * width for dim in dims),
                tuple(counts[dim] for dim in dims),
                width,
            )
            self._fill_block(block, stored, view)

    def _scatter_rows(
        self, copy: Copy, stored: StoredTensor, first: int, last: int, view: memoryview
    ) -> None:
        """_fill_copy for rows that follow each other in the source, and are apart in the target."""
        (count, run), stride = copy.counts, copy.strides[0]
        width = item_size(stored.dtype)
        low = max(0, (first - copy.offset - run) // stride + 1)
        high = min(count, (last - copy.offset - 1) // stride + 1)
        if low >= high:
            return
        begin = copy.offset + low * stride - first  # negative where the row is cut
        places = (begin * width, stride * width, run * width, high - low)
        if len(view) == len(self.buffer) and view.obj is self.buffer.obj:
            reads = self.pieces.get(places, lambda: row_pieces(view, *places))
        else:
            reads = in_reads(row_pieces(view, *places))
        start = copy.start + low * run + max(0, -begin)
        self.reader.scatter(stored, start * width, reads)

    def _fill_rows(
        self, copy: Copy, stored: StoredTensor, first: int, last: int, view: memoryview
    ) -> None:
        """_fill_copy for rows of elements that lie together on both sides, with less arithmetic."""
        (count, run), step, stride = copy.counts, copy.steps[0], copy.strides[0]
        width = item_size(stored.dtype)
        low = max(0, -((copy.offset - first) // stride))  # the first row that is whole
        high = min(count, (last - copy.offset - run) // stride + 1)
        for row in {low - 1, max(low, high)}:  # and those that are cut on either side
            begin = copy.offset + row * stride
            skipped = max(0, first - begin)
            taken = min(run, last - begin) - skipped
            if 0 <= row < count and taken > 0:
                start, offset = copy.start + row * step + skipped, begin + skipped
                piece = view[(offset - first) * width :][: taken * width]
                self.reader.read(stored, start * width, piece)
        if low < high:
            block = StridedBlock(
                (copy.start + low * step) * width,
                (step * width, width),
                (copy.offset + low * stride - first) * width,
                (stride * width, width),
                (high - low, run),
                width,
            )
            self._fill_block(block, stored, view)

    def _fill_block(
        self, block: StridedBlock, stored: StoredTensor, view: memoryview
    ) -> None:
        run, dims = block.run()
        if dims and run < LONG_RUN:
            start, end = block.start, block.end()
            memory = self.reader.memory(stored, start, end)
            block = block._replace(start=0)
            copy_block(block, memory, view, self._turned)
        else:
            for start, offset in block.corners(dims):
                self.reader.read(stored, start, view[offset : offset + run])


def _can_scatter(copy: Copy, stored: StoredTensor) -> bool:
    """Whether rows of elements lie together in a file, and are long enough to be read one by one."""
    run = copy.counts[1]
    long_enough = run * item_size(stored.dtype) >= SHORT_RUN
    in_file = stored.memory is None and stored.spread is None
    return in_file and copy.steps[0] == run and long_enough


def touched(blocks: Blocks, first: int, last: int) -> Iterator[Copy]:
    """The copies with elements in [first, last)."""
    for number in range(
        bisect_right(blocks.reach, first), bisect_left(blocks.starts, last)
    ):
        if blocks.ends[number] > first:
            yield blocks.copies[number]


def parts_within(copy: Copy, first: int, last: int) -> Iterator[Copy]:
    """The parts of a copy whose elements lie in [first, last) of the target."""
    for index, counts in boxes(copy.counts, copy.strides, copy.offset, first, last):
        yield copy._replace(
            start=copy.start + dot(copy.steps, index),
            offset=copy.offset + dot(copy.strides, index),
            counts=counts,
        )


def create_file(file: OutputFile, path: str) -> None:
    """Make an output file of its full size, with its header."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        preallocate(descriptor, file.size, path)
        write_at(descriptor, memoryview(file.header), 0, path)
    finally:
        os.close(descriptor)


class OpenOutput:
    """An output file that has been created, open to be written to by one thread."""

    flags = os.O_WRONLY

    def __init__(self, path: str, clock: Clock) -> None:
        self.path, self.clock = path, clock
        self.descriptor = os.open(path, self.flags | os.O_NOFOLLOW)

    def write(self, view: memoryview, position: int) -> None:
        """Write all of a view at a position."""
        write_at(self.descriptor, view, position, self.path)

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


def write_part(
    assembler: Assembler, file: OutputFile, part: tuple[int, int], output: OpenOutput
) -> None:
    """Write a part of a file; the clock of the output is told of every step."""
    for low, view in assembler.chunks(file, *part):
        output.clock.filled()
        output.write(view, low)
        output.clock.wrote(len(view))


def write_at(descriptor: int, view: memoryview, position: int, path: str) -> None:
    """Write all of a view at a position of a file; an OSError names its path."""
    try:
        done = os.pwrite(descriptor, view, position)
        while done < len(view):
            done += os.pwrite(descriptor, view[done:], position + done)
    except OSError as error:
        error.filename = path
        raise


def preallocate(descriptor: int, size: int, path: str) -> None:
    """Reserve the blocks of a file at once, which makes writing it faster; skipped where that is not possible.

    The system call itself, since posix_fallocate writes zeros where a file system does not support it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "fallocate"):
        return
    arguments = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    libc.fallocate.argtypes = arguments
    if libc.fallocate(descriptor, 0, 0, size) and ctypes.get_errno() in NO_ROOM:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
