"""Experts that a rank numbers from 0: each rank holds the next X / EP of them, whatever stands behind `@etp`."""

import torch

CONFIG = {"L": 2, "X": 8, "f": 12, "e": 5}
CASES = [
    {"config": CONFIG, "mesh": mesh}
    for mesh in (
        {},
        {"ep": 2},
        {"ep": 8},
        {"tp": 2, "ep": 2},
        {"tp": 2, "ep": 4},
        {"tp": 4, "etp": 2},
        {"tp": 2, "etp": 3},
        {"etp": 2, "ep": 2},
        {"tp": 2, "pp": 2, "etp": 2, "ep": 2},
    )
]
CASES[3] = CASES[3] | {"ranks": [(0, 0, 0, 0), (1, 0, 0, 1)]}
CASES[7] = CASES[7] | {
    "ranks": [(0, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (0, 0, 1, 1)]
}
GONE_RIGHT = ("layers.0.mlp.experts.linear_fc1.0._extra_state",)


def whole(c):
    shapes = {f"top.{x}.weight": (c.e,) for x in range(c.X)} | {"shared": (c.e,)}
    for i in range(c.L):
        here = f"layers.{i}"
        shapes[f"{here}.attention.weight"] = (c.f, c.e)
        shapes[f"{here}.router.weight"] = (c.X, c.e)
        for x in range(c.X):
            expert = f"{here}.mlp.experts.{x}"
            shapes[f"{expert}.gate.weight"] = (c.f, c.e)
            shapes[f"{expert}.up.weight"] = (c.f, c.e)
            shapes[f"{expert}.down.weight"] = (c.e, c.f)
            if x % 2:
                shapes[f"{here}.odd.{x}"] = (c.e,)
    return shapes


def parts(t, c, mesh, rank):
    found = {}
    own = c.X // mesh.ep
    first = rank.ep * own
    if rank.pp in (0, mesh.pp - 1):
        found |= {f"shared.{n}": t["shared"] for n in range(4 // mesh.tp)}
    if rank.pp == mesh.pp - 1:
        for number in range(own):
            found[f"top.{number}.weight"] = t[f"top.{first + number}.weight"]
    layers = c.L // mesh.pp
    for layer in range(layers):
        i, here = rank.pp * layers + layer, f"layers.{layer}"
        attention = t[f"layers.{i}.attention.weight"]
        found[f"{here}.attention.weight"] = attention.chunk(mesh.tp)[rank.tp]
        found[f"{here}.router.weight"] = t[f"layers.{i}.router.weight"]
        for number in range(own):
            x = first + number
            expert = f"layers.{i}.mlp.experts.{x}"
            both = [t[f"{expert}.{name}.weight"] for name in ("gate", "up")]
            pieces = [one.chunk(mesh.etp)[rank.etp] for one in both]
            fc1 = f"{here}.mlp.experts.linear_fc1.weight{number}"
            fc2 = f"{here}.mlp.experts.local_experts.{number}.linear_fc2.weight"
            found[fc1] = torch.cat(pieces)
            down = t[f"{expert}.down.weight"]
            found[fc2] = down.chunk(mesh.etp, dim=1)[rank.etp]
            if x % 2:
                found[f"{here}.odd.{number}"] = t[f"layers.{i}.odd.{x}"]
    return found
