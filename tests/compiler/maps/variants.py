"""A group of names in two ways on the left side, and an independent one on the right side."""

import torch

CASES = [
    {
        "config": {"X": 2, "f": 4, "e": 3},
        "mesh": {"tp": 2},
        "options": {"packing": packing, "experts": experts},
    }
    for packing in ("fused", "apart")
    for experts in ("grouped", "sequential")
]


def whole(c):
    shapes = {"qkv.weight": (3 * c.f, c.e)}
    if c.packing == "apart":
        shapes = {f"{x}.weight": (c.f, c.e) for x in "qkv"}
    return shapes | {f"moe.{x}.weight": (c.f, c.e) for x in range(c.X)}


def parts(t, c, mesh, rank):
    if c.packing == "apart":
        heads = [t[f"{x}.weight"] for x in "qkv"]
    else:
        heads = t["qkv.weight"].chunk(3)
    found = {"attn.weight": torch.cat([x.chunk(mesh.tp)[rank.tp] for x in heads])}
    if c.experts == "grouped":
        return found | {
            "moe.weight": torch.stack([t[f"moe.{x}.weight"] for x in range(c.X)])
        }
    return found | {f"moe.local.{x}.weight": t[f"moe.{x}.weight"] for x in range(c.X)}
