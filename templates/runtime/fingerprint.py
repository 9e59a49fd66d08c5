"""One digest for the same weights, however they are stored: that of their bytes as tensors of one layout.

The digest of a tensor is the sha256 of its bytes, row-major and little-endian, as in a safetensors file. That of a
checkpoint is the sha256 of a line a tensor, in the order of their names: a JSON list of name, dtype, shape and digest.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from .account import Account
from .collecting import without_collecting
from .footprint import usable_cores
from .layouts import Converter
from .opening import check_choices, check_request
from .output_files import OutputTensor
from .report import sum_text
from .sizes import size_text
from .source_files import check_unchanged
from .stream import CHUNK
from .usage import check_known
from .weights import (
    Asked,
    WeightReader,
    Weights,
    open_weights,
    weights_scratch,
    whole_side,
)
from .workers import Meter, Progress, one_torch_thread, run_threads


class TensorDigest(NamedTuple):
    """A tensor of the layout that stands for a checkpoint; `dtype` is that of safetensors."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True)
class Fingerprint:
    """The digest of a checkpoint, and what it is of."""

    directory: str
    layout: str  # that the directory is stored in
    mesh: Mapping[str, int]  # of a layout with ranks
    sha256: str
    of: str  # the layout whose tensors are hashed
    tensors: tuple[TensorDigest, ...]  # by name
    bytes: int
    rounded: tuple[str, ...]  # tensors on whose way is arithmetic or a smaller dtype
    dropped: Mapping[str, int]  # tensors left out, by `drop` statement
    nonzero_padding: Mapping[str, int]  # elements by tensor
    threads: int
    seconds: float

    def to_json(self) -> str:
        """All of it as a JSON object."""
        tensors = [tensor._asdict() for tensor in self.tensors]
        return json.dumps({**asdict(self), "tensors": tensors}, indent=2)

    def __str__(self) -> str:
        mesh = "".join(f" {dim}={size}" for dim, size in self.mesh.items())
        rate = self.bytes / 1e9 / self.seconds if self.seconds else 0.0
        rounded = f"{len(self.rounded)} tensors are rounded on the way between the layouts: their digests may differ"
        lines = [
            f"{self.sha256}  {self.directory}",
            f"{len(self.tensors)} tensors of {self.of} ({size_text(self.bytes)}), stored as {self.layout}{mesh}",
            *([rounded] if self.rounded else []),
            *(f"left out: {n} by {where}" for where, n in self.dropped.items()),
            *sum_text("not zero in the padding", self.nonzero_padding),
            f"{self.seconds:.2f} s, {rate:.2f} GB/s",
        ]
        return "\n".join(lines)


def fingerprint_directory(
    converter: Converter,
    directory: str | os.PathLike[str],
    mesh: Any = None,
    *,
    layout: str | None = None,
    check_replicas: bool = False,
    allow_narrowing: bool = False,
    follow_links: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
    announce: Callable[[str], None] | None = None,
    **choices: Any,
) -> Fingerprint:
    """The fingerprint of the checkpoint in a directory, which is stored in either layout.

    `layout` says in which, where its names and its config do not tell; `mesh` and `choices`, options and variants by
    name, are as for a conversion. Raises ConversionError where the checkpoint is refused, OSError where reading fails,
    UsageError for arguments that make no sense.
    """
    account = Account(announce)
    check_layout(converter, layout)
    check_choices(converter, choices)
    check_request(converter, mesh, threads)
    asked = Asked(layout, mesh, choices, check_replicas, allow_narrowing, follow_links)
    with without_collecting():
        account.begin("planning")
        weights = open_weights(converter, os.fspath(directory), asked)
    account.begin("reading")
    tensors = list(weights.tensors.values())
    size = sum(tensor.size for tensor in tensors)
    threads = threads or min(4, usable_cores())
    digests = _digests(weights, threads, Meter(size, progress, account))
    check_unchanged(weights.source.folder.seen)
    account.end()
    return Fingerprint(
        os.fspath(directory),
        weights.layout,
        weights.mesh,
        _digest_of(digests),
        (converter.left, converter.right)[whole_side(converter)].name,
        tuple(digests),
        size,
        weights.rounded,
        dict(weights.dropped),
        dict(weights.nonzero_padding),
        threads,
        sum(account.seconds.values()),
    )


def check_layout(converter: Converter, layout: str | None) -> None:
    """UsageError for a layout that does not exist."""
    if layout is not None:
        names = (converter.left.name, converter.right.name)
        check_known("layout", [layout], names)


def by_size(tensors: Iterable[OutputTensor]) -> deque[OutputTensor]:
    """The tensors, for several threads to take from: the largest first, so that all end at nearly the same time."""
    return deque(sorted(tensors, key=lambda tensor: -tensor.size))


def taken_from(tensors: deque[OutputTensor]) -> Iterator[OutputTensor]:
    """What one of several threads gets of them."""
    while True:
        try:
            tensor = tensors.popleft()
        except IndexError:
            return
        yield tensor


def _digests(weights: Weights, threads: int, meter: Meter) -> list[TensorDigest]:
    """The digests of all tensors, by name."""
    left, scratch = by_size(weights.tensors.values()), weights_scratch(weights)
    found: list[TensorDigest] = []

    def work() -> None:
        reader, buffer = WeightReader(weights, scratch), memoryview(bytearray(CHUNK))
        try:
            for tensor in taken_from(left):
                digest = sha256()
                for begin in range(0, tensor.size, CHUNK):
                    view = buffer[: min(CHUNK, tensor.size - begin)]
                    reader.fill(tensor, begin, view)
                    digest.update(view)
                    meter.add(len(view))
                name, shape = tensor.transfer.name, tensor.transfer.shape
                found.append(
                    TensorDigest(name, tensor.dtype, shape, digest.hexdigest())
                )
        finally:
            reader.close()

    with one_torch_thread():
        run_threads(work, max(1, min(threads, len(left))), meter)
    return sorted(found)


def _digest_of(tensors: Iterable[TensorDigest]) -> str:
    """The digest of a checkpoint."""
    whole = sha256()
    for tensor in tensors:
        whole.update(f"{json.dumps(tensor)}\n".encode("ascii"))
    return whole.hexdigest()
