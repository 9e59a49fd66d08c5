"""Each rank has its piece of gate, then its piece of up."""

import torch

CASES = [{"config": {"f": 12, "e": 5}, "mesh": {"tp": tp}} for tp in (1, 2, 4)]


def whole(c):
    return {"gate.weight": (c.f, c.e), "up.weight": (c.f, c.e)}


def parts(t, c, mesh, rank):
    own = [t[f"{x}.weight"].chunk(mesh.tp)[rank.tp] for x in ("gate", "up")]
    return {"linear_fc1.weight": torch.cat(own)}
