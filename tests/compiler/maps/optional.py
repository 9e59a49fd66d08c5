"""Statements that are there or not: all, none, or another one in every layer; sizes are measured on those that are."""

import torch

CASES = [
    {"config": {"L": 2, "f": 4, "given": given}, "mesh": {"tp": tp, "pp": pp}}
    for given in (0, 1, 2)
    for tp, pp in ((1, 1), (2, 2))
]
OPTIONAL = r"scale|.*\.(up|gate|fc1|k)\..*|.*\.rotary"


def whole(c):
    shapes = {"scale": ()} if c.given == 2 else {}
    for i in range(c.L):
        shapes[f"layers.{i}.norm.weight"] = (c.f,)
        if c.given == 2 or (c.given == 1 and i == 0):
            for name in ("up", "gate"):
                shapes[f"layers.{i}.{name}.weight"] = (c.f, 3)
            shapes[f"layers.{i}.k.weight"] = (2 * i + 2, 5)
        if c.given == 2 or (c.given == 1 and i == 1):
            for name in ("up", "gate"):
                shapes[f"layers.{i}.{name}.bias"] = (c.f,)
            shapes[f"layers.{i}.rotary"] = (2, 2)
    return shapes


def parts(t, c, mesh, rank):
    found = {"scale": t["scale"]} if "scale" in t and rank.pp == 0 else {}
    each = c.L // mesh.pp
    for number in range(each):
        here, there = f"layers.{rank.pp * each + number}", f"decoder.{number}"
        for name in ("norm.weight", "rotary"):
            if f"{here}.{name}" in t:
                found[f"{there}.{name}"] = t[f"{here}.{name}"]
        for end in ("weight", "bias"):
            if f"{here}.up.{end}" in t:
                both = [t[f"{here}.{name}.{end}"] for name in ("up", "gate")]
                own = [tensor.chunk(mesh.tp)[rank.tp] for tensor in both]
                found[f"{there}.fc1.{end}"] = torch.cat(own)
        if f"{here}.k.weight" in t:
            turned = t[f"{here}.k.weight"].T
            found[f"{there}.k.weight"] = turned.chunk(mesh.tp, 1)[rank.tp]
    return found
