"""A converter in a process of its own in which something goes wrong, at a moment that the caller chooses.

    python faulty.py CONVERTER FAULT ARGUMENTS...

CONVERTER is the file of a converter, ARGUMENTS are those of its command line, FAULT is a JSON object; see set_up. Run by
tests, alone: it imports the standard library only.

A step is what changes a file or a folder, or opens one, below the current folder. Each is written to stderr before it
is done, as `step NAME`, and a large write and an exchange of folders are two steps: before, and halfway or after.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from threading import Lock
from types import ModuleType, SimpleNamespace
from typing import Any

STEPS = {
    "open",
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.truncate",
    "shutil.copyfile",
}

NOT_PERMITTED = 77  # the exit code where a fault cannot be made here
NEW_NAMESPACE = 0x20000  # of mounts; a flag of unshare
PRIVATE = ["mount", "--make-rprivate", "/"]


class Steps:
    """Counts and tells the steps, and sends signals to this process at some of them."""

    def __init__(self, signals: dict[str, int], seconds: float, told: bool) -> None:
        self._signals, self._seconds, self._told = signals, seconds, told
        self._number, self._lock = count(), Lock()
        self._below = os.getcwd() + os.sep

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """The step that the interpreter is about to do, if it is one of STEPS."""
        if event == "fcntl.flock":
            self.step(event)
        elif event in STEPS:
            path = os.path.join(self._folder(event, arguments), str(arguments[0]))
            if path.startswith(self._below):
                self.step(f"{event} {path[len(self._below):]}")

    def _folder(self, event: str, arguments: tuple[Any, ...]) -> str:
        """The folder that a path is relative to."""
        if event in ("os.remove", "os.rmdir") and arguments[1] >= 0:
            return os.readlink(f"/proc/self/fd/{arguments[1]}")
        return os.getcwd()

    def step(self, name: str) -> None:
        """A step is about to be done."""
        with self._lock:
            number = next(self._number)
            if self._told:
                os.write(2, f"step {name}\n".encode())
        time.sleep(self._seconds)
        if str(number) in self._signals:
            os.kill(os.getpid(), self._signals[str(number)])


def write_in_halves(steps: Steps) -> None:
    """os.pwrite writes half of what it is given, which is a step, and then the rest."""
    pwrite = os.pwrite

    def halves(descriptor: int, view: memoryview, position: int) -> int:
        steps.step("write")
        half = pwrite(descriptor, view[: len(view) // 2], position)
        steps.step("write on")
        return half + pwrite(descriptor, view[half:], position + half)

    os.pwrite = halves


def tell_exchanges(converter: ModuleType, steps: Steps, known: bool) -> None:
    """The exchange of folders, which the interpreter does not see, is two steps; `known` says if it can be done."""
    rename = converter._rename

    def told(path: str, other: str, flag: int) -> bool:
        steps.step(f"exchange {flag}")
        done = bool(known and rename(path, other, flag))
        steps.step(f"exchanged {flag}")
        return done

    converter._rename = told  # type: ignore[attr-defined]


def failing(call: Callable[..., Any], number: int, at: int) -> Callable[..., Any]:
    """A call that fails with an error number from the time `at` on, counted from 0."""
    calls = count()

    def fail(*arguments: Any, **more: Any) -> Any:
        if next(calls) >= at:
            raise OSError(number, os.strerror(number))
        return call(*arguments, **more)

    return fail


def interrupt_calls(seconds: float) -> None:
    """A signal comes every few moments, and is handled; calls of the system are interrupted by it."""
    signal.signal(signal.SIGALRM, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)


def tell_syncs(steps: Steps) -> None:
    """What is waited for until the disk has it is a step."""
    fsync = os.fsync

    def told(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        steps.step(f"sync {os.path.relpath(path)}")
        fsync(descriptor)

    os.fsync = told  # type: ignore[assignment]


def mount(arguments: list[str]) -> None:
    """Mount something that only this process sees; the exit code says where that is not permitted."""
    libc = ctypes.CDLL(None, use_errno=True)
    command = ["mount", *arguments]
    if libc.unshare(NEW_NAMESPACE) or subprocess.call(PRIVATE) + subprocess.call(
        command
    ):
        sys.exit(NOT_PERMITTED)


def load(path: str) -> ModuleType:
    """The converter as a module; nothing that it might import beside the standard library is there."""
    sys.path.insert(0, os.path.dirname(path))
    sys.modules |= dict.fromkeys(("numpy", "torch", "safetensors"))  # type: ignore[arg-type]
    return __import__(os.path.splitext(os.path.basename(path))[0])


def set_up(fault: dict[str, Any], converter: ModuleType) -> None:
    """What goes wrong from now on.

    mount      arguments of a `mount` that only this process sees
    room       whether the converter is told that the disk has room, whatever it has
    reserve    whether the space of a file can be reserved
    exchange   whether folders can be exchanged in one step
    fail       [NAME, ERROR, AT]: os.NAME fails from its call AT on
    limit      bytes, the largest file that may be written
    alarm      seconds between two signals that are handled
    user       who the process is
    look       folders whose names are printed at the end
    told       whether steps are written to stderr
    slow       seconds, what each step takes longer
    signals    {"STEP": NUMBER}, signals to this process at steps
    """
    if "mount" in fault:
        mount(fault["mount"])
    if "room" in fault:
        shutil.disk_usage = lambda path: SimpleNamespace(free=1 << 60)  # type: ignore
    if not fault.get("reserve", True):
        converter.preallocate = lambda *arguments: None  # type: ignore[attr-defined]
    if "limit" in fault:
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault["limit"], fault["limit"]))
    if "alarm" in fault:
        interrupt_calls(fault["alarm"])
    if "user" in fault:
        os.seteuid(fault["user"])
    if "fail" in fault:
        name, error, at = fault["fail"]
        number = getattr(errno, error)
        setattr(os, name, failing(getattr(os, name), number, at))
    steps = Steps(
        fault.get("signals", {}), fault.get("slow", 0), fault.get("told", False)
    )
    if fault.keys() & {"signals", "slow", "told"}:
        write_in_halves(steps)
        tell_syncs(steps)
        sys.addaudithook(steps.audit)
    tell_exchanges(converter, steps, fault.get("exchange", True))


def main() -> int:
    fault = json.loads(sys.argv[2])
    converter = load(sys.argv[1])
    set_up(fault, converter)
    code: int = converter.main(sys.argv[3:])
    signal.setitimer(signal.ITIMER_REAL, 0)
    for place in fault.get("look", ()):
        print("left", *sorted(os.listdir(place)))
    return code


if __name__ == "__main__":
    sys.exit(main())
