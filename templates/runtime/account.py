"""The account of a run: where its time goes, and the most memory that was seen.

It is kept while the run goes on and costs less than a hundredth of it: a thread reads two clocks after every
step of a chunk, and memory is looked at between phases and every 20 ms.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterable, Mapping

from .footprint import taken_memory

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
BETWEEN_LOOKS = 0.02  # seconds; a look takes 10 us


class Account:
    """What one run has spent so far. `announce` is called with every phase that begins."""

    def __init__(self, announce: Callable[[str], None] | None = None) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.peak_memory = 0
        self._announce = announce
        self._waited = {"reading": 0.0, "writing": 0.0}
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

    def look(self) -> None:
        """Look at the memory."""
        self._looked = time.perf_counter()
        self.peak_memory = max(self.peak_memory, taken_memory())

    def look_again(self) -> None:
        """Look at the memory where the last look was some time ago."""
        if time.perf_counter() - self._looked > BETWEEN_LOOKS:
            self.look()

    def share_out(self, clocks: Iterable[Clock]) -> None:
        """End `writing`, in which threads did several things; its time goes to these in proportion."""
        self.end()
        spent = {"reading": 0.0, "computing": 0.0, "writing": 0.0, "verifying": 0.0}
        for clock in clocks:
            computed = min(clock.computed, clock.filling.seconds)
            spent["reading"] += clock.filling.seconds - computed
            spent["computing"] += computed
            spent["writing"] += clock.writing.seconds
            spent["verifying"] += clock.verifying.seconds
            self._waited["reading"] += clock.filling.waited
            self._waited["writing"] += clock.writing.waited
        whole = sum(spent.values())
        if whole:
            share = self.seconds["writing"] / whole
            self.seconds |= {name: share * spent[name] for name in spent}
            self._waited = {name: share * s for name, s in self._waited.items()}

    def bound_by(self) -> str:
        """The phase that took longest; of reading and writing also whether they worked or waited."""
        return longest(self.seconds, self._waited)


def longest(seconds: Mapping[str, float], waited: Mapping[str, float]) -> str:
    """The phase of the most seconds, in words. Who waits half of the time waits for a disk."""
    phase = max(seconds, key=lambda name: seconds[name])
    if phase not in waited:
        return phase
    disk = waited[phase] > seconds[phase] / 2
    return f"{phase} ({'the disk' if disk else 'memory and the page cache'})"


class Spent:
    """Seconds of a thread, and those of them in which it did not run."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.waited = 0.0


class Clock:
    """What one thread spends its time on. It belongs to the thread that makes it."""

    def __init__(self, add: Callable[[int], None]) -> None:
        self.filling, self.writing, self.verifying = Spent(), Spent(), Spent()
        self.computed = 0.0  # of filling: outside of the system, that is not reading
        self._add = add
        self.start()

    def start(self) -> None:
        """The next step begins now."""
        self._now, self._ran = time.perf_counter(), time.thread_time()
        self._computing = _user_time()

    def filled(self) -> None:
        """A chunk has been put together."""
        self._lap(self.filling)

    def wrote(self, count: int) -> None:
        """A chunk of some bytes has been written."""
        self._lap(self.writing)
        self._add(count)

    def stop(self) -> None:
        """The last chunk of a part has been written."""
        self.computed += _user_time() - self._computing

    def verified(self) -> None:
        """What was written since `stop` has been compared."""
        self._lap(self.verifying)

    def _lap(self, spent: Spent) -> None:
        now, ran = time.perf_counter(), time.thread_time()
        passed = now - self._now
        spent.seconds += passed
        spent.waited += passed - (ran - self._ran)
        self._now, self._ran = now, ran


def _user_time() -> float:
    """The seconds that this thread has run outside of the system; 0 where that is not told by thread."""
    who = getattr(resource, "RUSAGE_THREAD", None)
    return 0.0 if who is None else resource.getrusage(who).ru_utime
