"""The files of a source: regular ones, in its directory, and the same ones until the last byte has been read.

Nothing that could block or run on is opened, and no link is followed to where a checkpoint has nothing to say.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .errors import ConversionError
from .stored import FileIdentity
from .strict_json import parse_object

DOCUMENT_LIMIT = 100_000_000  # bytes of a JSON file


class SourceFiles:
    """The directory of a source, as far as it has been read: `seen` are its files, by path, as they were then."""

    def __init__(self, path: str, follow_links: bool) -> None:
        self.path = path
        self.seen: dict[str, FileIdentity] = {}
        self._real = os.path.realpath(path)
        self._follow_links = follow_links

    def place(self, name: str) -> str:
        """The path of a file; ConversionError where it is a link to somewhere else.

        A cache of Hugging Face keeps its files in `blobs`, and links to them in the directory of a snapshot.
        """
        path = os.path.join(self.path, name)
        real = os.path.realpath(path)
        inside = os.path.commonpath([real, self._real]) == self._real
        if self._follow_links or inside or os.path.dirname(real) == self._blobs():
            return path
        raise ConversionError(
            f"{path}: expected a file in this directory, found a link to {real}; "
            "--follow-links reads what is there"
        )

    def document(self, name: str) -> dict[str, Any]:
        """The JSON object that a file holds."""
        path = self.place(name)
        descriptor, seen = open_regular(path)
        with open(descriptor, "rb") as file:
            if seen.size > DOCUMENT_LIMIT:
                raise ConversionError(
                    f"{path}: expected at most {DOCUMENT_LIMIT} bytes of JSON, found {seen.size}"
                )
            self.seen[path] = seen
            with named_errors(path):
                text = file.read(seen.size)
            return parse_object(text, path)

    def _blobs(self) -> str | None:
        """Where the files of a snapshot are, if the directory is one of a cache: CACHE/snapshots/REVISION."""
        cache, found, _ = f"{self._real}/".rpartition("/snapshots/")
        return f"{cache}/blobs" if found else None


@contextmanager
def named_errors(path: str) -> Iterator[None]:
    """An OSError in the block names the file, which one of reading does not by itself."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or path
        raise


def open_regular(path: str) -> tuple[int, FileIdentity]:
    """A descriptor to read a file with, and which file it is; ConversionError where it is anything but a file.

    Looked at before it is opened, which may have effects on a device, and after, when it can no longer be another.
    """
    if os.path.isfile(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            return descriptor, identity_of(status)
        os.close(descriptor)
    raise ConversionError(f"{path}: expected a file, found {what_is(path)}")


def what_is(path: str) -> str:
    """What is found where a file is expected."""
    try:
        mode = os.stat(path).st_mode
    except PermissionError:
        raise
    except OSError:
        return "a link that leads nowhere" if os.path.islink(path) else "none"
    kinds = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a FIFO", stat.S_IFREG: "one"}
    return kinds.get(stat.S_IFMT(mode), "a device or a socket")


def check_is_fetched(path: str, start: bytes) -> None:
    """ConversionError where a file begins as one that git-lfs has not fetched."""
    if start == b"version ":
        kind = "file of torch.save"
        if path.endswith(".safetensors"):
            kind = "safetensors file"
        raise ConversionError(
            f"{path}: expected a {kind}, found a pointer of git-lfs; `git lfs pull` fetches the file"
        )


def check_unchanged(seen: Mapping[str, FileIdentity]) -> None:
    """ConversionError where a path is no longer the file that it was, or that has been written since."""
    for path, expected in seen.items():
        try:
            found = identity_of(os.stat(path))
        except FileNotFoundError:
            raise changed_meanwhile(path, "the file that was read", "none") from None
        check_identity(path, expected, found)


def check_identity(path: str, expected: FileIdentity, found: FileIdentity) -> None:
    """ConversionError where a file is not the one that it was, or has been written since."""
    if found == expected:
        return
    if found[:2] != expected[:2]:
        raise changed_meanwhile(path, "the file that was read", "another")
    if found.size != expected.size:
        raise changed_meanwhile(path, f"{expected.size} bytes", f"{found.size}")
    raise changed_meanwhile(
        path,
        f"it last written at {expected.modified / 1e9:.6f}",
        f"{found.modified / 1e9:.6f}",
    )


def changed_meanwhile(path: str, expected: str, found: str) -> ConversionError:
    """The error for a file that is not as it was."""
    return ConversionError(
        f"{path}: expected {expected}, found {found}; "
        "the file was changed while it was read"
    )


def identity_of(status: os.stat_result) -> FileIdentity:
    return FileIdentity(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    )
