"""The progress of a conversion, on one line of a terminal."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

from .sizes import size_text

WIDTH = 70  # characters that are overwritten
BETWEEN = 0.2  # seconds from one line to the next
WINDOW = 5.0  # seconds that the rate is taken from


class ProgressLine:
    """Shows what is being done, then how far it is. `clock` gives seconds, from any moment on."""

    def __init__(
        self, out: TextIO, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._out, self._clock = out, clock
        self._seen: deque[tuple[float, int]] = deque()  # (when, done), the oldest first
        self._open = False

    def announce(self, phase: str) -> None:
        """Show what begins now. The rate is that of what follows, and not known yet."""
        self._seen.clear()
        self._seen.append((self._clock(), 0))
        self._write(f"{phase} ...")

    def show(self, done: int, total: int) -> None:
        """Show how many bytes are done, and those to come at the rate of the last seconds."""
        now = self._clock()
        if not self._seen:
            self._seen.append((now, 0))
        if done < total and now - self._seen[-1][0] < BETWEEN:
            return
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] >= WINDOW:
            self._seen.popleft()
        begin, before = self._seen[0]
        rate = (done - before) / (now - begin or 1)
        self._write(
            f"{100 * done // max(total, 1):3}%  {size_text(done)} of {size_text(total)}, "
            f"{size_text(rate)}/s, {_duration((total - done) / max(rate, 1))} left"
        )

    def end(self) -> None:
        """Take the line away, for what is printed next."""
        if self._open:
            self._out.write(f"\r{'':<{WIDTH}}\r")
            self._out.flush()
            self._open = False

    def _write(self, text: str) -> None:
        self._out.write(f"\r{text:<{WIDTH}}")
        self._out.flush()
        self._open = True


def _duration(seconds: float) -> str:
    """`42 s`, `3:07 min` or `2:15 h`."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole // 60 % 60:02} h"
