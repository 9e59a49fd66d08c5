"""The floor: a loop that only reads and writes, which no copy in user space on this machine goes below.

One buffer a thread, small enough to stay in the cache of its core; into files that have their space already, because
that is cheaper than letting them grow. It writes files of the sizes that the converter writes.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

CHUNK = 768 << 10


class Job(NamedTuple):
    """A range of a target, which is filled from `begin` on of the source's files, laid end to end."""

    target: int
    start: int
    stop: int
    begin: int


def copy_bytes(source: Path, target: Path, sizes: list[int], threads: int) -> float:
    """Fill files of these sizes below `target` from the files of `source`; the seconds that it took."""
    target.mkdir(parents=True)
    began = time.perf_counter()
    inputs = [os.open(path, os.O_RDONLY) for path in files_below(source)]
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    outputs = [os.open(target / str(n), flags, 0o644) for n in range(len(sizes))]
    for output, size in zip(outputs, sizes):
        _allocate(output, size)
    lengths = [os.fstat(descriptor).st_size for descriptor in inputs]
    with ThreadPoolExecutor(threads) as pool:
        work = [
            pool.submit(_copy, job, inputs, lengths, outputs[job.target])
            for job in _jobs(sizes, threads)
        ]
    for done in work:
        done.result()
    for descriptor in (*inputs, *outputs):
        os.close(descriptor)
    return time.perf_counter() - began


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _jobs(sizes: list[int], threads: int) -> list[Job]:
    """A job a file, but none of more than a thread's share of the bytes; the largest first."""
    jobs, begin = [], 0
    share = -(-sum(sizes) // (threads * CHUNK)) * CHUNK
    for target, size in enumerate(sizes):
        for start in range(0, size, share):
            stop = min(start + share, size)
            jobs.append(Job(target, start, stop, begin + start))
        begin += size
    return sorted(jobs, key=lambda job: job.start - job.stop)


def _copy(job: Job, inputs: list[int], lengths: list[int], output: int) -> None:
    with mmap.mmap(-1, CHUNK) as memory, memoryview(memory) as buffer:
        for start in range(job.start, job.stop, CHUNK):
            size = min(CHUNK, job.stop - start)
            filled = 0
            for which, offset, count in _pieces(
                lengths, job.begin + start - job.start, size
            ):
                with buffer[filled : filled + count] as piece:
                    os.preadv(inputs[which], [piece], offset)
                filled += count
            with buffer[:size] as chunk:
                os.pwrite(output, chunk, start)


def _pieces(
    lengths: list[int], start: int, size: int
) -> Iterator[tuple[int, int, int]]:
    """Where `size` bytes lie from `start` on: file, offset, count. Behind the last file comes the first."""
    start %= sum(lengths)
    which = 0
    while size:
        if start >= lengths[which]:
            start -= lengths[which]
            which = (which + 1) % len(lengths)
            continue
        count = min(size, lengths[which] - start)
        yield which, start, count
        start += count
        size -= count


def _allocate(descriptor: int, size: int) -> None:
    """Space on disk where the file system can; glibc's own fallback would write the file once more."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "fallocate"):
        libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, *2 * (ctypes.c_int64,))
        libc.fallocate(descriptor, 0, 0, size)
