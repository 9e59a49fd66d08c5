"""The two halves of a head, as Hugging Face rotates them, to neighbours, as the papers do."""

import torch

CASES = [{"config": {"n": 3, "r": 5, "e": 7}}]


def whole(c):
    return {"q.weight": (c.n * 2 * c.r, c.e)}


def parts(t, c, mesh, rank):
    heads = []
    for head in t["q.weight"].split(2 * c.r):
        halves = head[: c.r], head[c.r :]
        heads += [half[i] for i in range(c.r) for half in halves]
    return {"q_proj.weight": torch.stack(heads)}
