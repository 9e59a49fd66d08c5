"""Where the time of a run goes, in words and numbers."""

from __future__ import annotations

import time

import pytest
from mapc.templates.runtime.account import PHASES, Account, Clock


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
    account.share_out([clock(3, 1, 2, 0), clock(2, 1, 1, 3)], 2)
    whole = sum(account.seconds[phase] for phase in PHASES[3:])
    assert whole >= 0.01
    shares = {phase: account.seconds[phase] / whole for phase in PHASES[3:]}
    assert shares == pytest.approx(
        {
            "reading": 3 / 11,
            "computing": 2 / 11,
            "writing": 3 / 11,
            "verifying": 3 / 11,
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
    # What a part took is split as the chunks were that were timed, so not to the last microsecond.
    assert made.filling.seconds > 0.0199 and made.filling.ran > 0.0199
    assert made.writing.seconds > 0.0199 > 2 * made.writing.ran
    assert made.verifying.seconds == 0


MEMORY, DISK = "(memory and the page cache)", "(the disk)"
OTHERS = "(waiting, for a disk or for each other)"


def bound_by(*clocks: Clock, files: int = 9) -> str:
    """What bounds a run in which these threads did so much at the same time, in so many files."""
    account = Account()
    account.begin("writing")
    time.sleep(0.01)
    account.share_out(clocks, files)
    return account.bound_by()


@pytest.mark.parametrize(
    "filled, computed, wrote, verified, said",
    [
        ((3, 3), 0, (2, 2), 0, f"reading {MEMORY}"),
        ((3, 1.6), 0, (2, 0), 0, f"reading {MEMORY}"),
        ((3, 1.4), 0, (2, 2), 0, f"reading {DISK}"),
        ((3, 1.6), 0.5, (2, 2), 0, f"reading {DISK}"),
        ((3, 3), 2, (1, 1), 0, "computing"),
        ((3, 3), 0, (4, 2.1), 0, f"writing {MEMORY}"),
        ((3, 3), 0, (4, 1.9), 0, f"writing {DISK}"),
        ((3, 3), 0, (4, 4), 5, "verifying"),
    ],
)
def test_bound_by(
    filled: tuple[float, float],
    computed: float,
    wrote: tuple[float, float],
    verified: float,
    said: str,
) -> None:
    made = clock(filled[0], computed, wrote[0], verified)
    made.filling.ran, made.writing.ran = filled[1], wrote[1]
    assert bound_by(made) == said


@pytest.mark.parametrize("fetched, said", [(60, DISK), (40, MEMORY)])
def test_a_source_that_is_not_cached(fetched: int, said: str) -> None:
    made = clock(3, 0, 2, 0)
    made.filling.ran, made.written, made.fetched = 3, 100, fetched
    assert bound_by(made) == f"reading {said}"


@pytest.mark.parametrize(
    "threads, cores, files, ran, said",
    [
        (1, 9, 9, 0.6, MEMORY),
        (1, 9, 9, 0.4, DISK),
        (4, 1, 9, 0.15, MEMORY),
        (4, 1, 9, 0.1, OTHERS),
        (4, 9, 2, 0.3, MEMORY),
        (4, 9, 2, 0.2, OTHERS),
    ],
)
def test_threads_that_take_turns(
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
    cores: int,
    files: int,
    ran: float,
    said: str,
) -> None:
    """On one core, or in one file, four threads cannot each write for more than a quarter of the time."""
    monkeypatch.setattr("mapc.templates.runtime.account.usable_cores", lambda: cores)
    clocks = [clock(0, 0, 1, 0) for _ in range(threads)]
    for made in clocks:
        made.writing.ran = ran
    assert bound_by(*clocks, files=files) == f"writing {said}"
