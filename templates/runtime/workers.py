"""Working on several files at once: how many threads the memory allows, and what ends them.

What is written does not depend on how many threads there are.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Lock
from typing import TypeAlias

from .errors import ConversionError

# progress(done, total), in bytes
Progress: TypeAlias = "Callable[[int, int], None]"


def choose_threads(
    wanted: int | None, per_thread: int, held: int, max_memory: int | None
) -> int:
    """How many threads to run: as wanted, and fewer where the memory does not suffice.

    Each takes `per_thread` bytes besides the `held` ones. ConversionError where not even one fits.
    """
    threads = wanted or min(4, os.cpu_count() or 1)
    if max_memory is None:
        return threads
    if held + per_thread > max_memory:
        raise ConversionError(
            f"--max-memory: expected {held + per_thread} bytes or more, {held} for tensors that torch holds "
            f"and {per_thread} a thread, found {max_memory}"
        )
    return min(threads, (max_memory - held) // per_thread)


class Meter:
    """Adds up what the threads have done, reports it, and tells them when to stop."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total, self._progress = total, progress
        self._done = 0
        self._lock = Lock()
        self.stopped = False

    def add(self, count: int) -> None:
        """Count some bytes; raises Stopped where the work is to end."""
        if self.stopped:
            raise Stopped
        with self._lock:
            self._done += count
            if self._progress is not None:
                self._progress(self._done, self._total)


class Stopped(Exception):
    """Another thread failed, or the user interrupts."""


def run_jobs(jobs: Sequence[Callable[[], None]], threads: int, meter: Meter) -> None:
    """Run every job, and raise what the first that fails raises once all have ended."""
    if threads == 1:
        for job in jobs:
            job()
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="convert") as pool:
        try:
            with _no_interrupt():
                futures = [pool.submit(job) for job in jobs]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            meter.stopped = True
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """An interrupt comes at the end: one that comes while a thread is being started would leave it half made."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
