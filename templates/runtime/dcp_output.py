"""Files of a torch.distributed checkpoint: chunks of tensors, each an archive of torch.save, and where each lies.

A loader reads whole chunks. So large tensors are cut along their first axes, and it reads little that it does not want.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from math import prod
from typing import Any, NamedTuple

from .dcp_metadata import CLASSES, STORAGE_INFO
from .output_files import (
    Blocks,
    OutputFile,
    OutputTensor,
    dtype_in_file,
    find_blocks,
    output_tensor,
)
from .pickling import PickledCall, PickledName, PickledObject, PickledPairs, make_pickle
from .recipe import Copy
from .stored import item_size
from .stream import parts_within, touched
from .torch_output import FOLDER, plain_records, tensor_pickle
from .transfers import Transfer
from .values import STORED_DTYPES
from .zip_files import Archive, ZipClosing, ZipRecord, plan_archive

MOST_IN_CHUNK = 1 << 26  # bytes, unless a row has more
LAYOUT = PickledCall(
    PickledName("torch.serialization", "_get_layout"), ("torch.strided",)
)


class ChunkToWrite(NamedTuple):
    """A chunk of a tensor that has `shape` in all: where it begins there, and what is written."""

    shape: tuple[int, ...]
    offsets: tuple[int, ...]
    transfer: Transfer
    dtype: str


class Placed(NamedTuple):
    """A chunk, and the bytes of its file that hold it."""

    piece: ChunkToWrite
    begin: int
    end: int


class DcpClosing(NamedTuple):
    """What is left to do with a file of chunks, and what is in it."""

    zipped: ZipClosing
    placed: tuple[Placed, ...]

    def seal(self, file: OutputFile, path: str) -> None:
        """Put the checksums of the chunks into a file that is written."""
        self.zipped.seal(file, path)

    def verify(self, file: OutputFile, path: str) -> None:
        """ConversionError where a sealed file does not have what was meant."""
        self.zipped.verify(file, path)


def dcp_outputs(
    folder: str, transfers: Iterable[Transfer], dtype: str | None, most: int
) -> list[OutputFile]:
    """The files of these tensors in a folder, with at most `most` bytes of them each."""
    shards: list[list[ChunkToWrite]] = [[]]
    room = most
    for transfer in transfers:
        stored = dtype_in_file(transfer, dtype)
        for piece in cut(transfer, stored):
            size = prod(piece.transfer.shape) * item_size(stored)
            if size > room and shards[-1]:
                shards.append([])
                room = most
            shards[-1].append(piece)
            room -= size
    known: dict[int, Blocks] = {}
    return [
        _output_file(f"{folder}/__0_{n}.distcp", pieces, known)
        for n, pieces in enumerate(shards)
    ]


def cut(transfer: Transfer, dtype: str) -> Iterator[ChunkToWrite]:
    """A tensor in pieces that are each one stretch of it."""
    shape = transfer.shape
    sizes, rest = list(shape), prod(shape) * item_size(dtype)
    for axis, size in enumerate(shape):
        if rest <= MOST_IN_CHUNK:
            break
        rest //= size
        sizes[axis] = max(1, MOST_IN_CHUNK // rest)
    if tuple(sizes) == shape:
        yield ChunkToWrite(shape, (0,) * len(shape), transfer, dtype)
        return
    copies, zeros = find_blocks(transfer.copies), find_blocks(transfer.zeros)
    begin = 0
    for offsets in product(*(range(0, n, step) for n, step in zip(shape, sizes))):
        counts = tuple(min(step, n - at) for n, step, at in zip(shape, sizes, offsets))
        end = begin + prod(counts)
        made = transfer._replace(
            shape=counts,
            copies=_restricted(copies, begin, end),
            zeros=_restricted(zeros, begin, end),
        )
        made = _own_sources(made)
        yield ChunkToWrite(shape, offsets, made, dtype)
        begin = end


def _restricted(blocks: Blocks, begin: int, end: int) -> tuple[Copy, ...]:
    """The parts of copies that fill the elements [begin, end), as those of a tensor of its own."""
    return tuple(
        part._replace(offset=part.offset - begin)
        for copy in touched(blocks, begin, end)
        for part in parts_within(copy, begin, end)
    )


def _own_sources(transfer: Transfer) -> Transfer:
    """A transfer without the sources that it has no copy of."""
    used = sorted({copy.source for copy in transfer.copies})
    number = {source: n for n, source in enumerate(used)}
    return transfer._replace(
        sources=tuple(transfer.sources[n] for n in used),
        changes=tuple(transfer.changes[n] for n in used) if transfer.changes else (),
        copies=tuple(
            copy._replace(source=number[copy.source]) for copy in transfer.copies
        ),
    )


def _output_file(
    name: str, pieces: list[ChunkToWrite], known: dict[int, Blocks]
) -> OutputFile:
    """A file of archives, one a piece."""
    tensors, archives = list[OutputTensor](), list[Archive]()
    placed, position = list[Placed](), 0
    for number, piece in enumerate(pieces):
        tensor = output_tensor(piece.transfer, piece.dtype, 0, known)
        view = tensor_pickle(piece.dtype, piece.transfer.shape, 0)
        records = [*plain_records(view), ZipRecord("data/0", tensor.size)]
        archive = plan_archive(FOLDER, records, position, number)
        tensors.append(tensor._replace(begin=archive.begins[0]))
        placed.append(Placed(piece, position, archive.end))
        archives.append(archive)
        position = archive.end
    heads = [archive.frames[0] for archive in archives] + [b""]
    gaps = [archive.frames[1] + head for archive, head in zip(archives, heads[1:])]
    seals = tuple(seal for archive in archives for seal in archive.seals)
    closing = DcpClosing(ZipClosing(seals, None), tuple(placed))
    starts = tuple(tensor.begin for tensor in tensors)
    return OutputFile(
        name, heads[0], tuple(tensors), starts, position, tuple(gaps), closing
    )


# ---- what the metadata say


def dcp_metadata(files: list[OutputFile]) -> bytes:
    """The metadata of these files."""
    tensors: dict[str, list[ChunkToWrite]] = {}
    storage: list[tuple[PickledObject, PickledObject]] = []
    for file in files:
        closing = file.closing
        assert isinstance(closing, DcpClosing), "a file of chunks"
        for piece, begin, end in closing.placed:
            name = piece.transfer.name
            tensors.setdefault(name, []).append(piece)
            index = {"fqn": name, "offset": _size(piece.offsets), "index": None}
            place = {
                "relative_path": file.name.rpartition("/")[2],
                "offset": begin,
                "length": end - begin,
            }
            module, _, info = STORAGE_INFO.rpartition(".")
            storage.append(
                (
                    _object("MetadataIndex", index),
                    PickledObject(PickledName(module, info), place),
                )
            )
    state = {
        "state_dict_metadata": {
            name: _tensor_metadata(pieces) for name, pieces in tensors.items()
        },
        "planner_data": {name: (name,) for name in tensors},
        "storage_data": PickledPairs(tuple(storage)),
        "storage_meta": None,
    }
    return make_pickle(_object("Metadata", state))


def _tensor_metadata(pieces: list[ChunkToWrite]) -> PickledObject:
    dtype = PickledName("torch", STORED_DTYPES[pieces[0].dtype][1])
    order = PickledCall(PickledName(CLASSES, "_MEM_FORMAT_ENCODING"), (0,))
    chunks = [
        _object(
            "ChunkStorageMetadata",
            {"offsets": _size(p.offsets), "sizes": _size(p.transfer.shape)},
        )
        for p in pieces
    ]
    said = {
        "properties": _object("TensorProperties", (dtype, LAYOUT, False, order, False)),
        "size": _size(pieces[0].shape),
        "chunks": chunks,
    }
    return _object("TensorStorageMetadata", said)


def _object(kind: str, state: Any) -> PickledObject:
    return PickledObject(PickledName(CLASSES, kind), state)


def _size(sizes: tuple[int, ...]) -> PickledCall:
    return PickledCall(PickledName("torch", "Size"), (sizes,))
