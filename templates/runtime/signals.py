"""SIGINT and SIGTERM end a run of the command line by an exception, the first of them only.

So what is cleaned up then is cleaned up to the end, however often somebody asks for it.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import Any


class Terminated(KeyboardInterrupt):
    """SIGTERM came: the run ends as it does after an interrupt."""


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """In the block the first SIGINT raises KeyboardInterrupt, or the first SIGTERM Terminated; later ones do nothing.

    Only in the main thread, and only where the caller of the program has not set something else.
    """
    usual: dict[signal.Signals, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
    }
    in_main = current_thread() is main_thread()
    taken = [n for n in usual if in_main and signal.getsignal(n) is usual[n]]

    def end(number: int, frame: Any) -> None:
        for other in taken:
            signal.signal(other, lambda number, frame: None)
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    try:
        for number in taken:
            signal.signal(number, end)
        yield
    finally:
        for number in taken:
            signal.signal(number, usual[number])
