"""What a conversion did, or with --plan would do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from .errors import printable
from .sizes import size_text


class WrittenFile(NamedTuple):
    """A file of weights: its name below the target, its tensors, and its bytes."""

    name: str
    tensors: int
    size: int


@dataclass(frozen=True)
class Report:
    """The account of one conversion. Names of files are relative to their directory, sizes are in bytes."""

    source: str
    target: str
    direction: str  # "left -> right"
    mesh: Mapping[str, int]  # of the layout with ranks, by dim
    written: bool  # False where only the plan was asked for
    tensors_read: int
    bytes_read: int
    tensors_written: int
    bytes_written: int
    files: tuple[WrittenFile, ...]
    other_files: tuple[str, ...]  # written besides: index, config, ledger
    copied: tuple[str, ...]
    not_copied: tuple[str, ...]
    dropped: Mapping[str, int]  # tensors left behind, by `drop` statement
    # Keys of the source's config that the target has no place of its own for.
    kept_keys: tuple[str, ...]
    # Elements by tensor, where padding was not zero.
    nonzero_padding: Mapping[str, int] = field(default_factory=dict)
    # Elements by tensor written, if that was allowed; and where a cast was to a smaller range.
    became_infinite: Mapping[str, int] = field(default_factory=dict)
    became_zero: Mapping[str, int] = field(default_factory=dict)
    verified: bool = False
    bytes_kept: int = 0  # of those written: what an earlier run had written already
    threads: int = 0
    seconds: float = 0.0
    # Of the whole time; see PHASES.
    seconds_by_phase: Mapping[str, float] = field(default_factory=dict)
    peak_memory: int = 0  # anonymous, in bytes, as far as it was looked at
    bound_by: str = ""  # the phase that took longest

    @property
    def gigabytes_per_second(self) -> float:
        """The bytes written over the whole time, checks included."""
        return self.bytes_written / 1e9 / self.seconds if self.seconds else 0.0

    def to_json(self) -> str:
        """The report as a JSON object."""
        files = [file._asdict() for file in self.files]
        return json.dumps(
            {
                **asdict(self),
                "files": files,
                "gigabytes_per_second": self.gigabytes_per_second,
            },
            indent=2,
        )

    def __str__(self) -> str:
        mesh = " ".join(f"{dim}={size}" for dim, size in self.mesh.items())
        read = f"{self.tensors_read} tensors read ({size_text(self.bytes_read)})"
        done = "written" if self.written else "to be written"
        kept = self.bytes_kept
        lines = [
            f"{self.direction}{mesh and f', {mesh}'}: {self.source} -> {self.target}",
            f"{read}, {self.tensors_written} {done} ({size_text(self.bytes_written)})",
            *(["every element compared with the source"] if self.verified else []),
            *([f"{size_text(kept)} were there already"] if kept else []),
            *_columns(
                [
                    (f.name, f"{f.tensors} tensors", size_text(f.size))
                    for f in self.files
                ]
            ),
            *_list("besides", self.other_files),
            *_list("copied along", self.copied),
            *_list("not copied", self.not_copied),
            *_list("config keys kept", self.kept_keys),
            *(
                f"left behind: {count} by {where}"
                for where, count in self.dropped.items()
            ),
            *(
                f"not zero in the padding of {name}: {count} elements"
                for name, count in self.nonzero_padding.items()
            ),
            *sum_text("became infinite", self.became_infinite),
            *sum_text("became zero", self.became_zero),
        ]
        rate = f"{self.gigabytes_per_second:.2f} GB/s, " if self.written else ""
        lines.append(
            f"{self.seconds:.2f} s, {rate}peak memory {size_text(self.peak_memory)}, bound by {self.bound_by}"
        )
        return "\n".join(map(printable, lines))


def _columns(rows: list[tuple[str, str, str]]) -> list[str]:
    """Rows with the columns made equally wide."""
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    return [
        f"  {name:<{widths[0]}}  {tensors:>{widths[1]}}  {size:>{widths[2]}}"
        for name, tensors, size in rows
    ]


def sum_text(title: str, counts: Mapping[str, int]) -> list[str]:
    """How many elements there are, if any; of which tensor most are."""
    if not counts:
        return []
    most = max(counts, key=lambda name: counts[name])
    return [
        f"{title}: {sum(counts.values())} elements of {len(counts)} tensors, most of {most}"
    ]


def _list(title: str, names: tuple[str, ...]) -> list[str]:
    return [f"{title}: {', '.join(names)}"] if names else []
