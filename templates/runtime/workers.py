"""Working on several files at once: how many threads the memory allows, and what ends them.

What is written does not depend on how many threads there are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import NamedTuple, TypeAlias

from .account import Account
from .footprint import too_little, usable_cores
from .interrupts import uninterrupted
from .sizes import size_text

# progress(done, total), in bytes
Progress: TypeAlias = "Callable[[int, int], None]"


class Needs(NamedTuple):
    """The memory of a run, in bytes: what is taken before the threads begin, and what they add."""

    taken: int  # the process with what it has imported, and the plan
    held: int  # of `taken`, for tensors that torch holds
    rest: int  # for what comes besides the threads
    thread: int  # for each


def choose_threads(wanted: int | None, needs: Needs, max_memory: int | None) -> int:
    """How many threads to run: as wanted, and fewer where the memory does not suffice.

    ConversionError where not even one fits.
    """
    threads = wanted or min(4, usable_cores())
    if max_memory is None:
        return threads
    free = max_memory - needs.taken - needs.rest
    if free < needs.thread:
        held = size_text(needs.held)
        raise too_little(
            max_memory - free + needs.thread,
            max_memory,
            f"the process takes {size_text(needs.taken)} once all is planned"
            f"{f', {held} of it for tensors that torch holds' if needs.held else ''}, "
            f"a thread {size_text(needs.thread)}, the rest {size_text(needs.rest)}",
        )
    return min(threads, free // needs.thread)


class Meter:
    """Adds up what the threads have done, reports it, and tells them when to stop."""

    def __init__(self, total: int, progress: Progress | None, account: Account) -> None:
        self._total, self._progress, self.account = total, progress, account
        self._done = 0
        self._lock = Lock()
        self.stopped = False

    def add(self, count: int) -> None:
        """Count some bytes; raises Stopped where the work is to end."""
        if self.stopped:
            raise Stopped
        with self._lock:
            self._done += count
            self.account.look_again()
            if self._progress is not None:
                self._progress(self._done, self._total)


class Stopped(Exception):
    """Another thread failed, or the user interrupts."""


def run_threads(work: Callable[[], None], threads: int, meter: Meter) -> None:
    """Run `work` in this thread and as many more as make up `threads`.

    Once all have ended, raises what the first that failed has raised.
    """
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 (raised again below)
            meter.stopped = True
            failures.append(error)

    def run(ended: Event) -> None:
        guarded()
        ended.set()

    ends = [Event() for _ in range(threads - 1)]
    others = [Thread(target=run, name="convert", args=(end,)) for end in ends]
    try:
        with uninterrupted():
            for other in others:
                other.start()
        guarded()
        _join(others, ends)
    except BaseException:  # an interrupt between two lines
        meter.stopped = True
        _join(others, ends)
        raise
    if failures:
        raise failures[0]


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """torch, if it is loaded, stays in the thread that calls it: waiting for others takes longer than a chunk."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _join(threads: list[Thread], ends: list[Event]) -> None:
    """Wait until the threads have ended. A join that is interrupted would take one for ended that still runs."""
    for thread, end in zip(threads, ends):
        if thread.ident is not None:  # it was started
            end.wait()
            thread.join()
