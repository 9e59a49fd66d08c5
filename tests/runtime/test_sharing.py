"""Sharing files out: every byte once, threads apart from each other, and all ending at nearly the same time."""

from __future__ import annotations

import heapq

import pytest
from mapc.templates.runtime.output_files import OutputFile
from mapc.templates.runtime.sharing import PART, Shares, file_parts
from mapc.templates.runtime.siblings import Siblings, alone

HEADER = b"x" * 4096


def files(*sizes: int) -> list[OutputFile]:
    """Files with as many bytes behind their headers."""
    return [
        OutputFile(str(number), HEADER, (), (), len(HEADER) + size)
        for number, size in enumerate(sizes)
    ]


def name_of(siblings: Siblings) -> str:
    """The name of a file without siblings."""
    (file,) = siblings.files
    return file.name


def shared_out(
    sizes: list[int], threads: int, together: int
) -> tuple[list[tuple[str, int, int]], list[int], list[int]]:
    """Threads of one speed: the parts in the order of taking, when each thread ends, the most writers to each file."""
    shares = Shares(list(map(alone, files(*sizes))), together)
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
            siblings, (begin, end) = found
            name = name_of(siblings)
            taken.append((name, begin, end))
            number = writing[thread] = int(name)
            most[number] = max(most[number], list(writing.values()).count(number))
            heapq.heappush(waiting, (now + end - begin, thread))
    return taken, ends, most


@pytest.mark.parametrize(("threads", "together"), [(1, 1), (1, 9), (2, 2), (4, 3)])
@pytest.mark.parametrize(
    "sizes",
    [
        [],
        [0],
        [1, 0, PART + 1],
        [100 * PART + 17],
        [PART * n + n for n in (60, 30, 40)],
        [3 * PART] * 163,
    ],
)
def test_every_byte_once(sizes: list[int], threads: int, together: int) -> None:
    taken, ends, _ = shared_out(sizes, threads, together)
    for number, size in enumerate(sizes):
        found = sorted(part[1:] for part in taken if part[0] == str(number))
        starts = [begin for begin, _ in found] + [len(HEADER) + size]
        assert starts[0] == len(HEADER)
        assert [end for _, end in found] == starts[1:]
        assert all(begin % PART == 0 for begin in starts[1:-1])
    assert max(ends) - min(ends) <= PART


def test_few_files_are_open_together() -> None:
    taken, _, _ = shared_out([3 * PART - len(HEADER)] * 6, 2, 2)
    left = dict.fromkeys("012345", 3)
    for name, _, _ in taken:
        left[name] -= 1
        assert sum(0 < parts < 3 for parts in left.values()) <= 2
        assert sum(0 < parts for parts in list(left.values())[: int(name)]) <= 1


def test_files_that_are_open_together_grow_side_by_side() -> None:
    taken, _, _ = shared_out([4 * PART - len(HEADER)] * 3, 1, 3)
    assert "".join(name for name, _, _ in taken) == "012012012012"


@pytest.mark.parametrize("sizes", [[60, 30, 40], [40, 40], [10, 20, 30, 39, 41]])
def test_threads_write_to_different_files(sizes: list[int]) -> None:
    """Two threads share a file only where what is left of the others is less than a part or two."""
    sizes = [size * PART for size in sizes]
    shares = Shares(list(map(alone, files(*sizes))), len(sizes))
    one, other = shares.take(), shares.take()
    together = 0
    while True:
        first, second = next(one, None), next(other, None)
        if first is None or second is None:
            break
        together += first[0] is second[0]
    assert together <= 2


def test_the_largest_begins() -> None:
    shares = Shares([alone(file) for file in files(20 * PART, 60 * PART, 40 * PART)], 3)
    takers = [shares.take() for _ in range(4)]
    assert [name_of(next(taker)[0]) for taker in takers] == ["1", "2", "0", "1"]


def test_parts() -> None:
    (file,) = files(100)
    assert list(file_parts(file, 32)) == [
        (4096, 4128),
        (4128, 4160),
        (4160, 4192),
        (4192, 4196),
    ]
    assert list(file_parts(file, 3000)) == [(4096, 4196)]
    assert list(file_parts(file, 4100)) == [(4096, 4100), (4100, 4196)]
