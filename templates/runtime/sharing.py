"""Sharing the files out among threads, part by part, so that all threads end at nearly the same time.

Those who write to one file wait for each other in the kernel. So a thread takes a part of the siblings that have the
fewest writers, and of these of the ones with the most left: files that are open together grow side by side.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from threading import Lock

from .output_files import OutputFile
from .siblings import Siblings
from .stream import CHUNK

PART = 12 * CHUNK  # bytes; to begin one takes a fraction of that


class Shares:
    """The parts of some files that are left to do; at most so many siblings are open together."""

    def __init__(self, groups: Sequence[Siblings], together: int) -> None:
        self._groups = groups
        self._together = together
        self._left = [
            deque(file_parts(group.files[0], PART // min(2, len(group.files))))
            for group in groups
        ]
        self._writers = [0] * len(groups)
        self._lock = Lock()
        self.count = sum(map(len, self._left))

    def take(self) -> Iterator[tuple[Siblings, tuple[int, int]]]:
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
            yield self._groups[number], part

    def _open(self) -> Iterator[int]:
        undone = (number for number, parts in enumerate(self._left) if parts)
        return islice(undone, self._together)

    def _order(self, number: int) -> tuple[int, int]:
        begin, _ = self._left[number][0]
        return self._writers[number], begin - self._groups[number].files[0].size


def file_parts(file: OutputFile, size: int) -> Iterator[tuple[int, int]]:
    """The data of a file in parts [begin, end), which end on multiples of `size` in the file."""
    begin = len(file.header)
    while begin < file.size:
        end = min(begin - begin % size + size, file.size)
        yield begin, end
        begin = end
