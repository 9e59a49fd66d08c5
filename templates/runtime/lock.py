"""A lock beside the target: of several runs that would make it at the same time, one goes on.

It is a file of its own, so that it also holds from machine to machine where a file system carries locks between them.
It goes with the process that holds it: what a killed run leaves is a file that nobody holds.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .errors import ConversionError
from .interrupts import uninterrupted


@contextmanager
def locked(path: str, target: str) -> Iterator[None]:
    """Hold the lock of a target, the file at `path`, which is removed at the end.

    Raises ConversionError where another run holds it. Where the file system has no locks, nothing is held.
    """
    descriptor = None
    try:
        with uninterrupted():
            descriptor = _take_lock(path, target)
        yield
    finally:
        if descriptor is not None:
            with uninterrupted():
                with suppress(OSError):
                    os.remove(path)
                os.close(descriptor)


def _take_lock(path: str, target: str) -> int:
    """An open descriptor that holds the lock."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise ConversionError(
                f"{target}: expected no other run that writes there, found one; "
                "wait until it has ended, or choose another directory"
            ) from None
        except OSError:
            return descriptor  # there are no locks here
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
                return descriptor
        os.close(descriptor)  # its holder has just removed it
