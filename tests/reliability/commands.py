"""Running a converter's command line the way a user does, and looking at what it left on the disk."""

from __future__ import annotations

import os
import resource
import signal
import stat
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from ..runtime.toy import load_toy

SECONDS = 20  # after which a run is ended; they all take a fraction of one
MEMORY = 1 << 30  # bytes that a run may take besides what this process has


class Outcome(NamedTuple):
    """What a command came to: its exit code, or minus the signal; and what it printed."""

    code: int
    out: str
    err: str


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Outcome:
    """The command line of the toy converter, in this process."""
    capsys.readouterr()
    code = load_toy().main([str(argument) for argument in arguments])
    return Outcome(code, *capsys.readouterr())


def run_apart(main: Callable[[list[str]], int], *arguments: str | Path) -> Outcome:
    """A command line in a copy of this process, which has so much time and memory and no more."""
    (read_out, out), (read_err, err) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(out, 1)
        os.dup2(err, 2)
        code = 70
        try:
            # What pytest captures with is replaced, and nothing of it is flushed twice.
            sys.stdout = os.fdopen(1, "w")
            sys.stderr = os.fdopen(2, "w", errors="backslashreplace")
            signal.alarm(SECONDS)
            _limit_memory(MEMORY)
            code = main([str(argument) for argument in arguments])
        except BaseException:  # noqa: BLE001 (whatever it is, it should not be)
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    for end in (out, err):
        os.close(end)
    printed = [_read_all(end) for end in (read_out, read_err)]
    _, status = os.waitpid(child, 0)
    return Outcome(os.waitstatus_to_exitcode(status), *printed)


def _limit_memory(more: int) -> None:
    taken = (
        int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    )
    resource.setrlimit(resource.RLIMIT_AS, (taken + more, taken + more))


def _read_all(end: int) -> str:
    with open(end, "rb") as pipe:
        return pipe.read().decode()


def everything_below(path: Path) -> dict[str, object]:
    """All that is in a directory, by relative name: the bytes of files, where links point, what else things are.

    Nothing is opened that is not a regular file, and no link is followed.
    """
    found: dict[str, object] = {}
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            one = Path(folder, name)
            found[one.relative_to(path).as_posix()] = _content(one)
    return found


def _content(path: Path) -> object:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return f"a link to {os.readlink(path)}"
    return path.read_bytes() if stat.S_ISREG(mode) else stat.filemode(mode)


def state_of(path: Path) -> object:
    """All that is in a directory, and when each of it, and itself, was changed."""
    times = {str(one): one.lstat().st_mtime_ns for one in (path, *path.rglob("*"))}
    return everything_below(path), times
