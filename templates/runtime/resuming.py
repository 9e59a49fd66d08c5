"""Going on with what a run that was cut off has left: what is there already is not written again.

Everything is computed as always, and every chunk that a file may hold is read back and compared with it. So nothing
depends on what wrote the file, from which source or with which options: in the end it holds what a new one would.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection

from .account import Clock
from .output_files import OutputFile
from .stream import Assembler, preallocate, write_at
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


def resume_part(
    assembler: Assembler,
    file: OutputFile,
    begin: int,
    end: int,
    path: str,
    clock: Clock,
) -> None:
    """Write what differs of the bytes [begin, end) of a file; the clock is told of every step."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        found = bytearray()
        for low, view in assembler.chunks(file, begin, end):
            clock.filled()
            if len(found) != len(view):
                found = bytearray(len(view))
            if os.preadv(descriptor, [found], low) == len(view) and found == view:
                clock.kept += len(view)
            else:
                write_at(descriptor, view, low, path)
            clock.wrote(len(view))
    finally:
        os.close(descriptor)


def _is_own_file(path: str) -> bool:
    """Whether a path is a file that may be written to, and that no other name leads to."""
    found = os.lstat(path)
    return (
        stat.S_ISREG(found.st_mode)
        and found.st_nlink == 1
        and os.access(path, os.R_OK | os.W_OK)
    )


def _remove_empty(folder: str) -> None:
    try:
        os.rmdir(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
