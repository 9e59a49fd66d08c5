"""The measurements as one table, as the series behind it, and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .rows import Row, Series

HEAD = (
    "work",
    "MB",
    "thr",
    "beside",
    "its s",
    "ours s",
    "ratio",
    "median",
    "must",
    "reached",
    "floor",
    "peak MB",
    "faster",
)
LEFT = ("work", "beside")


def table(rows: list[Row]) -> str:
    """A line a row."""
    cells = [HEAD, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if head in LEFT else cell.rjust(width)
            for head, cell, width in zip(HEAD, line, widths)
        ).rstrip()
        for line in cells
    )


def _cells(row: Row) -> tuple[str, ...]:
    peer = bool(row.base) and row.must is None
    return (
        row.work.partition(" vs ")[0],
        f"{row.size / 1e6:,.0f}" if row.size else "",
        str(row.threads or ""),
        row.base_name if row.base or row.note else "",
        _number(min(row.base, default=None), 3),
        "not run" if row.note else _number(min(row.ours, default=None), 3),
        _number(row.ratio, 2),
        _number(row.median_ratio, 2),
        _must(row),
        "WRONG" if row.wrong else {None: "", True: "yes", False: "NO"}[row.reached],
        _number(row.floor_ratio, 2),
        "" if row.memory is None else f"{row.memory / 1e6:,.0f}",
        f"{1 / row.ratio:.1f} x" if peer and row.ratio else "",
    )


def _must(row: Row) -> str:
    if row.must is None:
        return ""
    if row.unit == "MB":
        return f"{row.must / 1e6:,.0f} MB"
    return f"{row.must:.2f} {row.unit}"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def series(rows: list[Row]) -> str:
    """Every time in seconds, in the order of the rounds."""
    lines = []
    for row in rows:
        if row.ours:
            lines.append(row.work + (f", {row.threads} threads" if row.threads else ""))
        named = {row.base_name: row.base, "ours": row.ours, "floor": row.floor}
        lines += [f"  {name:<9} {_times(them)}" for name, them in named.items() if them]
        if row.base_memory is not None:
            lines.append(
                f"  peak anonymous memory of {row.base_name}: {row.base_memory / 1e6:,.0f} MB"
            )
    return "\n".join(lines)


def _times(times: Series) -> str:
    return " ".join(f"{seconds:.3f}" for seconds in times)


def problems(rows: list[Row]) -> str:
    """What was wrong with outputs, and why something was not run."""
    lines = [f"{row.work}: {text}" for row in rows for text in row.wrong[:5]]
    lines += [f"{row.work}: {row.note}" for row in rows if row.note]
    return "\n".join(dict.fromkeys(lines))


def as_json(rows: list[Row], machine: dict[str, str]) -> dict[str, Any]:
    return {
        "machine": machine,
        "rows": [
            asdict(row)
            | {
                "ratio": row.ratio,
                "median_ratio": row.median_ratio,
                "floor_ratio": row.floor_ratio,
                "reached": row.reached,
            }
            for row in rows
        ],
    }
