"""Signals at any step: the source stays, the target is whole or not there, and the exit code says which it was."""

from __future__ import annotations

import os
import signal
import threading
import time
from random import Random
from typing import Any

import pytest
from mapc.templates.runtime.account import Account
from mapc.templates.runtime.workers import Meter, run_threads

from .children import PARTIAL, PHASES, Ended, Place, convert, convert_here, steps_in

ENDS = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated")}


def test_calls_that_are_interrupted(place: Place) -> None:
    ended = convert(place, {"alarm": 0.0005}, "--quiet", "--verify")
    assert ended == Ended(0, "", "", ())
    assert place.check() == "whole"


def signalled(place: Place, count: int) -> None:
    """Signals at steps that are drawn, most of them followed by more while the run cleans up."""
    random, seen = Random(count), set()
    steps: dict[tuple[str, ...], tuple[str, ...]] = {}
    for number in range(count):
        overwrite, resumed = number % 2 == 1, number // 2 % 2 == 1
        arguments = ("--overwrite",) * overwrite + ("--resume",) * resumed
        arguments += ("--threads", str(1 + number // 4 % 2))
        fault = {"told": True, "exchange": number % 5 != 4}
        kind = (*arguments, str(number % 5 != 4))
        if kind not in steps:
            place.set_up(overwrite)
            ended = convert(place, fault, *arguments)
            assert (ended.code, ended.err) == (0, "")
            steps[kind] = ended.steps
        first = random.choice(list(ENDS))
        at = random.choice(steps_in(PHASES[number % 3], steps[kind][:-1]))
        signals = {at: first}
        for more in range(at + 1, at + 1 + random.randrange(4)):
            signals[more] = random.choice(list(ENDS))
        place.set_up(overwrite)
        ended = convert(place, fault | {"signals": signals}, *arguments)
        state = place.check(overwrite)
        seen.add((state, resumed))
        left = "--resume goes on" if resumed else "nothing is left behind"
        told = (signals, ended.steps[at:])
        ends = {
            (code, f"error: {word}, {left}\n")
            for code, word in (ENDS[number] for number in signals.values())
        }
        assert (ended.code, ended.err) in ends, told
        names = {"hf", *(["mcore"] if state != "none" else [])}
        assert (
            set(os.listdir(place.folder)) - ({PARTIAL} if resumed else set()) == names
        )
        assert state != "none" or not overwrite, told
        if state == "none" or overwrite:
            assert convert_here(place.folder, "--quiet", *arguments) == (0, "")
        assert place.check() == "whole"
        assert sorted(os.listdir(place.folder)) == ["hf", "mcore"]
    assert {state for state, _ in seen} == {"none", "old", "whole"}, seen


def test_signals(place: Place) -> None:
    signalled(place, 15)


@pytest.mark.long
def test_many_signals(place: Place) -> None:
    signalled(place, 200)


def test_a_signal_while_the_lock_is_taken(place: Place) -> None:
    """It comes when the lock is there and can be given back."""
    at = convert(place, {"told": True, "slow": 0}).steps.index("fcntl.flock")
    place.set_up(overwrite=False)
    fault = {"told": True, "signals": {at: signal.SIGTERM}}
    assert convert(place, fault).code == 143
    assert os.listdir(place.folder) == ["hf"]


def test_a_signal_while_a_failed_run_cleans_up(place: Place) -> None:
    fault: dict[str, Any] = {"told": True, "limit": 1_000_000, "reserve": False}
    steps = convert(place, fault).steps
    at = next(n for n, step in enumerate(steps) if step.startswith("os.remove"))
    assert "lock" not in steps[at]
    ended = convert(place, fault | {"signals": {at: signal.SIGINT}})
    assert ended.code == 130
    assert ended.err == "error: interrupted, nothing is left behind\n"
    assert os.listdir(place.folder) == ["hf"]


def test_threads_have_ended_after_an_interrupt() -> None:
    """The interrupt comes while the main thread waits for another one, which goes on for a while."""
    main, events = threading.main_thread(), []

    def work() -> None:
        if threading.current_thread() is not main:
            time.sleep(0.1)
            events.append("interrupt")
            signal.pthread_kill(main.ident or 0, signal.SIGINT)
            time.sleep(0.2)
            events.append("end")

    with pytest.raises(KeyboardInterrupt):
        run_threads(work, 2, Meter(1, None, Account()))
    assert events == ["interrupt", "end"]


def test_handlers_are_put_back(place: Place) -> None:
    before = [signal.getsignal(number) for number in ENDS]
    assert before == [signal.default_int_handler, signal.SIG_DFL]
    assert convert_here(place.folder, "--plan", "--quiet")[0] == 0
    assert [signal.getsignal(number) for number in ENDS] == before


def test_what_the_caller_has_set_stays(place: Place) -> None:
    """Where SIGTERM is ignored, as by nohup, it does not end a run."""
    fault = {"told": True, "signals": {9: signal.SIGTERM}}
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ended = convert(place, fault, "--quiet")
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert (ended.code, ended.err) == (0, "")


def test_in_another_thread(place: Place) -> None:
    """Handlers can be set in the main thread only; the command line works in others as well."""
    codes: list[Any] = []
    arguments = (place.folder, "--quiet")
    thread = threading.Thread(target=lambda: codes.append(convert_here(*arguments)))
    thread.start()
    thread.join()
    assert codes == [(0, "")]
