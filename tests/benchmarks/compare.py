"""Outputs against what they have to be, bit for bit; says what differs, or nothing."""

from __future__ import annotations

import filecmp
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .files import Array, read_folder


def differences(folder: Path, expected: Iterable[tuple[str, Array]]) -> list[str]:
    """The tensors of a folder that are missing, too many, or not what is expected."""
    found = read_folder(folder)
    wrong = []
    for name, bits in expected:
        stored = found.pop(name, None)
        if stored is None:
            wrong.append(f"{name} is missing")
        elif stored.bits.shape != bits.shape or not np.array_equal(stored.bits, bits):
            wrong.append(f"{name} differs")
    return wrong + [f"{name} is too many" for name in found]


def unequal_files(folder: Path, other: Path) -> list[str]:
    """The files that two folders do not both have with the same bytes; the ledger says how long a run took."""
    names = {
        path.relative_to(root)
        for root in (folder, other)
        for path in root.rglob("*")
        if path.is_file() and path.name != "mapc.json"
    }
    return [
        f"{name} differs with the number of threads"
        for name in sorted(names)
        if not (folder / name).exists()
        or not (other / name).exists()
        or not filecmp.cmp(folder / name, other / name, shallow=False)
    ]
