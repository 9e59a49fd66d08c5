"""The files that a conversion writes: which tensors each holds, in which order, and its header.

Both the stream and the report of --plan take their work from here; nothing has been written yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from math import prod
from typing import Any, NamedTuple, Protocol

from .casting import target_dtype
from .errors import ConversionError
from .layouts import Side
from .plan import Plan
from .recipe import Copy
from .safetensors_io import make_header
from .stored import item_size
from .transfers import Transfer

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"


class Blocks(NamedTuple):
    """The copies that fill a target, sorted by where they begin, to be found by position."""

    copies: tuple[Copy, ...]
    starts: tuple[int, ...]  # the first element of each
    reach: tuple[int, ...]  # the end of the farthest so far
    ends: tuple[int, ...]  # behind the last element of each


class OutputTensor(NamedTuple):
    """One tensor of a file: `size` bytes of `dtype` from byte `begin` of the file."""

    transfer: Transfer
    blocks: Blocks
    dtype: str
    begin: int
    size: int


class Closing(Protocol):
    """What a file of another kind than safetensors needs when its tensors are written."""

    def seal(self, file: OutputFile, path: str) -> None:
        """Write what follows from the bytes of the tensors."""

    def verify(self, file: OutputFile, path: str) -> None:
        """ConversionError where the file is not read as it was meant."""


class OutputFile(NamedTuple):
    """A file of tensors: its name below the target directory, what stands before its tensors, and these.

    `gaps` is what stands behind each tensor, before the next one, where the tensors do not follow each other.
    """

    name: str
    header: bytes
    tensors: tuple[OutputTensor, ...]
    starts: tuple[int, ...]  # the first byte of each tensor
    size: int
    gaps: tuple[bytes, ...] = ()
    closing: Closing | None = None

    @property
    def holds(self) -> int:
        """How many tensors it holds, some perhaps in several chunks."""
        if self.closing is None:
            return len(self.tensors)
        return len({tensor.transfer.name for tensor in self.tensors})


def rank_outputs(
    plan: Plan, side: Side, ranks: Iterable[Any], dtype: str | None
) -> list[OutputFile]:
    """A file a rank. Ranks that share a file hold the same tensors, and it is written once."""
    assert side.file is not None, "a layout without ranks has no rank files"
    files: dict[str, Any] = {}
    for rank in ranks:
        files.setdefault(side.file(rank), rank)
    for name in files:
        if not name.endswith(".safetensors"):
            raise ConversionError(
                f"{name}: expected a file name that ends in .safetensors, which alone can be written"
            )
    known: dict[int, Blocks] = {}
    digest = plan.converter.digest
    return [
        output_file(name, plan.transfers(rank), dtype, known, digest)
        for name, rank in files.items()
    ]


def shard_outputs(plan: Plan, max_size: int, dtype: str | None) -> list[OutputFile]:
    """One file, or shards of at most `max_size` bytes of tensors in the order of the plan."""
    shards: list[list[Transfer]] = [[]]
    room = max_size
    for transfer in plan.transfers(None):
        size = _stored_size(transfer, dtype)
        if size > room and shards[-1]:
            shards.append([])
            room = max_size
        shards[-1].append(transfer)
        room -= size
    known: dict[int, Blocks] = {}
    digest = plan.converter.digest
    if len(shards) == 1:
        return [output_file(SINGLE_FILE, shards[0], dtype, known, digest)]
    return [
        output_file(
            f"model-{n:05}-of-{len(shards):05}.safetensors", shard, dtype, known, digest
        )
        for n, shard in enumerate(shards, 1)
    ]


def output_file(
    name: str,
    transfers: Iterable[Transfer],
    dtype: str | None,
    known: dict[int, Blocks],
    map_sha256: str,
) -> OutputFile:
    """A file of these tensors. The larger elements come first, so that every tensor is aligned to its own.

    `known` has the blocks of the copies, by their id, that files before it have.
    """
    typed = [(dtype_in_file(t, dtype), t) for t in transfers]
    typed.sort(key=lambda pair: -item_size(pair[0]))
    header = make_header(((t.name, stored, t.shape) for stored, t in typed), map_sha256)
    tensors = tuple(_placed(typed, len(header), known))
    size = tensors[-1].begin + tensors[-1].size if tensors else len(header)
    return OutputFile(name, header, tensors, tuple(t.begin for t in tensors), size)


def shard_index(files: list[OutputFile]) -> dict[str, Any]:
    """The index of shards, as Hugging Face writes it."""
    names = {
        tensor.transfer.name: file.name for file in files for tensor in file.tensors
    }
    total = sum(tensor.size for file in files for tensor in file.tensors)
    return {"metadata": {"total_size": total}, "weight_map": names}


def find_blocks(copies: tuple[Copy, ...]) -> Blocks:
    """The copies of one target, made ready to be found."""
    copies = tuple(sorted(copies, key=lambda copy: copy.offset))
    ends = tuple(
        1
        + copy.offset
        + sum(stride * (n - 1) for stride, n in zip(copy.strides, copy.counts))
        for copy in copies
    )
    starts = tuple(copy.offset for copy in copies)
    return Blocks(copies, starts, tuple(accumulate(ends, max)), ends)


def _placed(
    typed: list[tuple[str, Transfer]], begin: int, known: dict[int, Blocks]
) -> Iterator[OutputTensor]:
    for dtype, transfer in typed:
        tensor = output_tensor(transfer, dtype, begin, known)
        yield tensor
        begin += tensor.size


def output_tensor(
    transfer: Transfer, dtype: str, begin: int, known: dict[int, Blocks]
) -> OutputTensor:
    """A tensor from a byte of its file on; `known` as in output_file."""
    # Many tensors of one statement have the very same copies, which are long to compare.
    blocks = known.get(id(transfer.copies))
    if blocks is None:
        blocks = known[id(transfer.copies)] = find_blocks(transfer.copies)
    size = prod(transfer.shape) * item_size(dtype)
    return OutputTensor(transfer, blocks, dtype, begin, size)


def _stored_size(transfer: Transfer, dtype: str | None) -> int:
    return prod(transfer.shape) * item_size(dtype_in_file(transfer, dtype))


def dtype_in_file(transfer: Transfer, asked: str | None) -> str:
    """The dtype that a tensor is written in, --dtype considered."""
    if transfer.fixed:
        return str(transfer.dtype)
    return target_dtype(transfer.name, transfer.dtype, asked)
