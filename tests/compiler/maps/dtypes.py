"""Dtypes that a side fixes: what goes to the other side takes the dtype of its config, else of its source."""

import torch

BF16, F16, F32 = torch.bfloat16, torch.float16, torch.float32
CASES = [
    {
        "config": {"e": 4, "X": 3, "torch_dtype": said},
        "mesh": {"tp": tp},
        "dtype": "bfloat16",
    }
    for tp in (1, 2)
    for said in ("bfloat16", "float16")
]
FIXED = {"expert_bias": F32, "both": BF16, "same": torch.float64, "k": F32}


def whole(c):
    names = ("norm.weight", "both", "same", "q", "k", "plain")
    return {"expert_bias": (c.X,)} | dict.fromkeys(names, (c.e,))


def parts(t, c, mesh, rank):
    said = getattr(torch, c.torch_dtype)
    parts = (t["q"].to(said), t["k"].to(said))
    qk = torch.cat([part.chunk(mesh.tp)[rank.tp] for part in parts])
    return {
        "router.bias": t["expert_bias"].to(said),
        "norm.weight": t["norm.weight"].float() + 1,  # always float32
        "both": t["both"].to(F16),
        "same": t["same"],
        "qk": qk,
        "plain": t["plain"],
    }


def again(t, c):
    """What is written where the dtype is not fixed has the one of the config."""
    said = getattr(torch, c.torch_dtype)
    return t | {name: t[name].to(said) for name in ("norm.weight", "q")}
