"""Sharing files out: every byte once, threads apart from each other, and all ending at nearly the same time."""

from __future__ import annotations

import heapq

import pytest
from mapc.templates.runtime.output_files import OutputFile
from mapc.templates.runtime.sharing import PARTS, SMALLEST_PART, Shares, file_parts
from mapc.templates.runtime.stream import CHUNK

HEADER = b"x" * 4096


def files(*sizes: int) -> list[OutputFile]:
    """Files with as many bytes behind their headers."""
    return [
        OutputFile(str(number), HEADER, (), (), len(HEADER) + size)
        for number, size in enumerate(sizes)
    ]


def shared_out(
    sizes: list[int], threads: int
) -> tuple[list[tuple[str, range]], list[int], list[int]]:
    """Threads of one speed: the parts in the order of taking, when each thread ends, the most writers to each file."""
    shares = Shares(files(*sizes), threads)
    taken, ends, most = [], [0] * threads, [0] * len(sizes)
    takers = [shares.take() for _ in range(threads)]
    writing: dict[int, int] = {}
    waiting = [(0, thread) for thread in range(threads)]
    while waiting:
        now, thread = heapq.heappop(waiting)
        writing.pop(thread, None)
        ends[thread] = now
        found = next(takers[thread], None)
        if found is not None:
            file, part = found
            taken.append((file.name, part))
            writing[thread] = int(file.name)
            most[int(file.name)] = max(
                most[int(file.name)], list(writing.values()).count(int(file.name))
            )
            heapq.heappush(waiting, (now + len(part), thread))
    return taken, ends, most


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize(
    "sizes",
    [
        [],
        [0],
        [1, 0, CHUNK + 1],
        [100 * SMALLEST_PART + 17],
        [SMALLEST_PART * n + n for n in (60, 30, 40)],
        [3 * SMALLEST_PART] * 163,
    ],
)
def test_every_byte_once(sizes: list[int], threads: int) -> None:
    taken, ends, _ = shared_out(sizes, threads)
    for number, size in enumerate(sizes):
        found = [part for name, part in taken if name == str(number)]
        found.sort(key=lambda part: part.start)
        starts = [part.start for part in found] + [len(HEADER) + size]
        assert starts[0] == len(HEADER)
        assert [part.stop for part in found] == starts[1:]
        assert all((start - len(HEADER)) % CHUNK == 0 for start in starts[:-1])
        assert all(part.step == 1 for part in found)
    late = max(ends) - min(ends)
    assert late <= max(SMALLEST_PART, sum(sizes) / (threads * PARTS) + CHUNK)


def test_one_thread_writes_whole_files() -> None:
    sizes = [5 * SMALLEST_PART, 9 * SMALLEST_PART]
    assert sorted(name for name, _ in shared_out(sizes, 1)[0]) == ["0", "1"]


@pytest.mark.parametrize("sizes", [[60, 30, 40], [40, 40], [10, 20, 30, 39, 41]])
def test_threads_write_to_different_files(sizes: list[int]) -> None:
    """Two threads share a file only where what is left of the others is less than a part or two."""
    sizes = [size * SMALLEST_PART for size in sizes]
    shares = Shares(files(*sizes), 2)
    one, other = shares.take(), shares.take()
    together = 0
    while True:
        first, second = next(one, None), next(other, None)
        if first is None or second is None:
            break
        together += first[0].name == second[0].name
    assert together <= 2


def test_the_largest_begins() -> None:
    shares = Shares(files(*(n * SMALLEST_PART for n in (20, 60, 40))), 2)
    takers = [shares.take() for _ in range(4)]
    assert [next(taker)[0].name for taker in takers] == ["1", "2", "0", "1"]


def test_parts() -> None:
    (file,) = files(10 * CHUNK + 5)
    assert file_parts(file, 4 * CHUNK) == [
        range(4096, 4096 + 4 * CHUNK),
        range(4096 + 4 * CHUNK, 4096 + 8 * CHUNK),
        range(4096 + 8 * CHUNK, 4096 + 10 * CHUNK + 5),
    ]
