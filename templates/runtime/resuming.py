"""Going on with what a run that was cut off has left: what is there already is not written again.

Everything is computed as always, and every chunk that a file may hold is read back and compared with it. So nothing
depends on what wrote the file, from which source or with which options: in the end it holds what a new one would.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from .account import Clock
from .output_files import OutputFile
from .stream import OpenOutput, preallocate, write_at
from .swapping import raise_error


def keep_files(folder: str, names: Collection[str]) -> set[str]:
    """Remove all below a folder but the files with these names; those that are there."""
    kept = set()
    for place, folders, files in os.walk(folder, False, raise_error):
        for path in (os.path.join(place, name) for name in files + folders):
            name = os.path.relpath(path, folder)
            if name in names and _is_own_file(path):
                kept.add(name)
            elif os.path.isdir(path) and not os.path.islink(path):
                _remove_empty(path)
            else:
                os.remove(path)
    return kept


def resume_file(file: OutputFile, path: str) -> None:
    """Give a file that is there its full size and its header."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        os.ftruncate(descriptor, min(file.size, os.fstat(descriptor).st_size))
        preallocate(descriptor, file.size, path)
        write_at(descriptor, memoryview(file.header), 0, path)
    finally:
        os.close(descriptor)


class ResumedOutput(OpenOutput):
    """A file that may hold some of its bytes already: what differs is written."""

    flags = os.O_RDWR

    def __init__(self, path: str, clock: Clock, found: bytearray) -> None:
        super().__init__(path, clock)
        self._found = found  # memory for what is there, which others use as well

    def write(self, view: memoryview, position: int) -> None:
        """Write a view at a position, unless the same is there."""
        del self._found[len(view) :]
        self._found.extend(bytes(len(view) - len(self._found)))
        count = os.preadv(self.descriptor, [self._found], position)
        if count == len(view) and self._found == view:
            self.clock.kept += len(view)
        else:
            super().write(view, position)


@contextmanager
def open_outputs(
    folder: str, files: Sequence[OutputFile], kept: Collection[str], clock: Clock
) -> Iterator[list[OpenOutput]]:
    """These files of a folder, open to be written to; in those that are kept only what differs is."""
    outputs: list[OpenOutput] = []
    found = bytearray()
    try:
        for file in files:
            path = os.path.join(folder, file.name)
            if file.name in kept:
                outputs.append(ResumedOutput(path, clock, found))
            else:
                outputs.append(OpenOutput(path, clock))
        yield outputs
    finally:
        for output in outputs:
            output.close()


def _is_own_file(path: str) -> bool:
    """Whether a path is a file that may be written to, and that no other name leads to."""
    return (
        os.path.isfile(path)
        and not os.path.islink(path)
        and os.stat(path).st_nlink == 1
        and os.access(path, os.R_OK | os.W_OK)
    )


def _remove_empty(folder: str) -> None:
    try:
        os.rmdir(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
