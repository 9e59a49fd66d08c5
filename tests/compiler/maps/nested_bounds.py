"""Ranges that change with an outer index, in names and on axes; the layers of all stages stacked in one tensor."""

import torch

CONFIG = {"num_stages": 3, "L": 4, "e": 5, "f": 6}
CONFIG |= {"depths": [2, 4, 2], "heads": [1, 2, 1, 3]}
CASES = [
    {"config": CONFIG},
    {"config": CONFIG, "mesh": {"tp": 2, "ep": 2}},
    {"config": CONFIG, "mesh": {"pp": 2, "tp": 3}},
    {"config": CONFIG | {"depths": [1, 2, 1]}, "mesh": {"pp": 4}},
]


def whole(c):
    shapes = {}
    for s, depth in enumerate(c.depths):
        for j in range(depth):
            shapes[f"stages.{s}.blocks.{j}.weight"] = (c.f, c.e)
            shapes[f"stages.{s}.norms.{j}"] = (c.e,)
        shapes[f"stages.{s}.both"] = (depth, c.f)
        for k in range(2 * c.heads[s]):
            shapes[f"stages.{s}.table.{k}"] = (c.heads[s], c.e)
    shapes |= {"stacked": (c.L, c.f, c.e), "biases": (c.L, c.e)}
    return shapes | {f"grid.{i}": (c.heads[i] * c.e,) for i in range(c.L)}


def parts(t, c, mesh, rank):
    found = {}
    for s, depth in enumerate(c.depths):
        here, there = f"stages.{s}", f"swin.{s}"
        if rank.pp == mesh.pp - 1:
            norms = [t[f"{here}.norms.{j}"] for j in range(depth)]
            empty = torch.zeros(0, c.e, dtype=torch.int64)
            found[f"{there}.norms"] = torch.stack(norms) if norms else empty
        if rank.pp > 0:
            continue
        for j in range(depth):
            weight = t[f"{here}.blocks.{j}.weight"].chunk(mesh.tp)[rank.tp]
            found[f"{there}.blocks.{j}.weight"] = weight.T
        own = depth // mesh.ep
        for number in range(own):
            found[f"{there}.both.{number}"] = t[f"{here}.both"][rank.ep * own + number]
        tables = [t[f"{here}.table.{k}"] for k in range(2 * c.heads[s])]
        found[f"{there}.tables"] = torch.cat(tables)
    layers = c.L // mesh.pp
    for number in range(layers):
        i, there = rank.pp * layers + number, f"layers.{number}"
        found[f"{there}.weight"] = t["stacked"][i].chunk(mesh.tp)[rank.tp]
        found[f"{there}.bias"] = t["biases"][i]
        for j, row in enumerate(t[f"grid.{i}"].view(-1, c.e)):
            found[f"{there}.grid.{j}"] = row
    return found
