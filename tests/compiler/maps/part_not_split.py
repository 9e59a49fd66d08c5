"""Parts of one tensor that are split over different dimensions, or over none: the others hold copies."""

import torch

CASES = [
    {"config": {"f": 4, "g": 6, "e": 5}, "mesh": {"tp": tp, "ep": 2}}
    for tp in (1, 2, 4)
]


def whole(c):
    return {"in.weight": (c.f + c.g, c.e), "up.weight": (c.f + c.g, c.e)}


def parts(t, c, mesh, rank):
    found = {}
    for name, pieces, own in (("in.weight", 1, 0), ("up.weight", mesh.ep, rank.ep)):
        first, second = t[name].split([c.f, c.g])
        both = [first.chunk(mesh.tp)[rank.tp], second.chunk(pieces)[own]]
        found[name] = torch.cat(both)
    return found
