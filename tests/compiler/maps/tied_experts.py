"""A tie in a loop whose index is an axis on the other side: every expert is tied to its own shadow."""

import torch

CASES = [{"config": {"X": 3, "f": 5, "copied": copied}} for copied in (0, 1)]
SAME = {f"shadow.{x}.weight": f"experts.{x}.weight" for x in range(3)}


def whole(c):
    words = ["experts", "shadow"][: 1 + c.copied]
    return {f"{word}.{x}.weight": (c.f,) for x in range(c.X) for word in words}


def parts(t, c, mesh, rank):
    return {
        "experts.weight": torch.stack([t[f"experts.{x}.weight"] for x in range(c.X)])
    }
