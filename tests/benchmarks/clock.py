"""The clocks: `cp`, the converter and the floor, one after the other in rounds, each into a folder that is not there.

What would disturb the next one happens between the clocks: outputs are removed and, for a cold input, the source's
pages are given back.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from . import child
from .floor import files_below

Clock = Callable[[], float]


def run_child(
    converter: Path, arguments: list[str], preload: str = ""
) -> dict[str, float]:
    """Run a converter in a process of its own; what child.py says of it. RuntimeError where it fails."""
    command = [sys.executable, child.__file__, preload, str(converter), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    said: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return said


def cp(source: Path, target: Path) -> float:
    """The seconds of `cp -r`."""
    began = time.perf_counter()
    subprocess.run(["cp", "-r", str(source), str(target)], check=True)
    return time.perf_counter() - began


def rounds(
    clocks: Mapping[str, Clock], count: int, between: Callable[[], None]
) -> dict[str, list[float]]:
    """Each clock `count` times, in turn; `between` runs before each and is not measured."""
    series: dict[str, list[float]] = {name: [] for name in clocks}
    for _ in range(count):
        for name, clock in clocks.items():
            between()
            series[name].append(clock())
    return series


def remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def touch_memory(folder: Path, size: int) -> None:
    """Write and remove `size` bytes: the first pages that a machine ever hands out are dearer than those after."""
    piece = bytes(1 << 24)
    with (folder / "touched").open("wb") as file:
        for _ in range(0, size, len(piece)):
            file.write(piece)
    (folder / "touched").unlink()


def read_all(folder: Path) -> None:
    """Into the page cache."""
    for path in files_below(folder):
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 24):
                pass


def forget(folder: Path) -> None:
    """Out of the page cache; pages that are not on disk yet would stay."""
    os.sync()
    for path in files_below(folder):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
