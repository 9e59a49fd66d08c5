"""Siblings: rank files that are alike, and hold the columns of the same tensors of the source.

Tensor parallelism cuts the rows of a matrix into short runs, one a rank. Files that together have whole rows are
written together, so that these are read once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .output_files import OutputFile, OutputTensor
from .runs import LONG_RUN
from .scatter import SHORT_RUN
from .stored import StoredTensor, item_size
from .stream import CHUNK

MOST = 16  # files that share a buffer; each then gets 64 KiB of it


class Columns(NamedTuple):
    """A tensor of a file that is some columns of a matrix of the source; all but `stored` in bytes."""

    stored: StoredTensor
    start: int  # of the first element, in the source tensor
    step: int  # from row to row there
    run: int  # of a row, in the file
    rows: int


class Siblings(NamedTuple):
    """Files whose tensors lie at the same places.

    `shared` has, by the number of a tensor in each of the files, the columns that the first of them holds; the others
    hold the next ones, in their order, and all together whole rows.
    """

    files: tuple[OutputFile, ...]
    shared: Mapping[int, Columns]
    numbers: tuple[int, ...]  # of the shared tensors

    def stretches(self, begin: int, end: int) -> Iterator[tuple[int, int, int | None]]:
        """The bytes [begin, end) of the files, as stretches [low, high) with the number of the shared tensor, if any.

        A row belongs to where it begins, so those of shared tensors may end behind `end`, and begin behind `begin`.
        """
        tensors, low = self.files[0].tensors, begin
        first = bisect_right(self.files[0].starts, begin) - 1  # where `begin` is
        for number in self.numbers[bisect_left(self.numbers, first) :]:
            tensor, run = tensors[number], self.shared[number].run
            if tensor.begin >= end:
                break
            if low < tensor.begin:
                yield low, tensor.begin, None
            low = tensor.begin + tensor.size
            row, stop = (
                tensor.begin - (tensor.begin - place) // run * run
                for place in (max(begin, tensor.begin), min(end, low))
            )
            if row < stop:
                yield row, stop, number
        if low < end:
            yield low, end, None


def find_siblings(
    found: Mapping[Any, Mapping[str, StoredTensor]], files: Sequence[OutputFile]
) -> list[Siblings]:
    """The files, each with its siblings, in the order of the first of them."""
    alike: dict[Hashable, list[tuple[OutputFile, dict[int, Columns]]]] = {}
    for file in files:
        columns = dict(_column_tensors(found, file))
        key: Hashable = file.name
        if columns:
            key = (file.starts, file.size, *_rows_of(columns))
        alike.setdefault(key, []).append((file, columns))
    return [siblings for group in alike.values() for siblings in _grouped(group)]


def alone(file: OutputFile) -> Siblings:
    """A file without siblings."""
    return Siblings((file,), {}, ())


def _column_tensors(
    found: Mapping[Any, Mapping[str, StoredTensor]], file: OutputFile
) -> Iterator[tuple[int, Columns]]:
    """The tensors of a file that are columns of a matrix, in runs that are neither long nor very short."""
    for number, tensor in enumerate(file.tensors):
        copies = tensor.blocks.copies
        if len(copies) != 1 or len(copies[0].counts) != 2:
            continue
        columns = _as_columns(found, tensor)
        if (
            columns is not None
            and SHORT_RUN <= columns.run < LONG_RUN
            and columns.run < columns.step <= CHUNK
        ):
            yield number, columns


def _as_columns(
    found: Mapping[Any, Mapping[str, StoredTensor]], tensor: OutputTensor
) -> Columns | None:
    """The columns that a tensor of one copy is, where it is that, as stored and in a file."""
    transfer, (copy,) = tensor.transfer, tensor.blocks.copies
    (rows, run), width = copy.counts, item_size(tensor.dtype)
    if (
        transfer.dtype != tensor.dtype
        or transfer.changes
        or (copy.offset, *copy.strides) != (0, run, 1)
        or copy.steps[1] != 1
        or rows * run * width != tensor.size
    ):
        return None
    source = transfer.sources[copy.source]
    stored = found[source.rank][source.name]
    if stored.memory is not None or stored.spread is not None:
        return None
    return Columns(stored, copy.start * width, copy.steps[0] * width, run * width, rows)


def _rows_of(columns: Mapping[int, Columns]) -> Iterator[Hashable]:
    """What siblings have in common: the same rows of the same matrices."""
    for number, one in columns.items():
        place = one.stored.path, one.stored.begin
        yield (number, *place, one.start // one.step, one.step, one.run, one.rows)


def _grouped(
    group: Sequence[tuple[OutputFile, dict[int, Columns]]],
) -> Iterator[Siblings]:
    """Files that may be siblings, as siblings if they share whole rows, or else each alone.

    Several may have the same columns, as ranks have that differ in something else: each is then in another set.
    """
    same: dict[tuple[int, ...], int] = {}
    sets: dict[int, list[tuple[OutputFile, dict[int, Columns]]]] = {}
    for file, columns in group:
        starts = tuple(one.start for one in columns.values())
        number = same[starts] = same.get(starts, 0) + 1
        sets.setdefault(number, []).append((file, columns))
    for some in sets.values():
        ordered = sorted(some, key=lambda one: [c.start for c in one[1].values()])
        shared = dict(_whole_rows([columns for _, columns in ordered]))
        if shared and len(some) <= MOST:
            files = tuple(file for file, _ in ordered)
            yield Siblings(files, shared, tuple(shared))
        else:
            yield from (alone(file) for file, _ in some)


def _whole_rows(all_columns: list[dict[int, Columns]]) -> Iterator[tuple[int, Columns]]:
    """The tensors of files, in the order of their columns, that together are whole rows: the columns of the first."""
    for number, first in all_columns[0].items():
        starts = [columns[number].start for columns in all_columns]
        if starts == list(range(first.start, first.start + first.step, first.run)):
            yield number, first
