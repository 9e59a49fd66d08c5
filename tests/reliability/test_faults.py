"""Faults while a converter runs: one line says what went wrong, the source stays, the target is whole or not there."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from mapc.templates.runtime.account import Account
from mapc.templates.runtime.errors import ConversionError
from mapc.templates.runtime.lock import locked
from mapc.templates.runtime.workers import Meter, run_threads

from ..runtime.toy import load_toy
from ..runtime.toy_checkpoint import write_hf
from .breaking import only
from .children import (
    MESH,
    PHASES,
    Ended,
    Place,
    content,
    convert,
    convert_here,
    end,
    new_place,
    start,
    steps_in,
)
from .commands import run_apart
from .faulty import NOT_PERMITTED

RANK = "mp_rank_00_000/model.safetensors"
PARTIAL = ".mcore.mapc-partial"


@pytest.fixture(scope="module")
def all_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = new_place(tmp_path_factory.mktemp("faults"))
    yield place
    shutil.rmtree(place.folder)


@pytest.fixture
def place(all_tests: Place) -> Place:
    """A folder with nothing but the source."""
    all_tests.set_up(overwrite=False)
    return all_tests


class Fault(NamedTuple):
    """A fault, and the line that says it."""

    fault: dict[str, Any]
    line: str
    arguments: tuple[str, ...] = ()


FAULTS = {
    "limit of the size of files": Fault(
        {"limit": 1_000_000}, f"[Errno 27] File too large: 'FOLDER/{PARTIAL}/{RANK}'"
    ),
    "limit, nothing reserved": Fault(
        {"limit": 1_000_000, "reserve": False},
        f"[Errno 27] File too large: 'FOLDER/{PARTIAL}/{RANK}'",
        ("--threads", "1"),
    ),
    "read error": Fault(
        {"fail": ["preadv", "EIO", 5]},
        "[Errno 5] Input/output error: 'hf/model.safetensors'",
    ),
    "write error": Fault(
        {"fail": ["pwrite", "EIO", 9]},
        f"[Errno 5] Input/output error: 'FOLDER/{PARTIAL}/RANK'",
    ),
    "quota": Fault(
        {"fail": ["pwrite", "EDQUOT", 2]},
        f"[Errno 122] Disk quota exceeded: 'FOLDER/{PARTIAL}/RANK'",
        ("--threads", "3"),
    ),
    "disk that does not take it": Fault(
        {"fail": ["fsync", "EIO", 0]},
        f"[Errno 5] Input/output error: 'FOLDER/{PARTIAL}/RANK'",
        ("--fsync",),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault(place: Place, name: str) -> None:
    fault, line, arguments = FAULTS[name]
    ended = convert(place, fault, *arguments)
    said = ended.err.replace(str(place.folder), "FOLDER")
    for rank in ("mp_rank_00_000", "mp_rank_01_000"):
        said = said.replace(f"{rank}/model.safetensors", "RANK")
    line = line.replace(RANK, "RANK")
    assert (ended.code, ended.out, said) == (3, "", f"error: {line}\n")
    assert place.check() == "none"
    assert os.listdir(place.folder) == ["hf"]


@pytest.mark.parametrize("name", ["write error", "limit of the size of files"])
def test_fault_of_a_run_that_is_resumed(place: Place, name: str) -> None:
    """What is written stays, and the next run goes on with it."""
    fault, _, arguments = FAULTS[name]
    ended = convert(place, fault, *arguments, "--resume")
    assert ended.code == 3
    assert sorted(os.listdir(place.folder)) == [PARTIAL, "hf"]
    assert convert_here(place.folder, "--resume", "--quiet") == (0, "")
    assert place.check() == "whole"
    assert sorted(os.listdir(place.folder)) == ["hf", "mcore"]


# ---- a full disk


def full(place: Place, size: int, **fault: Any) -> Ended:
    """A conversion to a disk of so many bytes, which only the process that converts sees."""
    disk = place.folder / "disk"
    disk.mkdir()
    fault |= {"mount": ["-t", "tmpfs", "-o", f"size={size}", "full", str(disk)]}
    try:
        command = ("to-mcore", "hf", "disk/mcore", *MESH)
        ended = end(start(place, fault | {"look": ["disk"]}, *command))
    finally:
        disk.rmdir()
    if ended.code == NOT_PERMITTED:
        pytest.skip("nothing can be mounted here")
    assert content(place.folder / "hf") == place.source
    return ended


def test_a_disk_that_is_too_small(place: Place) -> None:
    ended = full(place, 8 << 20)
    assert (ended.code, ended.out) == (3, "left\n")
    assert ended.err == (
        f"error: [Errno 28] expected 20.74 MB free, found 8.39 MB: '{place.folder}/disk/mcore'\n"
    )


@pytest.mark.parametrize("reserve", [True, False])
@pytest.mark.parametrize(
    "file, pages",
    [("model.safetensors", -9), ("tokenizer.json", 9), ("config.json", 25)],
)
def test_a_disk_that_becomes_full(
    place: Place, file: str, pages: int, reserve: bool
) -> None:
    """There was room when the run began. A disk that holds the weights may not hold what stands beside them."""
    assert place.whole is not None
    weights = [data for name, data in place.whole.items() if name.endswith("tensors")]
    room = sum(-(-len(data) // 4096) for data in weights) + pages
    ended = full(place, room * 4096, room=True, reserve=reserve)
    assert (ended.code, ended.out) == (3, "left\n")
    (line,) = ended.err.splitlines()
    assert line.startswith("error: [Errno 28] No space left on device: ")
    assert line.endswith(f"/{file}'")


def test_a_header_that_cannot_be_read(tmp_path: Path) -> None:
    """As on a disk that fails: the memory of a process has nothing where it begins."""
    source, memory = write_hf(tmp_path / "hf"), Path("/proc/self/mem")
    if not memory.exists():
        pytest.skip("the system has no file that cannot be read")
    file = source / "model.safetensors"
    file.unlink()
    file.symlink_to(memory)
    target = tmp_path / "mcore"
    ended = run_apart(load_toy().main, "to-mcore", source, target, "--follow-links")
    assert ended == (3, "", f"error: [Errno 5] Input/output error: '{file}'\n")
    assert os.listdir(tmp_path) == ["hf"]


# ---- nothing to print to, no memory


def test_without_stdout_and_stderr(place: Place) -> None:
    """As a service may be started; files of the source and the target then have the numbers of these."""
    command = [sys.executable, str(place.converter), *place.command()]
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command]
    assert subprocess.run(closed, check=False, cwd=place.folder).returncode == 0
    assert place.check() == "whole"
    assert subprocess.run(closed, check=False, cwd=place.folder).returncode == 1
    assert place.check() == "whole"


def test_an_error_that_cannot_be_printed(place: Place) -> None:
    """Its exit code says it."""
    command = [sys.executable, str(place.converter), "to-mcore", "gone", "mcore"]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [*command, "--json"], check=False, cwd=place.folder, stderr=full
        )
    assert ended.returncode == 3
    assert os.listdir(place.folder) == ["hf"]


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_report_that_cannot_be_printed(
    place: Place, flags: tuple[str, ...], unbuffered: str
) -> None:
    """The target is complete, and whoever waits for the report learns that none comes."""
    place.set_up(overwrite=False)
    command = [sys.executable, str(place.converter), *place.command(), *flags]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    full = "[Errno 28] No space left on device\n"
    for said in (
        f"error: all is done, but cannot be told: {full}",
        f"error: {place.folder}/mcore: expected no such directory, found one; --overwrite replaces it\n",
    ):
        with open("/dev/full", "w") as stdout:
            ended = subprocess.run(
                command,
                check=False,
                cwd=place.folder,
                env=environment,
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
            )
        code = 3 if full in said else 1
        assert (ended.returncode, ended.stderr) == (code, said)
        assert place.check() == "whole"


def test_too_little_memory(tmp_path: Path) -> None:
    """A header of 80 MB takes 1.6 GB to be read."""
    source, target = write_hf(tmp_path / "hf"), tmp_path / "mcore"
    only(b'{"a":[' + b"[]," * 26_000_000 + b"[]]}")(source)
    ended = run_apart(load_toy().main, "to-mcore", source, target)
    file = source / "model.safetensors"
    said = f"error: [Errno 12] expected more memory, found none left: '{file}'\n"
    assert (ended.code, ended.out, ended.err) == (3, "", said)
    assert os.listdir(tmp_path) == ["hf"]


# ---- permissions


def test_no_permission(place: Place) -> None:
    """A file of the source that may not be read, a folder that may not be written to."""
    user = {"user": 65534} if os.geteuid() == 0 else {}
    weights = place.folder / "hf/model.safetensors"
    mode = weights.stat().st_mode
    closed = [one for one in place.folder.parents if not one.stat().st_mode & 1]
    parents = [place.folder, *closed]
    modes = [parent.stat().st_mode for parent in parents]
    try:
        for parent in parents:
            parent.chmod(0o755)
        place.folder.chmod(0o555)
        ended = convert(place, user)
        assert (ended.code, ended.out) == (3, "")
        assert ended.err == (
            f"error: [Errno 13] Permission denied: '{place.folder}/.mcore.mapc-lock'\n"
        )
        weights.chmod(0)
        ended = convert(place, user)
        assert (ended.code, ended.out) == (3, "")
        assert ended.err == (
            "error: [Errno 13] Permission denied: 'hf/model.safetensors'\n"
        )
    finally:
        weights.chmod(mode)
        for parent, mode in zip(parents, modes):
            parent.chmod(mode)
    assert os.listdir(place.folder) == ["hf"]


# ---- signals


def test_calls_that_are_interrupted(place: Place) -> None:
    ended = convert(place, {"alarm": 0.0005}, "--quiet", "--verify")
    assert ended == Ended(0, "", "", ())
    assert place.check() == "whole"


ENDS = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated")}


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


# ---- several runs


@pytest.mark.parametrize(
    "arguments", [(), ("--resume",), ("--overwrite",), ("--plan",)]
)
def test_two_runs_at_once(place: Place, arguments: tuple[str, ...]) -> None:
    process = start(place, {"told": True, "slow": 0.01}, *place.command(), "--quiet")
    assert process.stderr is not None
    assert any("write" in line for line in process.stderr)
    ended = convert(place, {}, *arguments)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        f"error: {place.folder}/mcore: expected no other run that writes there, found one; "
        "wait until it has ended, or choose another directory\n"
    )
    ended = end(process)
    assert (ended.code, ended.err) == (0, "")
    assert place.check() == "whole"
    assert sorted(os.listdir(place.folder)) == ["hf", "mcore"]


def test_a_lock_that_is_given_back_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has opened the file before its holder removes it does not hold the lock: there is another file then."""
    path, flock = tmp_path / "lock", fcntl.flock
    calls = iter([path.unlink])

    def remove_first(descriptor: int, how: int) -> None:
        for remove in calls:
            remove()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with (
        locked(str(path), "target"),
        pytest.raises(ConversionError),
        locked(str(path), "target"),
    ):
        pass
    assert not path.exists()


def test_many_runs_at_once(place: Place) -> None:
    """Whoever comes first makes the target; each of the others does so later, or is refused."""
    for overwrite in (False, True):
        place.set_up(overwrite)
        command = (*place.command(), "--quiet", *["--overwrite"] * overwrite)
        runs = [start(place, {"slow": 0.001}, *command) for _ in range(6)]
        codes = [end(run).code for run in runs]
        assert set(codes) <= {0, 1} and 0 in codes
        assert place.check() == "whole"
        assert sorted(os.listdir(place.folder)) == ["hf", "mcore"]


def test_the_target_is_never_absent(place: Place) -> None:
    """While it is overwritten there is always a whole checkpoint under its name."""
    place.set_up(overwrite=True)
    path, seen, absent = place.folder / "mcore/config.json", set(), 0
    fault = {"slow": 0.003}
    process = start(place, fault, *place.command(), "--overwrite", "--quiet")
    while process.poll() is None:
        try:
            seen.add(path.read_bytes())
        except FileNotFoundError:
            absent += 1
    assert (end(process).code, absent, len(seen)) == (0, 0, 2)


# ---- what is on the disk


def test_fsync(place: Place) -> None:
    """Everything reaches the disk before the target has its name, the name before the old target goes."""
    place.set_up(overwrite=True)
    ended = convert(place, {"told": True}, "--fsync", "--overwrite", "--quiet")
    assert ended.code == 0
    synced = [step[5:] for step in ended.steps if step.startswith("sync ")]
    files = {f"{PARTIAL}/{name}" for name in os.listdir(place.folder / "mcore")}
    ranks = ("mp_rank_00_000", "mp_rank_01_000")
    files |= {f"{PARTIAL}/{rank}/model.safetensors" for rank in ranks}
    assert set(synced[:-2]) == files
    assert synced[-2:] == [PARTIAL, "."]
    order = [ended.steps.index(f"sync {PARTIAL}"), ended.steps.index("exchange 2")]
    order += [ended.steps.index("exchanged 2"), ended.steps.index("sync .")]
    removed = [n for n, step in enumerate(ended.steps) if step.startswith("os.remove")]
    assert order == sorted(order) and min(removed) > order[-1]
    ended = convert(place, {"told": True}, "--overwrite", "--quiet")
    assert not any(step.startswith("sync ") for step in ended.steps)


# ---- one folder under two names


def test_a_source_under_another_name(place: Place) -> None:
    """The target is the source, mounted at a second place: overwriting it would remove the source."""
    other = place.folder / "other"
    other.mkdir()
    fault = {"mount": ["--bind", str(place.folder / "hf"), str(other)]}
    try:
        command = ("to-mcore", "hf", "other", *MESH, "--overwrite")
        same = end(start(place, fault, *command))
        inside = end(start(place, fault, "to-mcore", "hf", "other/below", *MESH))
    finally:
        other.rmdir()
    if same.code == NOT_PERMITTED:
        pytest.skip("nothing can be mounted here")
    for name, ended in (("other", same), ("other/below", inside)):
        assert ended.code == 1
        assert ended.err == (
            f"error: {place.folder}/{name}: expected a target apart from the source, "
            f"found {place.folder}/hf in one line with it; choose another directory\n"
        )
    assert content(place.folder / "hf") == place.source
