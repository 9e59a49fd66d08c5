"""Lists in names: several terms in their order, in two lists the right one fastest."""

import torch

CASES = [{"config": {"e": 3, "f": 4}, "mesh": {"tp": tp}} for tp in (1, 2, 4)]
FOUR = [f"self.{x}_{y}.weight" for x in "qk" for y in "ab"]


def whole(c):
    deep = {"deep.one.two": (c.e, c.f), "deep.three": (c.e, c.f)}
    return (
        dict.fromkeys(FOUR, (c.f, c.e)) | {"x.scale": (c.e,), "y.scale": (c.e,)} | deep
    )


def parts(t, c, mesh, rank):
    return {
        "fused.weight": torch.cat([t[name].chunk(mesh.tp)[rank.tp] for name in FOUR]),
        "new_x.scale": t["x.scale"],
        "new_y.scale": t["y.scale"],
        "both": torch.cat([t["deep.one.two"], t["deep.three"]], dim=1),
    }
