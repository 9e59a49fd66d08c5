"""Tensors left behind by name, on either side, with `**` at any place of the name."""

CASES = [{"config": {"L": 2, "e": 3}}]
GONE_LEFT = [
    "layers.0.rotary.inv_freq",
    "layers.1.a.b.cache",
    "buffers.x.y",
    "layers.0.cache",
]
GONE_RIGHT = ["h.1._extra_state", "h.1.mlp.fc._extra_state", "unused", "h.0.unused"]


def whole(c):
    return {f"layers.{i}.weight": (c.e,) for i in range(c.L)}


def parts(t, c, mesh, rank):
    return {f"h.{i}.w": t[f"layers.{i}.weight"] for i in range(c.L)}
