"""A tensor as it is stored: dtype, shape, and the place of its bytes.

Every reader of files gives these, and the stream takes them. The dtypes are those of safetensors whose
elements are whole bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from .values import STORED_DTYPES


class FileIdentity(NamedTuple):
    """Which file it is, and when it was last written, in nanoseconds."""

    device: int
    inode: int
    size: int
    modified: int


class Spread(Protocol):
    """What reads a tensor whose bytes do not lie together, once it is settled where they are.

    `files` are SourceFiles and `reader` a SourceReader; positions are those of bytes.
    """

    def settle(self, files: Any) -> None:
        """See where the bytes are; ConversionError where they are not what was said."""

    def read(self, reader: Any, position: int, view: memoryview) -> None:
        """Fill a view with the bytes from a position on."""


class StoredTensor(NamedTuple):
    """A tensor of `size` bytes, row-major, from byte `begin` of the file or, where it is set, of `memory`.

    `seen` is what the file was when it was found there; None where that does not matter. `spread` reads the tensor where
    its bytes do not lie together; `begin` counts from its own beginning then.
    """

    dtype: str
    shape: tuple[int, ...]
    path: str
    begin: int
    size: int
    memory: memoryview | None = None
    seen: FileIdentity | None = None
    spread: Spread | None = None


class StoredTensors(dict[str, StoredTensor]):
    """The tensors of one rank, or of all shards, by name; `path` is the file that says which there are."""

    def __init__(self, path: str, tensors: Mapping[str, StoredTensor]) -> None:
        super().__init__(tensors)
        self.path = path


def item_size(dtype: str) -> int:
    """The bytes of one element."""
    return STORED_DTYPES[dtype][0]
