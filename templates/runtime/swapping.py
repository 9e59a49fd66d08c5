"""A folder takes its place in one step, and what it holds reaches the disk before that if it must.

At every moment there is under the name of the place what was there before, or all of the new folder.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import NoReturn

# Flags of renameat2, which Linux has; other names for the current folder mean nothing to absolute paths.
NO_REPLACE, EXCHANGE = 1, 2
CURRENT_FOLDER = -100
# What it fails with where the system, or the file system, does not know a flag.
UNKNOWN_FLAG = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def put_into_place(folder: str, place: str, aside: str, overwrite: bool) -> None:
    """Give a folder the name `place`; what has that name, with `overwrite`, gets the name of the folder.

    Where names cannot be exchanged, it is named `aside` for a moment. OSError where there is something already.
    """
    if not (overwrite and os.path.lexists(place)):
        if not _rename(folder, place, NO_REPLACE):
            os.rename(folder, place)  # which does not replace a folder that holds files
    elif not _rename(folder, place, EXCHANGE):
        try:
            os.rename(place, aside)
            os.rename(folder, place)
        finally:  # also if an interrupt comes between
            if os.path.lexists(aside):
                os.rename(aside, folder if os.path.lexists(place) else place)


def sync_folder(folder: str) -> None:
    """Wait until the disk has a folder and all below it; OSError where it does not take it."""
    for place, _, names in os.walk(folder, False, raise_error):
        for name in names:
            sync(os.path.join(place, name))
        sync(place)


def sync(path: str) -> None:
    """Wait until the disk has a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(descriptor)


def raise_error(error: OSError) -> NoReturn:
    """What os.walk calls where it cannot list a folder, which it passes over otherwise."""
    raise error


def _rename(path: str, other: str, flag: int) -> bool:
    """Rename by a flag of renameat2; False where that is not known. OSError where it fails."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    names = os.fsencode(path), os.fsencode(other)
    if libc.renameat2(CURRENT_FOLDER, names[0], CURRENT_FOLDER, names[1], flag):
        number = ctypes.get_errno()
        if number not in UNKNOWN_FLAG:
            raise OSError(number, os.strerror(number), path, None, other)
        return False
    return True
