"""Runs of tensors that are too large to list all of theirs."""

from __future__ import annotations

import pytest
from mapc.templates.runtime.checks import Source
from mapc.templates.runtime.output_files import OutputFile, output_file
from mapc.templates.runtime.plan import Transfer
from mapc.templates.runtime.recipe import Copy
from mapc.templates.runtime.runs import LONG_RUN, file_runs
from mapc.templates.runtime.stored import StoredTensor

ROWS, ROW, LATER = 1 << 30, LONG_RUN, 1000


def left_halves() -> tuple[OutputFile, StoredTensor]:
    """A file of 64 TiB: the left half of every row of a tensor that lies LATER bytes into another file."""
    copy = Copy(0, 0, (2 * ROW, 1), 0, (ROW, 1), (ROWS, ROW))
    source, shape = Source(None, "wide"), (ROWS, ROW)
    transfer = Transfer("test", "left", shape, (source,), (copy,), (), "U8")
    file = output_file("model.safetensors", [transfer], None, {}, "")
    size = 2 * ROWS * ROW
    return file, StoredTensor("U8", (ROWS, 2 * ROW), "source", LATER, size)


@pytest.mark.parametrize(
    "begin, end, rows",
    [
        (0, 1, [0]),
        (0, ROW, [0]),
        (ROW - 1, ROW + 1, [0, 1]),
        (5 * ROW, 8 * ROW, [5, 6, 7]),
        (ROWS * ROW - 1, ROWS * ROW, [ROWS - 1]),
    ],
)
def test_only_the_runs_of_a_part(begin: int, end: int, rows: list[int]) -> None:
    file, stored = left_halves()
    data = len(file.header)
    found = list(file_runs({None: {"wide": stored}}, file, data + begin, data + end))
    assert [(run.begin - data, run.end - data) for run in found] == [
        (row * ROW, (row + 1) * ROW) for row in rows
    ]
    assert [run.begin + run.shift for run in found] == [
        LATER + row * 2 * ROW for row in rows
    ]
    assert all(run.stored is stored for run in found)
