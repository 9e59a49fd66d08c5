"""Values that a block binds for itself, sizes that differ from layer to layer among them."""

import torch

CASES = [
    {"config": {"L": 3, "X": 2, "e": 5, "f": 4}, "mesh": {"tp": tp}} for tp in (1, 2, 4)
]


def whole(c):
    shapes = {"in.weight": (c.e, 2 * c.f)}
    for i in range(c.L):
        size = (i + 1) * c.f
        shapes |= {
            f"layers.{i}.up.weight": (size, c.e),
            f"layers.{i}.down.weight": (c.e, size // 2),
        }
        shapes |= {f"layers.{i}.experts.{x}.weight": (size // 2,) for x in range(c.X)}
    return shapes


def parts(t, c, mesh, rank):
    found = {"in.weight": t["in.weight"].T.chunk(mesh.tp)[rank.tp]}
    for i in range(c.L):
        found[f"h.{i}.up.weight"] = t[f"layers.{i}.up.weight"].T.chunk(mesh.tp, dim=1)[
            rank.tp
        ]
        found[f"h.{i}.down.weight"] = t[f"layers.{i}.down.weight"].T
        experts = [t[f"layers.{i}.experts.{x}.weight"] for x in range(c.X)]
        found[f"h.{i}.experts.weight"] = torch.stack(experts)
    return found
