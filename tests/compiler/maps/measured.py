"""Sizes that no config has, measured on the tensors of whichever side is read, another one in every layer."""

import torch

CASES = [{"config": {"e": 3, "r": 5}, "mesh": {"tp": tp}} for tp in (1, 2, 4)]


def whole(c):
    shapes = {f"d.{i}.weight": (4 * i + 4, c.e) for i in range(c.e)}
    return {"a.weight": (8, c.e), "b.weight": (5, c.e)} | shapes


def parts(t, c, mesh, rank):
    halves = [half.chunk(mesh.tp)[rank.tp] for half in t["a.weight"].chunk(2)]
    found = {"c.weight": torch.cat([*halves, t["b.weight"]])}
    for i in range(c.e):
        found[f"d.{i}.weight"] = t[f"d.{i}.weight"].T.chunk(mesh.tp, dim=1)[rank.tp]
    return found


ANY = r"[abc].weight|d.*"
