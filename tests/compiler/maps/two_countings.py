"""Dense tensors count the ranks by tp, experts by etp and ep: with tp=2 and ep=2 a stage has two ranks, not four."""

import torch

CONFIG = {"L": 2, "X": 4, "f": 12, "e": 5}
CASES = [
    {
        "config": CONFIG,
        "mesh": {"tp": 2, "ep": 2},
        "ranks": [(0, 0, 0, 0), (0, 1, 0, 1)],
    },
    {
        "config": CONFIG,
        "mesh": {"tp": 2, "ep": 4},
        "ranks": [(0, r % 2, 0, r) for r in range(4)],
    },
    {
        "config": CONFIG,
        "mesh": {"tp": 4, "etp": 2},
        "ranks": [(0, r, r % 2, 0) for r in range(4)],
    },
    {
        "config": CONFIG,
        "mesh": {"pp": 2, "tp": 2, "etp": 2, "ep": 2},
        "ranks": [(p, r % 2, r % 2, r // 2) for p in range(2) for r in range(4)],
    },
    {"config": CONFIG, "mesh": {}, "ranks": [(0, 0, 0, 0)]},
    {
        "config": CONFIG,
        "mesh": {"tp": 2, "etp": 3},
        "ranks": [(0, r % 2, r % 3, 0) for r in range(6)],
    },
]


def whole(c):
    shapes = {"embed.weight": (c.f, c.e)}
    for i in range(c.L):
        shapes |= {
            f"layers.{i}.up.weight": (c.f, c.e),
            f"layers.{i}.norm.weight": (c.e,),
        }
        shapes |= {
            f"layers.{i}.mlp.experts.{x}.up.weight": (c.f, c.e) for x in range(c.X)
        }
    return shapes


def parts(t, c, mesh, rank):
    found = (
        {"embedding.weight": t["embed.weight"].chunk(mesh.tp)[rank.tp]}
        if rank.pp == 0
        else {}
    )
    for number in range(c.L // mesh.pp):
        i = rank.pp * (c.L // mesh.pp) + number
        experts = torch.stack(
            [t[f"layers.{i}.mlp.experts.{x}.up.weight"] for x in range(c.X)]
        )
        found[f"layers.{number}.fc1.weight"] = t[f"layers.{i}.up.weight"].chunk(
            mesh.tp
        )[rank.tp]
        found[f"layers.{number}.norm.weight"] = t[f"layers.{i}.norm.weight"]
        own = experts.chunk(mesh.ep)[rank.ep].chunk(mesh.etp, dim=1)[rank.etp]
        found[f"layers.{number}.experts.fc1.weight"] = own
    return found
