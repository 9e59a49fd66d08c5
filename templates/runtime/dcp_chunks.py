"""Tensors of a torch.distributed checkpoint, read from their chunks, each an archive of torch.save within a file."""

from __future__ import annotations

import io
import os
from itertools import product
from math import prod
from typing import Any

from .dcp_metadata import METADATA_FILE, DcpChunk, DcpTensor
from .errors import ConversionError
from .grid import boxes, dot
from .output_files import find_blocks
from .recipe import Copy
from .runs import LONG_RUN
from .source_files import SourceFiles, open_regular
from .source_folder import is_plain_name
from .sources import SourceReader
from .stored import StoredTensor, item_size
from .stream import touched
from .strided import StridedBlock, copy_block
from .torch_files import check_foreign, kind_found, read_archive, torch_tensor
from .torch_pickle import TorchView

MOST_CELLS = 1 << 22  # of the grid that the chunks of a tensor make


class Window(io.RawIOBase):
    """Some bytes of an open file, as a file."""

    def __init__(self, descriptor: int, begin: int, size: int) -> None:
        super().__init__()
        self._descriptor, self._begin, self._size, self._at = descriptor, begin, size, 0

    def fileno(self) -> int:
        """The file that the bytes are of."""
        return self._descriptor

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + position)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: max(0, self._size - self._at)]
        count = os.preadv(self._descriptor, [view], self._begin + self._at)
        self._at += count
        return count


class Chunked:
    """A tensor that is read from its chunks in a folder of the source, once these have been looked for."""

    def __init__(self, name: str, tensor: DcpTensor, folder: str) -> None:
        self._name, self._tensor, self._folder = name, tensor, folder
        self._pieces: tuple[StoredTensor, ...] | None = None
        self._blocks = find_blocks(())

    def settle(self, files: SourceFiles) -> None:
        """Find the chunks, which must be all of the tensor; ConversionError where they are not what was said."""
        if self._pieces is not None:
            return
        tensor, path = self._tensor, os.path.join(files.path, self._folder)
        _check_chunks(f"{os.path.join(path, METADATA_FILE)}: {self._name}", tensor)
        width = item_size(tensor.dtype)
        chunks = [chunk for chunk in tensor.chunks if 0 not in chunk.sizes]
        copies = [_in_bytes(n, tensor.shape, c, width) for n, c in enumerate(chunks)]
        self._blocks = find_blocks(tuple(copies))
        self._pieces = tuple(self._piece(files, chunk) for chunk in chunks)

    def _piece(self, files: SourceFiles, chunk: DcpChunk) -> StoredTensor:
        """The tensor that a chunk is stored as."""
        where = f"{os.path.join(files.path, self._folder, METADATA_FILE)}: {self._name}"
        if not is_plain_name(chunk.file):
            raise ConversionError(
                f"{where}: expected the name of a file beside it, found {chunk.file!r}"
            )
        path = files.place(os.path.join(self._folder, chunk.file))
        descriptor, seen = open_regular(path)
        with open(descriptor, "rb"):
            files.seen[path] = seen
            if chunk.begin + chunk.length > seen.size:
                raise ConversionError(
                    f"{path}: {self._name}: expected a chunk of {chunk.length} bytes from byte {chunk.begin} on, "
                    f"found a file of {seen.size}"
                )
            window = Window(descriptor, chunk.begin, chunk.length)
            archive = read_archive(path, window, seen, chunk.begin, chunk.length)
        if not isinstance(archive.pickled, TorchView):
            raise ConversionError(
                f"{path}: {self._name}: expected a tensor from byte {chunk.begin} on, found {kind_found(archive.pickled)}"
            )
        check_foreign(archive, lambda name: False)
        found = torch_tensor(archive, self._name, archive.pickled, {})
        expected = self._tensor.dtype, chunk.sizes
        if found[:2] != expected:
            raise ConversionError(
                f"{path}: {self._name}: expected {expected[0]} {list(expected[1])} from byte {chunk.begin} on, "
                f"found {found.dtype} {list(found.shape)}"
            )
        return found

    def read(self, reader: SourceReader, position: int, view: memoryview) -> None:
        """Fill a view with the bytes of the tensor from a position on."""
        assert self._pieces is not None, "its chunks have been found"
        end = position + len(view)
        for copy in touched(self._blocks, position, end):
            piece = self._pieces[copy.source]
            for index, counts in boxes(
                copy.counts, copy.strides, copy.offset, position, end
            ):
                start = dot(copy.steps, index)
                offset = copy.offset + dot(copy.strides, index) - position
                block = StridedBlock(start, copy.steps, offset, copy.strides, counts, 1)
                _fill(reader, piece, block, view)


def _fill(
    reader: SourceReader, piece: StoredTensor, block: StridedBlock, view: memoryview
) -> None:
    """Copy rows of bytes of a chunk into a view."""
    run, dims = block.run()
    if run < LONG_RUN and prod(block.counts[:dims]) > 1:
        memory = reader.memory(piece, block.start, block.end())
        copy_block(block._replace(start=0), memory, view, memoryview(b""))
        return
    for start, offset in block.corners(dims):
        reader.read(piece, start, view[offset : offset + run])


def _in_bytes(number: int, shape: tuple[int, ...], chunk: DcpChunk, width: int) -> Copy:
    """The way of the bytes of a chunk into its tensor; the last dim are bytes that lie together on both sides."""
    counts, steps, strides = [width], [1], [1]
    stride, offset = width, 0
    for size, first, count in zip(
        reversed(shape), reversed(chunk.offsets), reversed(chunk.sizes)
    ):
        offset += first * stride
        if stride == strides[0] * counts[0]:
            counts[0] *= count
        elif count > 1:
            steps.insert(0, steps[0] * counts[0])
            strides.insert(0, stride)
            counts.insert(0, count)
        stride *= size
    return Copy(
        source=number,
        start=0,
        steps=tuple(steps),
        offset=offset,
        strides=tuple(strides),
        counts=tuple(counts),
    )


def _check_chunks(where: str, tensor: DcpTensor) -> None:
    """ConversionError where the chunks of a tensor overlap, leave a hole, or make a grid that is too fine."""
    chunks, count = tensor.chunks, prod(tensor.shape)
    covered = sum(prod(chunk.sizes) for chunk in chunks)
    # The places where chunks begin and end cut the tensor into cells, and each is in one chunk.
    cuts = [
        sorted(
            {edge for c in chunks for edge in (c.offsets[d], c.offsets[d] + c.sizes[d])}
        )
        for d in range(len(tensor.shape))
    ]
    places = [{at: number for number, at in enumerate(found)} for found in cuts]
    taken: set[tuple[int, ...]] = set()
    total = 0
    for chunk in chunks if count else ():
        ranges = [
            range(found[first], found[first + size])
            for found, first, size in zip(places, chunk.offsets, chunk.sizes)
        ]
        total += prod(map(len, ranges))
        if total > MOST_CELLS:
            raise ConversionError(
                f"{where}: expected chunks that make a grid of at most {MOST_CELLS} cells, found more"
            )
        taken.update(product(*ranges))
    if covered != count or len(taken) < total:
        what = "overlap" if len(taken) < total else "leave a hole"
        raise ConversionError(
            f"{where}: expected chunks that hold each of {count} elements once, found {len(chunks)} that {what}"
        )
