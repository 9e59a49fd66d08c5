"""Measures what a conversion holds in memory, and whether it keeps to what it was allowed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from .memory import peak_of_conversion, peak_of_process
from .place import Place
from .rows import Row
from .works import Memory, Promise

MIB = 1 << 20


def measure_memory(work: Memory, place: Place) -> list[Row]:
    """One run, which is not timed."""
    row = Row(work.name, unit="MB", must=work.must)
    if note := _no_room(work, place):
        return [replace(row, note=note)]
    model, converter = place.model(work.model), place.converter(work.map)
    arguments = [work.arguments[0], str(model), str(place.fresh("ours"))]
    arguments += [*work.arguments[1:], "--quiet"]
    peak = peak_of_conversion(converter, arguments)
    place.clear()
    return [replace(row, size=_size(model), memory=peak)]


def measure_promise(work: Promise, place: Place) -> list[Row]:
    """One run with the smallest --max-memory that is accepted, which is what its peak must reach."""
    row = Row(work.name, unit="MB")
    if note := _no_room(work, place):
        return [replace(row, note=note)]
    model, converter = place.model(work.model), place.converter(work.map)
    arguments = [work.arguments[0], str(model), str(place.fresh("ours"))]
    arguments += [*work.arguments[1:], "--quiet", "--max-memory"]
    least = _least(converter, arguments)
    peak = peak_of_process(converter, [*arguments, str(least)])
    place.clear()
    return [replace(row, size=_size(model), must=least, memory=peak)]


def _least(converter: Path, arguments: list[str]) -> int:
    """The smallest whole number of MiB with which `--plan` does not refuse, in bytes."""
    low, high = 0, 512
    while high - low > 1:
        middle = (low + high) // 2
        command = [sys.executable, str(converter), *arguments, str(middle * MIB)]
        done = subprocess.run([*command, "--plan"], capture_output=True, check=False)
        low, high = (low, middle) if done.returncode == 0 else (middle, high)
    return high * MIB


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _no_room(work: Memory | Promise, place: Place) -> str:
    free = shutil.disk_usage(place.folder).free
    if place.quick or free >= work.disk:
        return ""
    return f"not run: {work.disk / 1e9:.0f} GB of disk are needed, {free / 1e9:.0f} GB are free"
