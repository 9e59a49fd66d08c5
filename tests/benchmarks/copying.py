"""Measures conversions beside `cp`: first that the output is right, then the time, then the memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from .clock import Clock, cp, forget, read_all, remove, rounds, run_child
from .compare import differences, unequal_files
from .files import Array
from .floor import copy_bytes, files_below
from .memory import peak_of_conversion
from .place import Place
from .reference import REFERENCES, cast
from .rows import Row
from .works import Copy


def measure(work: Copy, place: Place) -> list[Row]:
    """A row for each number of threads. The source is in the page cache, or where it is cold, on disk only."""
    source = source_of(work, place)
    wrong, output = checked(work, place, source)
    sizes = [path.stat().st_size for path in files_below(output)]
    clocks = _clocks(work, place, source, output if work.dtype else source, sizes)
    if not work.dtype:
        remove(output)
    place.touch(2 * sum(sizes))
    read_all(source)
    series = rounds(clocks, place.rounds, partial(_prepare, work, place, source))
    found = [
        Row(
            work.name,
            threads,
            sum(sizes),
            series[f"ours {threads}"],
            series.get("cp") or series[f"base {threads}"],
            series.get(f"floor {threads}", []),
            work.beside or "cp",
            must=must,
            memory=_memory(work, place, source, threads),
            wrong=wrong,
        )
        for threads, must in work.must.items()
    ]
    place.clear()
    return found


def _clocks(
    work: Copy, place: Place, source: Path, copied: Path, sizes: list[int]
) -> dict[str, Clock]:
    """What is timed in each round, in this order; the floor writes files of these sizes."""
    clocks: dict[str, Clock] = {}
    if work.beside is None:
        clocks["cp"] = partial(cp, copied, place.folder / "cp")
    for threads in work.must:
        if work.beside is not None:
            other = replace(work, model=work.beside, beside=None)
            begun = partial(timed, other, place, place.model(work.beside), threads)
            clocks[f"base {threads}"] = begun
        else:
            floor = partial(copy_bytes, copied, place.folder / "floor", sizes, threads)
            clocks[f"floor {threads}"] = floor
        clocks[f"ours {threads}"] = partial(timed, work, place, source, threads)
    return clocks


def source_of(work: Copy, place: Place) -> Path:
    """The model; of the way back, what the way there wrote, which its own row compares."""
    model = place.model(work.model)
    if not work.back:
        return model
    source = place.folder / f"there-{work.model}-{work.ranks}"
    if not source.exists():
        arguments = [*work.there, str(model), str(source), "--quiet"]
        run_child(place.converter(work.map), arguments)
    return source


def checked(work: Copy, place: Place, source: Path) -> tuple[list[str], Path]:
    """What is wrong with the output, whatever the threads; and the output."""
    converter = place.converter(work.map)
    output, other = place.fresh("output"), place.fresh("other")
    run_child(converter, _arguments(work, source, output, 1))
    wrong = differences(output, expected(work, place))
    for threads in (2, 4):
        run_child(converter, _arguments(work, source, other, threads))
        wrong += unequal_files(output, other)
        remove(other)
    return wrong, output


def expected(work: Copy, place: Place) -> Iterable[tuple[str, Array]]:
    tensors = place.tensors(work.model)
    if work.back:
        return ((name, stored.bits) for name, stored in tensors.items())
    there = REFERENCES[work.map](tensors, place.config(work.model), work.ranks)
    return _cast(there, work.dtype) if work.dtype else there


def _cast(
    tensors: Iterable[tuple[str, Array]], dtype: str
) -> Iterator[tuple[str, Array]]:
    for name, bits in tensors:
        yield name, cast(bits, dtype)


def timed(work: Copy, place: Place, source: Path, threads: int) -> float:
    """The seconds of one conversion, into a folder that is not there."""
    arguments = _arguments(work, source, place.folder / "ours", threads)
    return run_child(place.converter(work.map), arguments, work.preload)["seconds"]


def _memory(work: Copy, place: Place, source: Path, threads: int) -> int:
    arguments = _arguments(work, source, place.fresh("ours"), threads)
    return peak_of_conversion(place.converter(work.map), arguments)


def _arguments(work: Copy, source: Path, target: Path, threads: int) -> list[str]:
    folders = (str(source), str(target))
    return [*work.arguments, *folders, "--threads", str(threads), "--quiet"]


def _prepare(work: Copy, place: Place, source: Path) -> None:
    for name in ("cp", "ours", "floor"):
        remove(place.folder / name)
    if work.cold:
        forget(source)
