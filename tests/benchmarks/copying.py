"""Measures a conversion beside `cp`: first that its output is right, then its time, then its memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from .clock import Clock, cp, forget, read_all, remove, rounds, run_child
from .compare import differences, unequal_files
from .files import Array
from .floor import copy_bytes, files_below
from .memory import peak_of_conversion
from .place import Place
from .reference import REFERENCES
from .rows import Row
from .works import Copy


def measure(work: Copy, place: Place) -> list[Row]:
    """A row for each number of threads."""
    converter = place.converter(work.map)
    source = _source(work, place)
    wrong, sizes = _checked(work, place, converter, source)
    clocks: dict[str, Clock] = {"cp": partial(cp, source, place.folder / "cp")}
    for threads in work.must:
        clocks[f"ours {threads}"] = partial(_ours, work, place, source, threads)
        copied = partial(copy_bytes, source, place.folder / "floor", sizes)
        clocks[f"floor {threads}"] = partial(copied, threads)
    place.touch(2 * sum(sizes))
    read_all(source)
    series = rounds(clocks, place.rounds, _between(work, place, source))
    _between(work, place, source)()
    rows = []
    for threads, must in work.must.items():
        row = Row(
            work.name,
            threads,
            sum(sizes),
            series[f"ours {threads}"],
            series["cp"],
            series[f"floor {threads}"],
            must=must,
            memory=_memory(work, place, source, threads),
            wrong=wrong,
        )
        rows.append(row)
    return rows


def _source(work: Copy, place: Place) -> Path:
    """The model; of the way back, what the way there wrote, which its own row compares."""
    model = place.model(work.model)
    if not work.back:
        return model
    source = place.folder / f"there-{work.map}-{work.ranks}"
    if not source.exists():
        arguments = [*work.there, str(model), str(source), "--quiet"]
        run_child(place.converter(work.map), arguments)
    return source


def _checked(
    work: Copy, place: Place, converter: Path, source: Path
) -> tuple[list[str], list[int]]:
    """What is wrong with the output, whatever the threads; and the sizes of its files."""
    first = place.fresh("first")
    run_child(converter, _arguments(work, source, first, 1))
    wrong = differences(first, _expected(work, place))
    for threads in (2, 4):
        other = place.fresh("other")
        run_child(converter, _arguments(work, source, other, threads))
        wrong += unequal_files(first, other)
        remove(other)
    sizes = [path.stat().st_size for path in files_below(first)]
    remove(first)
    return wrong, sizes


def _expected(work: Copy, place: Place) -> Iterable[tuple[str, Array]]:
    tensors = place.tensors(work.model)
    if work.back:
        return ((name, stored.bits) for name, stored in tensors.items())
    return REFERENCES[work.map](tensors, place.config(work.model), work.ranks)


def _ours(work: Copy, place: Place, source: Path, threads: int) -> float:
    arguments = _arguments(work, source, place.folder / "ours", threads)
    return run_child(place.converter(work.map), arguments)["seconds"]


def _memory(work: Copy, place: Place, source: Path, threads: int) -> int:
    arguments = _arguments(work, source, place.fresh("ours"), threads)
    peak = peak_of_conversion(place.converter(work.map), arguments)
    remove(place.folder / "ours")
    return peak


def _arguments(work: Copy, source: Path, target: Path, threads: int) -> list[str]:
    folders = (str(source), str(target))
    return [*work.arguments, *folders, "--threads", str(threads), "--quiet"]


def _between(work: Copy, place: Place, source: Path) -> Callable[[], None]:
    def prepare() -> None:
        for name in ("cp", "ours", "floor"):
            remove(place.folder / name)
        if work.cold:
            forget(source)

    return prepare
