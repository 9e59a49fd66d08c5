"""An axis padded before it is split, two padded axes, and padding in each part of a sum."""

import torch
from torch.nn.functional import pad

CASES = [
    {"config": {"v": 5, "e": 3, "multiple": 2}, "mesh": {"tp": tp}, "ranks": None}
    for tp in (1, 2, 4)
]
CASES = [*CASES, {"config": {"v": 1, "e": 3, "multiple": 3}, "mesh": {"tp": 2}}]


def whole(c):
    return {
        "embed.weight": (c.v, c.e),
        "table": (c.v, c.e),
        "pair.a": (c.v,),
        "pair.b": (c.v,),
    }


def parts(t, c, mesh, rank):
    vp = -(-c.v // (c.multiple * mesh.tp)) * c.multiple * mesh.tp
    ends = [
        pad(t[name], (0, vp - c.v)).chunk(mesh.tp)[rank.tp]
        for name in ("pair.a", "pair.b")
    ]
    return {
        "embedding.weight": pad(t["embed.weight"], (0, 0, 0, vp - c.v)).chunk(mesh.tp)[
            rank.tp
        ],
        "padded": pad(t["table"].T, (0, vp - c.v, 0, 1)),
        "pairs": torch.cat(ends),
    }
