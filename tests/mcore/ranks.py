"""What a Megatron-Core rank holds, written from its formulas in plain torch: nothing here knows a map.

A family says what a layer has as `name: piece`, a piece being what one of n ranks holds of whole tensors. Names of
experts carry the number of the expert, which is counted anew on each rank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

Tensor = torch.Tensor
Piece = Callable[[int, int], Tensor]


def same(whole: Tensor) -> Piece:
    return lambda n, r: whole


def column(*wholes: Tensor) -> Piece:
    """Rank r has the r-th of n chunks of rows of each tensor, one behind the other."""
    return lambda n, r: torch.cat([one.chunk(n)[r] for one in wholes])


def row(whole: Tensor) -> Piece:
    return lambda n, r: whole.chunk(n, 1)[r]


def qkv(q: Tensor, k: Tensor, v: Tensor, groups: int) -> Piece:
    """The queries of a group, its key, its value, group after group; rows are cut wherever n says."""
    parts = [one.reshape(groups, -1, *one.shape[1:]) for one in (q, k, v)]
    return column(torch.cat(parts, 1).flatten(0, 1))


def padded(table: Tensor, c: Mapping[str, Any], tp: int) -> Tensor:
    if not c["pad"]:
        return table
    rows = -(-len(table) // (c["divisor"] * tp)) * c["divisor"] * tp
    return torch.cat([table, table.new_zeros(rows - len(table), *table.shape[1:])])


class Taken(dict[str, Tensor]):
    """Tensors of a checkpoint; `left` are the names that nobody asked for."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__(tensors)
        self.left = set(tensors)

    def __getitem__(self, name: str) -> Tensor:
        self.left.discard(name)
        return super().__getitem__(name)

    def under(self, prefix: str) -> Under:
        return Under(self, prefix)


@dataclass(frozen=True)
class Under:
    """The tensors below a prefix."""

    tensors: Taken
    prefix: str

    def __call__(self, name: str) -> Tensor:
        return self.tensors[f"{self.prefix}.{name}"]

    def has(self, name: str) -> bool:
        return f"{self.prefix}.{name}" in self.tensors


@dataclass
class Layer:
    """What stands in a layer: `own` is split by tp, `experts` by number over ep, and then by etp."""

    own: dict[str, Piece] = field(default_factory=dict)
    experts: dict[str, dict[int, Piece]] = field(default_factory=dict)

    def on(self, mesh: Any, rank: Any, grouped: bool) -> Iterator[tuple[str, Tensor]]:
        for name, piece in self.own.items():
            yield name, piece(mesh.tp, rank.tp)
        for name, pieces in self.experts.items():
            each = len(pieces) // mesh.ep
            for local in range(each):
                piece = pieces[rank.ep * each + local]
                yield expert(name, local, grouped), piece(mesh.etp, rank.etp)


def expert(name: str, number: int, grouped: bool) -> str:
    """`mlp.experts.linear_fc1.weight0`, or `mlp.experts.local_experts.0.linear_fc1.weight`."""
    before, linear, kind = name.rsplit(".", 2)
    if grouped:
        return f"{name}{number}"
    return f"{before}.local_experts.{number}.{linear}.{kind}"


def owned(layers: int, stages: int, first: int | None, last: int | None) -> list[range]:
    """The layers of each stage."""
    ends = [one for one in (first, last) if one is not None]
    middle = stages - len(ends)
    each = (layers - sum(ends)) // middle if middle else 0
    counts = [each] * stages
    counts[0] = each if first is None else first
    counts[-1] = counts[-1] if last is None else last
    starts = [sum(counts[:stage]) for stage in range(stages)]
    return [range(start, start + n) for start, n in zip(starts, counts, strict=True)]
