"""Reading the bytes of stored tensors: straight into a buffer, or as memory that the file is mapped to.

Files are opened on first use and few at a time, so a checkpoint may have more of them than a process may
hold open. Nothing here is shared between threads.
"""

from __future__ import annotations

import mmap
import os

from .scatter import Pieces
from .source_files import changed_meanwhile, check_identity, identity_of, open_regular
from .stored import FileIdentity, StoredTensor

OPEN_FILES = 48  # a reader; each holds two descriptors once it is mapped
MAPPED = 1 << 26  # bytes of a file that stay mapped, unless more are needed at once


class OpenFile:
    """A source file that is open for reading; mapped when that is first asked for.

    ConversionError where it is not the file whose header was read: `seen` is what that was, None if it does not matter.
    """

    def __init__(self, path: str, seen: FileIdentity | None) -> None:
        self.path = path
        self.descriptor, found = open_regular(path)
        self._seen = seen or found
        try:
            check_identity(path, self._seen, found)
        except BaseException:
            os.close(self.descriptor)
            raise
        self._map: mmap.mmap | None = None
        self._view = memoryview(b"")
        self._first, self._last = 0, 0  # what may be mapped of it

    def memory(self, begin: int, end: int) -> memoryview:
        """These bytes as read-only memory, until the next are asked for.

        The file has just been seen to be whole: touching what is mapped behind its end would kill the process.
        """
        check_identity(self.path, self._seen, identity_of(os.fstat(self.descriptor)))
        if self._map is None:
            self._map = mmap.mmap(self.descriptor, 0, access=mmap.ACCESS_READ)
            self._view = memoryview(self._map)
        if begin < self._first or end > self._last:
            self._keep(self._map, begin // mmap.PAGESIZE * mmap.PAGESIZE, end)
        return self._view[begin:end]

    def _keep(self, mapped: mmap.mmap, begin: int, end: int) -> None:
        """Give back what is mapped where it becomes too much; it is read again if need be."""
        first, last = min(begin, self._first), max(end, self._last)
        if last - first > MAPPED:
            if self._last:
                size = self._last - self._first
                mapped.madvise(mmap.MADV_DONTNEED, self._first, size)
            first, last = begin, end
        self._first, self._last = first, last

    def close(self) -> None:
        """Close the descriptor; the map goes with the last view of it."""
        os.close(self.descriptor)
        self._map, self._view = None, memoryview(b"")


class SourceReader:
    """The source files of one thread. Positions are in bytes from the beginning of the tensor."""

    def __init__(self) -> None:
        self._files: dict[str, OpenFile] = {}  # the one used last stands at the end
        self._last = ""

    def read(self, tensor: StoredTensor, begin: int, view: memoryview) -> None:
        """Fill a view with the bytes of a tensor from `begin` on."""
        self.read_at(tensor, tensor.begin + begin, view)

    def read_at(self, tensor: StoredTensor, position: int, view: memoryview) -> None:
        """Fill a view from a position in the file, or in the memory, that a tensor is stored in."""
        if tensor.memory is not None:
            view[:] = tensor.memory[position : position + len(view)]
        elif tensor.spread is not None:
            tensor.spread.read(self, position, view)
        else:
            _fill_from(self._file(tensor), position, view)

    def scatter(self, tensor: StoredTensor, begin: int, reads: list[Pieces]) -> None:
        """Fill pieces of buffers, one after the other, with the bytes of a stored tensor from `begin` on."""
        file, position = self._file(tensor), tensor.begin + begin
        for pieces in reads:
            _scatter_from(file, position, pieces)
            position += pieces.size

    def memory(self, tensor: StoredTensor, begin: int, end: int) -> memoryview:
        """Some bytes of a tensor as read-only memory, until the next are asked for."""
        if tensor.memory is not None:
            return tensor.memory[tensor.begin + begin : tensor.begin + end]
        if tensor.spread is not None:
            found = memoryview(bytearray(end - begin))
            self.read(tensor, begin, found)
            return found
        file = self._file(tensor)
        return file.memory(tensor.begin + begin, tensor.begin + end)

    def close(self) -> None:
        """Close every file."""
        self._last = ""
        while self._files:
            self._files.popitem()[1].close()

    def _file(self, tensor: StoredTensor) -> OpenFile:
        path = tensor.path
        if path == self._last:
            return self._files[path]
        found = self._files.pop(path, None)
        if found is None:
            if len(self._files) >= OPEN_FILES:
                longest_unused = next(iter(self._files))
                self._files.pop(longest_unused).close()
            found = OpenFile(path, tensor.seen)
        self._files[path], self._last = found, path
        return found


def _fill_from(file: OpenFile, position: int, view: memoryview) -> None:
    done = _read_into(file, [view], position)
    while done < len(view):
        count = _read_into(file, [view[done:]], position + done)
        if count == 0:
            wanted = f"{position + len(view)} bytes or more"
            found = os.fstat(file.descriptor).st_size
            raise changed_meanwhile(file.path, wanted, f"{found}")
        done += count


def _scatter_from(file: OpenFile, position: int, pieces: Pieces) -> None:
    count = _read_into(file, pieces.views, position)
    if count == pieces.size:
        return
    for view in pieces.views:  # a read may end early
        _fill_from(file, position + count, view[count:])
        position += len(view)
        count = max(0, count - len(view))


def _read_into(file: OpenFile, views: list[memoryview], position: int) -> int:
    try:
        return os.preadv(file.descriptor, views, position)
    except OSError as error:
        error.filename = file.path
        raise
