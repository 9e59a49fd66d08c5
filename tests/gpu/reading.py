"""What compilers say that a kernel takes."""

from __future__ import annotations

import re
from typing import NamedTuple


class Reading(NamedTuple):
    """Registers a thread; bytes of shared memory a program; what a thread has in memory of its own, which is slow."""

    registers: int
    shared: int
    stack: int
    spills: int


def read_nvidia(log: str, shared: int) -> Reading:
    """What `ptxas -v` says."""
    registers = _number(r"Used (\d+) registers", log)
    stack = _number(r"(\d+) bytes stack frame", log)
    stores = _number(r"(\d+) bytes spill stores", log)
    loads = _number(r"(\d+) bytes spill loads", log)
    return Reading(registers, shared, stack, stores + loads)


def read_amd(text: str, shared: int) -> Reading:
    """What the metadata of a kernel say."""

    def said(name: str) -> int:
        return _number(rf"\.{name}:\s+(\d+)", text)

    spills = said("vgpr_spill_count") + said("sgpr_spill_count")
    return Reading(
        said("vgpr_count"), shared, said("private_segment_fixed_size"), spills
    )


def _number(pattern: str, text: str) -> int:
    (number,) = re.findall(pattern, text)
    return int(number)
