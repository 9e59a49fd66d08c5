"""Experts stacked in one tensor on one side, and one tensor an expert on the rank that holds it on the other."""

import torch

CONFIG = {"X": 4, "f": 6, "e": 5}
CASES = [
    {"config": CONFIG, "mesh": mesh}
    for mesh in (
        {},
        {"ep": 2},
        {"ep": 4, "tp": 2},
        {"tp": 4, "etp": 2, "ep": 2},
        {"etp": 3, "ep": 2},
    )
]


def whole(c):
    return {
        "tied": (c.X, c.e),
        "experts.gate_up_proj": (c.X, c.e, 2 * c.f),
        "experts.down_proj": (c.X, c.f, c.e),
        "experts.extra": (c.X * c.f,),
        "experts.bias": (c.X, c.e),
    }


def parts(t, c, mesh, rank):
    found = {}
    own = c.X // mesh.ep
    for number in range(own):
        x = rank.ep * own + number
        found[f"tied.{number}.weight"] = t["tied"][x]
        found[f"again.{number}.weight"] = t["tied"][x]
        both = t["experts.gate_up_proj"][x].T
        pieces = [both[side::2].chunk(mesh.etp)[rank.etp] for side in (0, 1)]
        found[f"experts.linear_fc1.weight{number}"] = torch.cat(pieces)
        down = t["experts.down_proj"][x].T.chunk(mesh.etp, dim=1)[rank.etp]
        found[f"experts.linear_fc2.weight{number}"] = down
        extra = t["experts.extra"].view(c.X, c.f)[x].chunk(mesh.etp)[rank.etp]
        found[f"experts.extra.{x}.of.{number}"] = extra
        found[f"experts.linear_fc2.bias{number}"] = t["experts.bias"][x]
    return found
