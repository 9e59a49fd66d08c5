"""Tensors that may be absent, where they are there: an equation as any other."""

import torch

CONFIG = {"L": 2, "e": 4, "f": 6, "one": 1.0}
CASES = [{"config": CONFIG, "mesh": {"tp": tp}, "dtype": "float32"} for tp in (1, 2)]


def whole(c):
    shapes = {"weight": (c.f, c.e), "bias": (c.f,), "q": (c.e,), "k": (c.e,)}
    layers = {f"h.{i}.{name}": shapes[name] for i in range(c.L) for name in shapes}
    return layers | {"norm": (c.e,), "router": (c.f, c.e), "spread": (c.e,)}


def parts(t, c, mesh, rank):
    def own(tensor, dim=0):
        return tensor.chunk(mesh.tp, dim)[rank.tp]

    found = {}
    for i in range(c.L):
        h, layer = f"h.{i}", f"layers.{i}"
        found[f"{layer}.weight"] = own(t[f"{h}.weight"])
        found[f"{layer}.bias"] = own(t[f"{h}.bias"])
        found[f"{layer}.qk"] = torch.cat([own(t[f"{h}.q"]) * 2, own(t[f"{h}.k"])])
    norm, router = t["norm"] + 1, own(t["router"], 1)
    return {**found, "norm": norm, "router": router, "spread": t["spread"]}
