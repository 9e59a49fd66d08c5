"""The account of a run: where its time goes, and the most memory that was seen.

It is kept while the run goes on and costs less than a hundredth of it: a thread reads its clocks around every part, and
around the steps of one chunk in eight. Memory is looked at between phases and every 20 ms.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence

from .footprint import taken_memory, usable_cores

# Of a run, in order. Those from reading to verifying go on at the same time, on all threads.
PHASES = (
    "reading headers",
    "planning",
    "checking values",
    "reading",
    "computing",
    "writing",
    "verifying",
    "finishing",
)
# What reading and writing can be held up by: work of the system, or waiting.
MEMORY, DISK = "memory and the page cache", "the disk"
OTHERS = "waiting, for a disk or for each other"
BETWEEN_LOOKS = 0.02  # seconds; a look takes 10 us
SAMPLE = 8  # of so many chunks, the steps of one are timed
TOLD = 1 << 22  # bytes; progress is told of so many at once


class Account:
    """What one run has spent so far. `announce` is called with every phase that begins."""

    def __init__(self, announce: Callable[[str], None] | None = None) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.peak_memory = 0
        self.kept = 0  # bytes that were in the files already
        self._announce = announce
        self._held_up_by = {"reading": MEMORY, "writing": MEMORY}
        self._phase = "planning"  # what comes before the first is that
        self._began = time.perf_counter()
        self._looked = 0.0

    def begin(self, phase: str) -> None:
        """End the phase before, and begin one of PHASES."""
        self.end()
        self._phase = phase
        if self._announce is not None:
            self._announce(phase)

    def end(self) -> None:
        """The time since the phase began is its own."""
        now = time.perf_counter()
        if self._phase:
            self.seconds[self._phase] += now - self._began
        self._phase, self._began = "", now
        self.look()

    def spent(self) -> float:
        """The seconds until now."""
        return sum(self.seconds.values()) + time.perf_counter() - self._began

    def look(self) -> None:
        """Look at the memory."""
        self._looked = time.perf_counter()
        self.peak_memory = max(self.peak_memory, taken_memory())

    def look_again(self) -> None:
        """Look at the memory where the last look was some time ago."""
        if time.perf_counter() - self._looked > BETWEEN_LOOKS:
            self.look()

    def share_out(self, clocks: Sequence[Clock], files: int) -> None:
        """End `writing`, in which threads did several things; its time goes to these in proportion.

        `files` is how many the threads wrote to.
        """
        self.end()
        self.kept = sum(clock.kept for clock in clocks)
        spent = {"reading": 0.0, "computing": 0.0, "writing": 0.0, "verifying": 0.0}
        for clock in clocks:
            spent["reading"] += clock.filling.seconds - clock.computed
            spent["computing"] += clock.computed
            spent["writing"] += clock.writing.seconds
            spent["verifying"] += clock.verifying.seconds
        whole = sum(spent.values())
        if whole:
            share = self.seconds["writing"] / whole
            self.seconds |= {name: share * spent[name] for name in spent}
        ran = {
            "reading": sum(clock.filling.ran - clock.computed for clock in clocks),
            "writing": sum(clock.writing.ran for clock in clocks),
        }
        # Threads take turns where there are more of them than cores, and where they write to one file.
        threads, cores = len(clocks), usable_cores()
        turns = {
            "reading": threads / cores,
            "writing": threads / min(cores, files or 1),
        }
        for name, seconds in ran.items():
            if max(1.0, turns[name]) * seconds < spent[name] / 2:
                self._held_up_by[name] = DISK if threads == 1 else OTHERS
        if sum(c.fetched for c in clocks) > sum(c.written for c in clocks) / 2:
            self._held_up_by["reading"] = DISK

    def bound_by(self) -> str:
        """The phase that took longest; of reading and writing also what held them up."""
        phase = max(self.seconds, key=lambda name: self.seconds[name])
        why = self._held_up_by.get(phase)
        return phase if why is None else f"{phase} ({why})"


class Spent:
    """Seconds of a thread, and those of them in which it ran."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.ran = 0.0


class Clock:
    """What one thread spends its time on. It belongs to the thread that makes it."""

    def __init__(self, add: Callable[[int], None]) -> None:
        self.filling, self.writing, self.verifying = Spent(), Spent(), Spent()
        self.computed = 0.0  # seconds of filling outside of the system: not reading
        self.fetched = 0  # bytes of the source that were not in the page cache
        self.written = 0  # bytes
        self.kept = 0  # bytes of them that were there already
        self._add, self._told = add, 0
        self.start()

    def start(self) -> None:
        """A part begins now."""
        self._steps = (
            Spent(),
            Spent(),
        )  # filling and writing, of the chunks that are timed
        self._chunks, self._used = 0, _used()
        self._began = self._last = time.perf_counter(), time.thread_time()

    def filled(self) -> None:
        """A chunk has been put together."""
        if self._chunks % SAMPLE == 0:
            self._lap(self._steps[0])

    def wrote(self, count: int) -> None:
        """A chunk of some bytes has been written."""
        if self._chunks % SAMPLE == 0:
            self._lap(self._steps[1])
        self._chunks += 1
        if self._chunks % SAMPLE == 0:
            self._last = time.perf_counter(), time.thread_time()
        self.written += count
        if self.written - self._told >= TOLD:
            self._tell()

    def stop(self) -> None:
        """The last chunk of a part has been written."""
        self._tell()
        whole, self._last = Spent(), self._began
        self._lap(whole)
        filling, writing = self._steps
        _add_share(self.filling, whole, filling, writing)
        _add_share(self.writing, whole, writing, filling)
        (user, fetched), (user_before, fetched_before) = _used(), self._used
        self.computed = min(self.computed + user - user_before, self.filling.ran)
        self.fetched += fetched - fetched_before

    def verified(self) -> None:
        """What was written since `stop` has been compared."""
        self._lap(self.verifying)

    def _tell(self) -> None:
        self._add(self.written - self._told)
        self._told = self.written

    def _lap(self, spent: Spent) -> None:
        (now, ran), (before, ran_before) = (
            (time.perf_counter(), time.thread_time()),
            self._last,
        )
        spent.seconds += now - before
        spent.ran += ran - ran_before
        self._last = now, ran


def _add_share(spent: Spent, whole: Spent, one: Spent, other: Spent) -> None:
    """Of the time of a part, what one of two steps took, as they did in the chunks that were timed."""
    if one.seconds:
        spent.seconds += whole.seconds * one.seconds / (one.seconds + other.seconds)
    if one.ran:
        spent.ran += whole.ran * one.ran / (one.ran + other.ran)


def _used() -> tuple[float, int]:
    """The seconds that this thread has run outside of the system, and the bytes that it had fetched from a disk.

    0 where that is not told by thread.
    """
    if not hasattr(resource, "RUSAGE_THREAD"):
        return 0.0, 0
    usage = resource.getrusage(resource.RUSAGE_THREAD)
    return usage.ru_utime, 512 * usage.ru_inblock
