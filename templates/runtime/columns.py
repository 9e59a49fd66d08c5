"""Writing siblings: their own bytes file after file, and the rows that they share into all files at once.

Whole rows are read in the order of the source, and one read puts the runs of every file into its part of a buffer.
What is written ends on multiples of its size in the file; the rest of the last row is kept for the next write.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from .account import Clock
from .siblings import Siblings
from .stream import CHUNK, ROWS, Assembler, OpenOutput, write_part

ALIGNED = 64 << 10  # bytes; what is written at once is a multiple


def write_siblings(
    assembler: Assembler,
    siblings: Siblings,
    part: tuple[int, int],
    outputs: Sequence[OpenOutput],
    clock: Clock,
) -> None:
    """Write a part of all siblings; the clock is told of every step."""
    for low, high, number in siblings.stretches(*part):
        if number is None:
            for file, output in zip(siblings.files, outputs):
                write_part(assembler, file, (low, high), output)
            continue
        for place, views in shared_chunks(assembler, siblings, number, low, high):
            clock.filled()
            for output, view in zip(outputs, views):
                output.write(view, place)
            clock.wrote(sum(map(len, views)))


def shared_chunks(
    assembler: Assembler, siblings: Siblings, number: int, low: int, end: int
) -> Iterator[tuple[int, list[memoryview]]]:
    """The bytes [low, end) of a shared tensor of all siblings, which are whole rows.

    Chunk by chunk: where it begins in every file, and what each gets until the next is asked for.
    """
    columns, run = siblings.shared[number], siblings.shared[number].run
    count, begin = len(siblings.files), siblings.files[0].tensors[number].begin
    size = (ROWS - 2 * CHUNK) // count // ALIGNED * ALIGNED
    room = size + 2 * run
    views = [assembler.rows[share * room :][:room] for share in range(count)]
    start = columns.start + (low - begin) // run * columns.step
    kept = 0  # bytes of a row that was read and not yet written: they stand before the rows
    while low < end:
        high = min(low - low % size + size, end)
        rows = -((low + kept - high) // run)
        reads = assembler.pieces.get(
            (count, run, rows), partial(_pieces_of_rows, views, run, rows)
        )
        assembler.reader.scatter(columns.stored, start, reads)
        first, last = run - kept, run - kept + high - low
        yield low, [view[first:last] for view in views]
        kept += rows * run - (high - low)
        for view in views:
            view[run - kept : run] = view[last : last + kept]
        start += rows * columns.step
        low = high


def _pieces_of_rows(views: list[memoryview], run: int, rows: int) -> list[memoryview]:
    """The runs of all views, row by row, behind the first `run` bytes of each."""
    begins = range(run, run + rows * run, run)
    return [view[begin : begin + run] for begin in begins for view in views]
