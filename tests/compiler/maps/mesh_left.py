"""The layout with the mesh stands on the left side of the map."""

import torch

CASES = [
    {"config": {"L": 4, "X": 2, "f": 8, "e": 5}, "mesh": {"tp": tp, "pp": pp}}
    for tp, pp in ((1, 1), (2, 1), (2, 4), (4, 2))
]
WHOLE = "hf"


def whole(c):
    shapes = {}
    for i in range(c.L):
        shapes |= {f"layers.{i}.{x}.weight": (c.f, c.e) for x in ("gate", "up", "down")}
        shapes |= {f"layers.{i}.experts.{x}.weight": (c.f,) for x in range(c.X)}
    return shapes | {"norm.weight": (c.e,)}


def parts(t, c, mesh, rank):
    found = {}
    for number in range(c.L // mesh.pp):
        old, new = f"layers.{rank.pp * (c.L // mesh.pp) + number}", f"decoder.{number}"
        own = [t[f"{old}.{x}.weight"].chunk(mesh.tp)[rank.tp] for x in ("gate", "up")]
        found[f"{new}.fc1.weight"] = torch.cat(own)
        down = t[f"{old}.down.weight"].T.chunk(mesh.tp, dim=1)[rank.tp]
        found[f"{new}.fc2.weight"] = torch.cat(
            [down, torch.zeros_like(down[:1]).expand(c.f + 1 - c.e, -1)]
        )
        experts = torch.stack([t[f"{old}.experts.{x}.weight"] for x in range(c.X)])
        found[f"{new}.experts.weight"] = experts.chunk(mesh.tp, dim=1)[rank.tp]
    if rank.pp == mesh.pp - 1:
        found["norm.weight"] = t["norm.weight"]
    return found
