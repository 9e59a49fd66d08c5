"""Sizes in bytes as people write them: 5GB is decimal, 5GiB binary."""

from __future__ import annotations

from .usage import UsageError

_UNITS = {"B": 1} | {
    f"{letter}{binary}B": (1024 if binary else 1000) ** power
    for power, letter in enumerate("KMGT", 1)
    for binary in ("", "i")
}


def parse_size(text: int | str) -> int:
    """The bytes of `5GB`, `2GiB` or a plain number; UsageError for anything else or less than 1."""
    digits = str(text).rstrip("BKMGTi ")
    unit = str(text)[len(digits) :].strip() or "B"
    try:
        size = int(float(digits) * _UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        size = 0
    if size < 1:
        raise UsageError(f"expected a size such as 5GB or 2GiB, found {text!r}")
    return size


def size_text(size: float) -> str:
    """A size for a reader, such as `1.58 GB`."""
    for unit in ("GB", "MB", "KB"):
        if size >= _UNITS[unit]:
            return f"{size / _UNITS[unit]:.2f} {unit}"
    return f"{size:.0f} bytes"
