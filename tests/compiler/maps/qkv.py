"""Queries, keys and values of each group side by side, as Megatron stores them; no mesh."""

import torch

CASES = [
    {"config": {"g": 2, "h": 3, "d": 5, "e": 7}},
    {"config": {"g": 1, "h": 4, "d": 3, "e": 2}},
]


def whole(c):
    return {
        "q.weight": (c.g * c.h * c.d, c.e),
        "k.weight": (c.g * c.d, c.e),
        "v.weight": (c.g * c.d, c.e),
    }


def parts(t, c, mesh, rank):
    groups = [t[f"{x}.weight"].reshape(c.g, -1, c.e) for x in "qkv"]
    return {"qkv.weight": torch.cat(groups, dim=1).reshape(-1, c.e)}
