"""Experts of their own files on one side, stacked along an axis on the other; transposed, and split in two ways."""

import torch

CASES = [{"config": {"X": 3, "f": 8, "e": 5}, "mesh": {"tp": tp}} for tp in (1, 2, 4)]


def whole(c):
    shapes = {
        "gate_proj.weight": (c.f, c.e),
        "down_proj.weight": (c.e, c.f),
        "scale": (),
    }
    return {f"mlp.experts.{x}.{n}": s for x in range(c.X) for n, s in shapes.items()}


def parts(t, c, mesh, rank):
    experts = [f"mlp.experts.{x}" for x in range(c.X)]
    w1 = torch.cat([t[f"{x}.gate_proj.weight"].T for x in experts])
    w2 = [t[f"{x}.down_proj.weight"].T.chunk(mesh.tp)[rank.tp] for x in experts]
    return {
        "mlp.experts.w1": w1.chunk(mesh.tp, dim=1)[rank.tp],
        "mlp.experts.w2": torch.cat(w2),
        "mlp.scales": torch.stack([t[f"{x}.scale"] for x in experts]),
    }
