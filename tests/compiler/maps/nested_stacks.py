"""Two loops, of which every statement stacks others: names on one side, axes on the other, in any combination."""

import torch

CASES = [{"config": {"X": 2, "Y": 3, "f": 5, "e": 7}}]


def whole(c):
    pairs = [f"{x}.{y}" for x in range(c.X) for y in range(c.Y)]
    shapes = {f"{w}.{p}": (c.f,) for w in "acg" for p in pairs} | {
        f"k.{p}": (c.f, c.e) for p in pairs
    }
    return shapes | {f"n.{x}": (c.Y, c.f) for x in range(c.X)}


def parts(t, c, mesh, rank):
    xs, ys = range(c.X), range(c.Y)
    found = {f"b.{x}": torch.stack([t[f"a.{x}.{y}"] for y in ys]) for x in xs}
    found["d"] = torch.stack([torch.stack([t[f"c.{x}.{y}"] for y in ys]) for x in xs])
    found |= {f"h.{y}": torch.stack([t[f"g.{x}.{y}"] for x in xs], dim=1) for y in ys}
    found |= {f"m.{x}.{y}": t[f"k.{x}.{y}"].T for x in xs for y in ys}
    return found | {f"o.{y}": torch.stack([t[f"n.{x}"][y] for x in xs]) for y in ys}
