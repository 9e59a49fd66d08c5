"""Arithmetic on either side, on padded, split, tied, fused and stacked tensors: rounded once each way, padding zero."""

import math

import torch
from torch.nn.functional import pad

CONFIG = {"L": 2, "v": 5, "vp": 8, "e": 3, "d": 4, "X": 2, "scale": 0.3}
CASES = [
    {"config": CONFIG, "mesh": {"tp": tp}, "dtype": dtype}
    for tp in (1, 2)
    for dtype in ("float64", "float32", "bfloat16", "float16")
]
CASES += [{"config": {**CONFIG, "scale": 2, "d": 6}, "dtype": "float16"}]


def whole(c):
    return (
        {
            "a_log": (c.e,),
            "embed.weight": (c.v, c.e),
            "norm.weight": (c.e,),
            "q.weight": (c.d * c.e,),
            "k.weight": (c.d * c.e,),
        }
        | {f"layers.{i}.bias": (c.e,) for i in range(c.L)}
        | {f"experts.{x}": (c.e, c.d) for x in range(c.X)}
    )


def wide(x):
    """What arithmetic is done in."""
    return x.double() if x.dtype == torch.float64 else x.float()


def number(value, like):
    """A number as the arithmetic sees it."""
    return torch.tensor(value, dtype=wide(like).dtype)


def there(t, c):
    """The tensors of the other side, of all ranks together and without padding."""

    def f(name, compute):
        return compute(wide(t[name])).to(t[name].dtype)

    def n(value):
        return number(value, t["q.weight"])

    def exp(x):
        return x.double().exp().to(x.dtype)

    q = f("q.weight", lambda x: ((x * n(c.scale)) - n(3 / c.d)) + n(1))
    found = {
        "a": f("a_log", lambda x: -exp(x)),
        "embedding.weight": f("embed.weight", lambda x: x * n(c.scale / 2)),
        "norm.weight": f("norm.weight", lambda x: x + n(1)),
        "qk.weight": torch.cat([q, f("k.weight", lambda x: x + n(1))]),
        "grouped": torch.stack(
            [f(f"experts.{x}", lambda y: y / n(3)) for x in range(c.X)]
        ),
    }
    for i in range(c.L):
        found[f"decoder.{i}.bias"] = f(
            f"layers.{i}.bias", lambda x, i=i: (x + n(0.5)) / n(i + 1)
        )
    return found


def parts(t, c, mesh, rank):
    found = there(t, c)
    rows = pad(found["embedding.weight"], (0, 0, 0, c.vp - c.v))
    found["embedding.weight"] = rows.chunk(mesh.tp)[rank.tp]
    found["grouped"] = found["grouped"].chunk(mesh.tp, 2)[rank.tp]
    if c.d == 4:
        found["qk.copy"] = found["qk.weight"]
    return found


def again(t, c):
    """What comes back: computed from what was rounded on the way, and rounded once more."""
    there_ = there(t, c)

    def n(value):
        return number(value, t["q.weight"])

    def log(x):
        return x.double().log().to(x.dtype)

    q, k = wide(there_["qk.weight"]).chunk(2)
    found = {
        "embed.weight": wide(there_["embedding.weight"]) / n(c.scale / 2),
        "norm.weight": wide(there_["norm.weight"]) - n(1),
        "a_log": log(-wide(there_["a"])),
        "q.weight": ((q - n(1)) + n(3 / c.d)) / n(c.scale),
        "k.weight": k - n(1),
    }
    for i in range(c.L):
        found[f"layers.{i}.bias"] = wide(there_[f"decoder.{i}.bias"]) * n(i + 1) - n(
            0.5
        )
    for x in range(c.X):
        found[f"experts.{x}"] = wide(there_["grouped"])[x] * n(3)
    assert math.isfinite(sum(float(x.double().abs().sum()) for x in found.values()))
    return {name: tensor.to(t[name].dtype) for name, tensor in found.items()}
