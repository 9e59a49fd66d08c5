"""Rank files that are written together: which are, and that every byte of theirs is what a loop over elements says."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapc.templates.runtime import columns, siblings
from mapc.templates.runtime.account import Clock
from mapc.templates.runtime.checks import Source
from mapc.templates.runtime.columns import write_siblings
from mapc.templates.runtime.errors import ConversionError
from mapc.templates.runtime.output_files import OutputFile, output_file
from mapc.templates.runtime.recipe import Copy
from mapc.templates.runtime.resuming import open_outputs
from mapc.templates.runtime.safetensors_io import read_header
from mapc.templates.runtime.sharing import file_parts
from mapc.templates.runtime.siblings import Siblings, find_siblings
from mapc.templates.runtime.stored import StoredTensor, item_size
from mapc.templates.runtime.stream import CHUNK, Assembler, create_file
from mapc.templates.runtime.transfers import Transfer
from mapc.templates.runtime.verifying import verify_siblings

from .files import Stored, coded, read, write

# Of each tensor: its dtype, its rows, and the elements of a row that each rank holds; None where it is whole everywhere.
Shape = tuple[str, int, int | None]
LAYER: list[Shape] = [
    ("BF16", 19, None),
    ("BF16", 31, 131),
    ("F32", 7, 67),
    ("BF16", 23, None),
    ("BF16", 1, 301),
    ("BF16", 43, 129),
    ("U8", 11, 257),
]
Found = dict[Any, dict[str, StoredTensor]]


def matrix(number: int, shape: Shape, ranks: int) -> Stored:
    dtype, rows, run = shape
    return coded(number, dtype, rows * (run or 1) * ranks)


def share(
    number: int, shape: Shape, ranks: int, rank: int, name: str = ""
) -> tuple[Transfer, Stored]:
    """What a rank has of a matrix: how it is made, and what it is."""
    dtype, rows, run = shape
    stored, width = matrix(number, shape, ranks), item_size(dtype)
    step = rows * ranks if run is None else run * ranks
    start, run = (0, step) if run is None else (rank * run, run)
    rows = 1 if shape[2] is None else rows
    copy = Copy(0, start, (step, 1), 0, (run, 1), (rows, run))
    if rows == 1:
        copy = Copy(0, start, (1,), 0, (1,), (run,))
    source = Source(None, f"matrix.{number}")
    name = name or f"share.{number}"
    transfer = Transfer("test", name, (rows, run), (source,), (copy,), (), dtype)
    begins = [(start + row * step) * width for row in range(rows)]
    data = b"".join(stored.data[begin : begin + run * width] for begin in begins)
    return transfer, Stored(dtype, (rows, run), data)


def rank_files(
    folder: Path, layer: list[Shape], ranks: int
) -> tuple[Found, list[OutputFile], list[dict[str, Stored]]]:
    """The source as it is found, a file a rank, and what is to be in each."""
    numbered = list(enumerate(layer))
    tensors = {f"matrix.{n}": matrix(n, shape, ranks) for n, shape in numbered}
    found: Found = {
        None: dict(read_header(str(write(folder / "in.safetensors", tensors))))
    }
    files, expected = [], []
    for rank in range(ranks):
        shares = [share(n, shape, ranks, rank) for n, shape in numbered]
        name = f"{rank}.safetensors"
        files.append(output_file(name, [one for one, _ in shares], None, {}, "0" * 64))
        expected.append({transfer.name: stored for transfer, stored in shares})
    return found, files, expected


def written(
    folder: Path, found: Found, groups: list[Siblings], size: int
) -> list[dict[str, Stored]]:
    """What is in the files once they are written in parts of a size."""
    assembler, files = Assembler(found, CHUNK, 0), [f for g in groups for f in g.files]
    for file in files:
        create_file(file, str(folder / file.name))
    for group in groups:
        clock = Clock(lambda count: None)
        with open_outputs(str(folder), group.files, (), clock) as outputs:
            for part in file_parts(group.files[0], size):
                write_siblings(assembler, group, part, outputs, clock)
    assembler.close()
    return [read(folder / file.name) for file in files]


@pytest.mark.parametrize("ranks", [2, 3, 4])
@pytest.mark.parametrize("size", [1, 500, 777, 8192, 1 << 20])
@pytest.mark.parametrize("at_once", [64, 640, 64 << 10])
def test_every_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranks: int, size: int, at_once: int
) -> None:
    monkeypatch.setattr(siblings, "SHORT_RUN", 100)
    monkeypatch.setattr(columns, "ALIGNED", at_once)
    monkeypatch.setattr(columns, "ROWS", 2 * CHUNK + ranks * at_once)
    found, files, expected = rank_files(tmp_path, LAYER, ranks)
    (group,) = find_siblings(found, files)
    assert [file.name for file in group.files] == [file.name for file in files]
    names = [group.files[0].tensors[n].transfer.name for n in group.shared]
    assert sorted(names) == ["share.1", "share.2", "share.5", "share.6"]
    assert written(tmp_path, found, [group], size) == expected


@given(size=st.integers(1, 20_000))
def test_stretches_are_all_bytes_once_and_whole_rows(
    tmp_path_factory: pytest.TempPathFactory, size: int
) -> None:
    found, files, _ = rank_files(tmp_path_factory.mktemp("parts"), LAYER, 2)
    (group,) = find_siblings(found, files)
    begins = len(files[0].header)
    for begin, end in file_parts(files[0], size):
        for low, high, number in group.stretches(begin, end):
            assert low == begins < high
            begins = high
            if number is None:
                assert begin <= low and high <= end
                continue
            tensor, run = files[0].tensors[number], group.shared[number].run
            assert begin <= low < end
            assert (low - tensor.begin) % run == (high - tensor.begin) % run == 0
            assert tensor.begin <= low and high <= tensor.begin + tensor.size
    assert begins == files[0].size


def test_reads_that_end_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system may read fewer bytes than it is asked for, in the middle of a piece or at its end."""
    lengths = iter(range(1, 1 << 30))
    preadv = os.preadv

    def a_few(descriptor: int, views: list[memoryview], position: int) -> int:
        length = 1 + next(lengths) % 700
        some: list[memoryview] = []
        for view in views:
            some.append(view[:length])
            length -= len(some[-1])
        return preadv(descriptor, some, position)

    found, files, expected = rank_files(tmp_path, LAYER, 3)
    monkeypatch.setattr(os, "preadv", a_few)
    assert written(tmp_path, found, find_siblings(found, files), 5000) == expected


def test_every_byte_is_verified(tmp_path: Path) -> None:
    """Parts that end within a row: those who check one look at what was written with it, and nobody else does."""
    found, files, _ = rank_files(tmp_path, LAYER, 2)
    (group,) = find_siblings(found, files)
    written(tmp_path, found, [group], 777)
    assembler, counts = Assembler(found, CHUNK, 0), []
    for part in file_parts(files[0], 777):
        verify_siblings(assembler, group, part, str(tmp_path), counts.append)
    assert sum(counts) == sum(file.size - len(file.header) for file in files)
    path = tmp_path / files[1].name
    for place in range(len(files[1].header), files[1].size, 97):
        flip_bit(path, place)
        with pytest.raises(ConversionError, match=re.escape(str(path))):
            for part in file_parts(files[0], 777):
                verify_siblings(assembler, group, part, str(tmp_path), counts.append)
        flip_bit(path, place)
    assembler.close()


def flip_bit(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_what_is_kept_is_not_written_again(tmp_path: Path) -> None:
    found, files, expected = rank_files(tmp_path, LAYER, 2)
    (group,) = find_siblings(found, files)
    written(tmp_path, found, [group], 5000)
    flip_bit(tmp_path / files[0].name, files[0].size - 1)
    assembler, clock = Assembler(found, CHUNK, 0), Clock(lambda count: None)
    kept = [files[0].name]
    with open_outputs(str(tmp_path), group.files, kept, clock) as outputs:
        part = (len(files[0].header), files[0].size)
        write_siblings(assembler, group, part, outputs, clock)
    assembler.close()
    assert [read(tmp_path / file.name) for file in files] == expected
    last = files[0].tensors[-1]
    assert clock.kept == last.begin - len(files[0].header)


def test_the_order_of_the_ranks_is_that_of_their_columns(tmp_path: Path) -> None:
    found, files, expected = rank_files(tmp_path, LAYER, 3)
    (group,) = find_siblings(found, [files[2], files[0], files[1]])
    assert [file.name for file in group.files] == [file.name for file in files]
    assert written(tmp_path, found, [group], 5000) == expected


Change = Callable[[list[OutputFile], list[Transfer]], list[OutputFile]]


def without_last(files: list[OutputFile], others: list[Transfer]) -> list[OutputFile]:
    """A rank is missing, so the rows are not whole."""
    return files[:-1]


def another_tensor(files: list[OutputFile], others: list[Transfer]) -> list[OutputFile]:
    """A file has a tensor that the others do not have, so nothing lies where theirs does."""
    return [*files[:-1], output_file(files[-1].name, others, None, {}, "0" * 64)]


@pytest.mark.parametrize("change", [without_last, another_tensor])
def test_files_that_are_no_siblings(tmp_path: Path, change: Change) -> None:
    found, files, _ = rank_files(tmp_path, LAYER, 2)
    more, _ = share(0, LAYER[0], 2, 1, "more")
    changed = change(files, [more, *(t.transfer for t in files[-1].tensors)])
    groups = find_siblings(found, changed)
    assert [group.files for group in groups] == [(file,) for file in changed]
    assert all(group.shared == {} for group in groups)


def test_files_with_the_same_columns_are_in_several_sets(tmp_path: Path) -> None:
    found, files, _ = rank_files(tmp_path, LAYER, 2)
    again = [file._replace(name=f"again.{file.name}") for file in files]
    first, second, third = find_siblings(found, [*files, *again, files[1]])
    assert (first.files, second.files) == (tuple(files), tuple(again))
    assert third == siblings.alone(files[1])


@pytest.mark.parametrize("run", [63, 64, 127, 128, (32 << 10) - 1, 32 << 10])
def test_runs_that_are_neither_short_nor_long(tmp_path: Path, run: int) -> None:
    found, files, expected = rank_files(tmp_path, [("BF16", 5, run)], 2)
    groups = find_siblings(found, files)
    assert len(groups) == (1 if 256 <= 2 * run < 64 << 10 else 2)
    assert written(tmp_path, found, groups, 1 << 20) == expected


def test_more_files_than_share_a_buffer(tmp_path: Path) -> None:
    for ranks, count in ((16, 1), (17, 17)):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        found, files, expected = rank_files(folder, [("BF16", 37, 131)], ranks)
        groups = find_siblings(found, files)
        assert len(groups) == count
        assert written(folder, found, groups, 3000) == expected
