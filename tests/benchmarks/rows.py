"""What was measured, a row each."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

Series = list[float]


@dataclass(frozen=True)
class Row:
    """Times in seconds, sizes in bytes.

    `must` is the highest ratio of `ours` to `base` where the unit is "x", the most seconds where it is "s", and the
    most bytes of memory where it is "MB". `wrong` holds what is not as it has to be, `note` why something was not run.
    """

    work: str
    threads: int | None = None
    size: int = 0
    ours: Series = field(default_factory=list)
    base: Series = field(default_factory=list)
    floor: Series = field(default_factory=list)
    base_name: str = "cp"
    unit: str = "x"
    must: float | None = None
    memory: int | None = None
    base_memory: int | None = None
    wrong: list[str] = field(default_factory=list)
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """By the minimum: what disturbs a run makes it slower and never faster."""
        return min(self.ours) / min(self.base) if self.base and self.ours else None

    @property
    def median_ratio(self) -> float | None:
        if not self.base or not self.ours:
            return None
        return statistics.median(self.ours) / statistics.median(self.base)

    @property
    def floor_ratio(self) -> float | None:
        return min(self.floor) / min(self.base) if self.base and self.floor else None

    @property
    def reached(self) -> bool | None:
        """None where nothing is asked for, or where it was not run."""
        found: float | None = self.memory
        if self.unit == "x":
            found = None if self.ratio is None else round(self.ratio, 2)
        elif self.unit == "s":
            found = round(min(self.ours), 3) if self.ours else None
        return None if self.must is None or found is None else found <= self.must
