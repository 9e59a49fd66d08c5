"""kill -9 at any moment: the target does not exist or is complete, and the next run makes it.

Moments are chosen by step, in each phase of a run, and by time. Which phase was hit is counted, so that the test
cannot come to try one of them only.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from random import Random
from typing import Any, NamedTuple

import pytest

from .children import (
    PHASES,
    Ended,
    Place,
    content,
    convert,
    convert_here,
    end,
    phase_of,
    start,
    steps_in,
)

SLOW = 0.004  # seconds that a step takes longer where the moment is chosen by time


class Run(NamedTuple):
    """A run that is to be killed: how it is started, when it is hit, and how the next one is started."""

    overwrite: bool
    threads: int
    exchange: bool  # whether the system can exchange folders in one step
    by_time: bool
    phase: str
    resumed: bool

    def arguments(self) -> tuple[str, ...]:
        overwrite = ["--overwrite"] if self.overwrite else []
        return ("--threads", str(self.threads), *overwrite)


def drawn(number: int) -> Run:
    """The run of a number: all combinations come in turn."""
    return Run(
        overwrite=number % 2 == 1,
        threads=1 + number // 2 % 2,
        exchange=number % 7 != 6,
        by_time=number % 5 == 4,
        phase=PHASES[number % 3],
        resumed=number // 4 % 2 == 1,
    )


class Killer:
    """Starts runs and kills them. What steps a run has is seen once for each kind of run."""

    def __init__(self, place: Place, seed: int) -> None:
        self._place, self._random = place, Random(seed)
        self._steps: dict[tuple[str, ...], tuple[str, ...]] = {}

    def kill(self, run: Run) -> str:
        """Kill a run; the phase in which it was hit."""
        ended = self._by_time(run) if run.by_time else self._at_a_step(run)
        assert (ended.code, ended.out, ended.err) == (-signal.SIGKILL, "", "")
        return phase_of(ended.steps)

    def _at_a_step(self, run: Run) -> Ended:
        """The process kills itself when it is about to do a step of the phase."""
        steps = self._steps_of(run)
        at = self._random.choice(steps_in(run.phase, steps))
        return self._run(run, {"signals": {str(at): signal.SIGKILL}})

    def _by_time(self, run: Run) -> Ended:
        """It is killed from outside, some time after its first step. Steps take longer, so that a run takes some time."""
        seconds = len(self._steps_of(run)) * SLOW / run.threads
        place = self._place
        place.set_up(run.overwrite)
        fault = {"told": True, "slow": SLOW, "exchange": run.exchange}
        process = start(place, fault, *place.command(), *run.arguments())
        assert process.stderr is not None
        first = process.stderr.readline()
        time.sleep(self._random.random() * seconds)
        process.kill()
        ended = end(process)
        return ended._replace(steps=(first[5:], *ended.steps))

    def _steps_of(self, run: Run) -> tuple[str, ...]:
        kind = (*run.arguments(), str(run.exchange))
        if kind not in self._steps:
            ended = self._run(run, {})
            assert (ended.code, ended.err) == (0, "")
            assert self._place.check() == "whole"
            assert sorted(os.listdir(self._place.folder)) == ["hf", "mcore"]
            self._steps[kind] = ended.steps
        return self._steps[kind]

    def _run(self, run: Run, fault: dict[str, Any]) -> Ended:
        self._place.set_up(run.overwrite)
        fault |= {"told": True, "exchange": run.exchange}
        return convert(self._place, fault, *run.arguments())


def run_again(place: Place, run: Run, state: str) -> int:
    """The next run, after which all is as it has to be; the bytes that it found there, if it was to go on."""
    aside = place.folder / ".mcore.mapc-replaced"
    command = (*run.arguments(), "--json", *(["--resume"] if run.resumed else []))
    if state == "none" and aside.exists():  # the only moment in which neither is there
        assert run.overwrite and not run.exchange
        assert content(aside) == place.old
        assert convert_here(place.folder, *command)[0] == 1
        aside.rename(place.folder / "mcore")
    code, out = convert_here(place.folder, *command)
    assert place.check(run.overwrite) == "whole"
    if state == "whole" and not run.overwrite:
        assert code == 1
        return 0
    assert code == 0, out
    assert sorted(os.listdir(place.folder)) == ["hf", "mcore"]
    kept: int = json.loads(out)["bytes_kept"]
    assert run.resumed or kept == 0
    return kept


def kill_many(place: Place, count: int) -> None:
    killer = Killer(place, seed=count)
    hit: Counter[str] = Counter()
    left: Counter[str] = Counter()
    kept = []
    for number in range(count):
        run = drawn(number)
        hit[killer.kill(run)] += 1
        state = place.check(run.overwrite)
        left[state] += 1
        kept.append(run_again(place, run, state))
    for phase in PHASES:
        assert hit[phase] >= count // 5, hit
    for state in ("none", "old", "whole"):
        assert left[state] >= count // 20, left
    assert sum(map(bool, kept)) >= count // 10, kept


def test_killed(place: Place) -> None:
    kill_many(place, 20)


@pytest.mark.long
def test_killed_often(place: Place) -> None:
    kill_many(place, 200)
