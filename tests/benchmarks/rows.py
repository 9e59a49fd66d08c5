"""What was measured, a row each."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

Series = list[float]


@dataclass(frozen=True)
class Row:
    """Times in seconds, sizes in bytes. `must` is the highest ratio of `ours` to `base`, or without a base of seconds.

    `wrong` holds what was not as it has to be, of the outputs; `note` why something was not measured.
    """

    work: str
    threads: int
    size: int
    ours: Series
    base: Series = field(default_factory=list)
    floor: Series = field(default_factory=list)
    base_name: str = "cp"
    must: float | None = None
    memory: int | None = None
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
        if self.must is None or not self.ours:
            return None
        found = min(self.ours) if self.ratio is None else self.ratio
        return round(found, 2) <= self.must
