"""What was measured on a GPU, as a page of markdown has it, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .gpu_clock import median
from .gpu_conversions import Row

BEGIN, END = "<!-- benchmark: begin -->", "<!-- benchmark: end -->"
OTHERS = ("generator", "NeMo-RL", "Bridge", "views", "compile")
HEAD = (
    "model",
    "conversion",
    "GB made",
    "copy ms",
    "ours ms",
    "ratio",
    "goal",
    "launches",
    "first ms",
    "host ms",
    "peak GB",
    *(f"{name} ms" for name in OTHERS),
)


def page(about: dict[str, str], rows: list[Row], firsts: list[str]) -> str:
    """The part of docs/gpu.md between its marks."""
    whole = [row for row in rows if row.model != "kernels"]
    single = [row for row in rows if row.model == "kernels"]
    lines = [f"Measured with {', '.join(f'{k} {v}' for k, v in about.items())}.", ""]
    lines += [*_table(HEAD, [_cells(row) for row in whole]), ""]
    lines += [f"- {line}" for line in dict.fromkeys([*firsts, *_notes(whole)])]
    lines += ["", *_table(("moves", "MB", "ratio of each"), map(_variants, single))]
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.model,
        row.work + (" WRONG" if row.wrong else ""),
        f"{row.size / 1e9:.2f}",
        _number(median(row.times, "copy")),
        _number(median(row.times, "prepared")),
        _number(row.ratio("prepared")),
        _number(row.goal),
        "-" if row.launches is None else str(row.launches),
        _number(row.first),
        _number(row.host),
        _number(None if row.peak is None else row.peak / 1e9),
        *(_number(median(row.times, name)) for name in OTHERS),
    )


def _variants(row: Row) -> tuple[str, ...]:
    said = [f"{name} {row.ratio(name):.2f}" for name in row.times if row.ratio(name)]
    return row.work, f"{row.size / 1e6:.0f}", ", ".join(said[1:]) or "-"


def _notes(rows: Iterable[Row]) -> list[str]:
    return [f"{row.model}, {row.work}: {note}" for row in rows for note in row.notes]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, tuple("---" for _ in head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def write_page(path: Path, text: str) -> None:
    """Replace what stands between the marks of a document; ValueError where it has none."""
    before, begin, rest = path.read_text(encoding="utf-8").partition(f"{BEGIN}\n")
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path}: expected the lines {BEGIN} and {END}")
    path.write_text(f"{before}{begin}{text}{end}{after}", encoding="utf-8")


def as_json(about: dict[str, str], rows: list[Row], firsts: list[str]) -> Any:
    return {"about": about, "first": firsts, "rows": [asdict(row) for row in rows]}
