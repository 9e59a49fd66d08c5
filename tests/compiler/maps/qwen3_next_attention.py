"""Qwen3-Next: a query and its gate side by side in each head, apart on the other side."""

import torch

CASES = [
    {"config": {"g": 2, "h": 3, "d": 4, "e": 5}, "mesh": {"tp": tp}} for tp in (1, 2, 4)
]


def whole(c):
    return {
        "q.weight": (2 * c.g * c.h * c.d, c.e),
        "k.weight": (c.g * c.d, c.e),
        "v.weight": (c.g * c.d, c.e),
    }


def parts(t, c, mesh, rank):
    both = t["q.weight"].reshape(c.g, c.h, 2, c.d, c.e)
    rows = []
    for group in range(c.g):
        rows += [both[group, :, 0].reshape(-1, c.e), both[group, :, 1].reshape(-1, c.e)]
        rows += [t[f"{x}.weight"].reshape(c.g, c.d, c.e)[group] for x in "kv"]
    return {"qkv.weight": torch.cat(rows).chunk(mesh.tp)[rank.tp]}
