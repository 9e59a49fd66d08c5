"""Where the time of a run goes, in words and numbers."""

from __future__ import annotations

import time

import pytest
from mapc.templates.runtime.account import PHASES, Account, Clock, longest


def test_phases_add_up() -> None:
    announced: list[str] = []
    began = time.perf_counter()
    account = Account(announced.append)
    for phase in ("reading headers", "planning", "writing", "finishing"):
        account.begin(phase)
        time.sleep(0.002)
    account.end()
    whole = time.perf_counter() - began
    assert announced == ["reading headers", "planning", "writing", "finishing"]
    assert tuple(account.seconds) == PHASES
    assert all(account.seconds[phase] >= 0.002 for phase in announced)
    assert 0.008 <= sum(account.seconds.values()) <= whole
    assert account.peak_memory > 1_000_000


def clock(filling: float, computed: float, writing: float, verifying: float) -> Clock:
    """A thread that has spent so many seconds."""
    made = Clock(lambda count: None)
    made.filling.seconds, made.computed = filling, computed
    made.writing.seconds, made.verifying.seconds = writing, verifying
    return made


def test_what_threads_did_at_the_same_time() -> None:
    account = Account()
    account.begin("writing")
    time.sleep(0.01)
    account.share_out([clock(3, 1, 2, 0), clock(1, 2, 1, 3)])
    whole = sum(account.seconds[phase] for phase in PHASES[3:])
    assert whole >= 0.01
    shares = {phase: account.seconds[phase] / whole for phase in PHASES[3:]}
    assert shares == pytest.approx(
        # a thread cannot have computed longer than it has filled chunks
        {
            "reading": 0.2,
            "computing": 0.2,
            "writing": 0.3,
            "verifying": 0.3,
            "finishing": 0,
        }
    )


def test_a_clock_tells_steps_apart() -> None:
    counts: list[int] = []
    made = Clock(counts.append)
    busy = time.thread_time() + 0.02
    while time.thread_time() < busy:
        pass
    made.filled()
    time.sleep(0.02)
    made.wrote(17)
    made.stop()
    assert counts == [17]
    assert made.filling.seconds >= 0.02 and made.filling.waited <= made.filling.seconds
    assert made.writing.seconds >= 0.02
    assert made.writing.waited >= 0.9 * made.writing.seconds
    assert made.verifying.seconds == 0


@pytest.mark.parametrize(
    "seconds, waited, said",
    [
        ({"planning": 2, "reading": 1}, {"reading": 1, "writing": 0}, "planning"),
        ({"reading": 2, "computing": 3}, {"reading": 2, "writing": 0}, "computing"),
        (
            {"reading": 2, "writing": 1},
            {"reading": 0.9, "writing": 1},
            "reading (memory and the page cache)",
        ),
        (
            {"reading": 2, "writing": 3},
            {"reading": 0, "writing": 1.6},
            "writing (the disk)",
        ),
    ],
)
def test_bound_by(
    seconds: dict[str, float], waited: dict[str, float], said: str
) -> None:
    assert longest(seconds, waited) == said
