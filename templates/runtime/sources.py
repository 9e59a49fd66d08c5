"""Reading the bytes of stored tensors: straight into a buffer, or as memory that the file is mapped to.

Files are opened on first use and few at a time, so a checkpoint may have more of them than a process may
hold open. Nothing here is shared between threads.
"""

from __future__ import annotations

import mmap
import os

from .errors import ConversionError
from .stored import StoredTensor

OPEN_FILES = 48  # a reader; each holds two descriptors once it is mapped


class OpenFile:
    """A source file that is open for reading; mapped when that is first asked for."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)
        self._map: mmap.mmap | None = None

    def memory(self) -> memoryview:
        """The whole file as read-only memory."""
        if self._map is None:
            self._map = mmap.mmap(self.descriptor, 0, access=mmap.ACCESS_READ)
        return memoryview(self._map)

    def release(self, begin: int, end: int) -> None:
        """Give the pages of these bytes back, if they have been mapped."""
        if self._map is not None:
            first = begin // mmap.PAGESIZE * mmap.PAGESIZE
            self._map.madvise(mmap.MADV_DONTNEED, first, end - first)

    def close(self) -> None:
        """Close the descriptor; the map goes with the last view of it."""
        os.close(self.descriptor)
        self._map = None


class SourceReader:
    """The source files of one thread. Positions are in bytes from the beginning of the tensor."""

    def __init__(self) -> None:
        self._files: dict[str, OpenFile] = {}

    def read(self, tensor: StoredTensor, begin: int, view: memoryview) -> None:
        """Fill a view with the bytes of a tensor from `begin` on."""
        position = tensor.begin + begin
        if tensor.memory is not None:
            view[:] = tensor.memory.view[position : position + len(view)]
            return
        descriptor = self._file(tensor.path).descriptor
        done = 0
        while done < len(view):
            count = os.preadv(descriptor, [view[done:]], position + done)
            if count == 0:
                raise ConversionError(
                    f"{tensor.path}: expected {position + len(view)} bytes or more, found {position + done}; "
                    "the file was changed while it was read"
                )
            done += count

    def memory(self, tensor: StoredTensor) -> memoryview:
        """The bytes of a tensor as read-only memory."""
        if tensor.memory is not None:
            return tensor.memory.view
        whole = self._file(tensor.path).memory()
        return whole[tensor.begin : tensor.begin + tensor.size]

    def release(self, tensor: StoredTensor, begin: int, end: int) -> None:
        """Give the mapped pages of these bytes back; they are read again if they are needed again.

        Not those of torch, which alone knows whether it has changed them since it mapped them.
        """
        if tensor.memory is None:
            self._file(tensor.path).release(tensor.begin + begin, tensor.begin + end)

    def close(self) -> None:
        """Close every file."""
        while self._files:
            self._files.popitem()[1].close()

    def _file(self, path: str) -> OpenFile:
        found = self._files.pop(path, None)
        if found is None:
            if len(self._files) >= OPEN_FILES:
                longest_unused = next(iter(self._files))
                self._files.pop(longest_unused).close()
            found = OpenFile(path)
        self._files[path] = found
        return found
