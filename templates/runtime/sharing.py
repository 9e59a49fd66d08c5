"""Sharing the files out among threads, part by part, so that all threads end at nearly the same time.

Those who write to one file wait for each other in the kernel. So a thread takes a part of the file that has the
fewest writers, and of these files of the one with the most left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from threading import Lock

from .output_files import OutputFile
from .stream import CHUNK

PARTS = 16  # a thread: so the last one to end is late by a sixteenth at most
SMALLEST_PART = 16 * CHUNK  # bytes; to begin a thread takes a fraction of that


class Shares:
    """The parts of some files that are left to do."""

    def __init__(self, files: Sequence[OutputFile], threads: int) -> None:
        total = sum(file.size - len(file.header) for file in files)
        size = max(SMALLEST_PART, -(-total // (threads * PARTS * CHUNK)) * CHUNK)
        self._files = files
        self._left = [
            deque(file_parts(file, size if threads > 1 else file.size))
            for file in files
        ]
        self._writers = [0] * len(files)
        self._lock = Lock()
        self.count = sum(map(len, self._left))

    def take(self) -> Iterator[tuple[OutputFile, range]]:
        """Parts for one thread, as long as there are any; whoever asks for the next one has done the last."""
        number = None
        while True:
            with self._lock:
                if number is not None:
                    self._writers[number] -= 1
                number = min(self._open(), key=self._order, default=None)
                if number is None:
                    return
                self._writers[number] += 1
                part = self._left[number].popleft()
            yield self._files[number], part

    def _open(self) -> Iterator[int]:
        return (number for number, parts in enumerate(self._left) if parts)

    def _order(self, number: int) -> tuple[int, int]:
        left = self._files[number].size - self._left[number][0].start
        return self._writers[number], -left


def file_parts(file: OutputFile, size: int) -> list[range]:
    """The data of a file in parts of `size` bytes, a multiple of CHUNK or all; as positions in the file."""
    begin = len(file.header)
    return [
        range(low, min(low + size, file.size)) for low in range(begin, file.size, size)
    ]
