"""Gated delta net: four and two components of each key head; a rank has its heads of one component after the other."""

import torch

CASES = [
    {"config": {"k": 4, "r": 2, "dk": 3, "dv": 5, "e": 7}, "mesh": {"tp": tp}}
    for tp in (1, 2, 4)
]
CASES = [
    *CASES,
    {"config": {"k": 2, "r": 3, "dk": 0, "dv": 2, "e": 3}, "mesh": {"tp": 2}},
]


def whole(c):
    return {
        "in_qkvz.weight": (c.k * (2 * c.dk + 2 * c.r * c.dv), c.e),
        "in_ba.weight": (c.k * 2 * c.r, c.e),
    }


def parts(t, c, mesh, rank):
    heads = t["in_qkvz.weight"].reshape(c.k, -1, c.e)
    sizes = [c.dk, c.dk, c.r * c.dv, c.r * c.dv]
    components = [
        *heads.split(sizes, dim=1),
        *t["in_ba.weight"].reshape(c.k, -1, c.e).chunk(2, dim=1),
    ]
    own = [x.chunk(mesh.tp)[rank.tp].reshape(-1, c.e) for x in components]
    return {"in_proj.weight": torch.cat(own)}
