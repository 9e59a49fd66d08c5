"""Megatron cuts the finished axis, also where there are more ranks than groups or the cut goes through a head."""

import torch

CASES = [
    {"config": {"g": 4, "h": 3, "d": 5, "e": 7}, "mesh": {"tp": 2}},
    {"config": {"g": 2, "h": 2, "d": 3, "e": 5}, "mesh": {"tp": 4}},
    {"config": {"g": 1, "h": 3, "d": 4, "e": 7}, "mesh": {"tp": 4}},
    {"config": {"g": 2, "h": 3, "d": 5, "e": 7}},
]


def whole(c):
    return {
        "q.weight": (c.g * c.h * c.d, c.e),
        "k.weight": (c.g * c.d, c.e),
        "v.weight": (c.g * c.d, c.e),
    }


def parts(t, c, mesh, rank):
    groups = [t[f"{x}.weight"].reshape(c.g, -1, c.e) for x in "qkv"]
    return {
        "qkv.weight": torch.cat(groups, dim=1).reshape(-1, c.e).chunk(mesh.tp)[rank.tp]
    }
