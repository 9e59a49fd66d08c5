"""Tensors of any shape: lists of names, ties, copies by rank, on two stages and in names; another shape in every layer."""

import torch

CASES = [
    {"config": {"L": 2, "e": e}, "mesh": {"tp": tp, "pp": pp}}
    for e, tp, pp in ((3, 1, 1), (4, 2, 2), (3, 3, 2), (4, 1, 2))
]
ANY = r".*proj.weight|rope\.freqs|freqs|[abcd]\.x|steps?|counter|.*(norm|scale|cache).*"
SAME = {"steps": "step"}


def whole(c):
    shapes = {"freqs": (4,), "a.x": (2, 1, 3), "b.x": (), "step": (1,)}
    if c.e == 3:
        shapes["steps"] = (1,)
    for i in range(c.L):
        shapes[f"layers.{i}.proj.weight"] = (c.e, 6)
        shapes[f"layers.{i}.norm.weight"] = (i + 1, 2)
        shapes[f"layers.{i}.norm.bias"] = (i + 2,)
        if i == 0:
            shapes |= {"layers.0.q.scale": (5,), "layers.0.k.scale": (0, 2)}
        shapes[f"layers.{i}.cache"] = (3, i)
    return shapes


def parts(t, c, mesh, rank):
    found = {}
    if rank.pp == 0:
        found |= {"rope.freqs": t["freqs"], "c.x": t["a.x"], "d.x": t["b.x"]}
    if rank.pp == mesh.pp - 1:
        found |= {"rope.freqs": t["freqs"], "counter": t["step"]}
    each = c.L // mesh.pp
    for number in range(each):
        i = rank.pp * each + number
        proj = t[f"layers.{i}.proj.weight"]
        found[f"decoder.{number}.proj.weight"] = torch.chunk(proj, mesh.tp, 1)[rank.tp]
        for name in ("norm.weight", "norm.bias"):
            found[f"decoder.{number}.{name}"] = t[f"layers.{i}.{name}"]
        if i == 0:
            found["decoder.0.k.scale"] = t["layers.0.q.scale"]
            found["decoder.0.q.scale"] = t["layers.0.k.scale"]
        for copy in range(2):
            found[f"decoder.{number}.cache.{copy}"] = t[f"layers.{i}.cache"]
    return found
