"""Splits into pieces that are rounded up: the last ranks hold less, or nothing."""

import torch

CONFIG = {"v": 7, "f": 5, "e": 3, "g": 6, "d": 2, "X": 4}
CASES = [
    {"config": CONFIG, "mesh": mesh}
    for mesh in ({}, {"tp": 2}, {"tp": 4, "ep": 2}, {"tp": 5}, {"ep": 4}, {"tp": 8})
]


def whole(c):
    return {
        "embed.weight": (c.v, c.e),
        "padded.weight": (c.v, c.e),
        "gate.weight": (c.f, c.e),
        "up.weight": (c.f, c.e),
        "down.weight": (c.e, c.f),
        "q.weight": (c.g * c.d, c.e),
        "o.weight": (c.g * c.d, c.e),
        "experts": (c.X, c.f, c.e),
    }


def piece(tensor, ranks, rank, dim=0):
    size = (tensor.shape[dim] + ranks - 1) // ranks
    start = min(rank * size, tensor.shape[dim])
    return tensor.narrow(dim, start, min(size, tensor.shape[dim] - start))


def parts(t, c, mesh, rank):
    def own(tensor, dim=0):
        return piece(tensor, mesh.tp, rank.tp, dim)

    padding = torch.zeros(1, c.e, dtype=torch.int64)
    heads = t["q.weight"].view(c.g, c.d, c.e)
    found = {
        "embedding.weight": own(t["embed.weight"]),
        "padded.weight": own(torch.cat([t["padded.weight"], padding])),
        "fc1.weight": torch.cat([own(t["gate.weight"]), own(t["up.weight"])]),
        "fc2.weight": own(t["down.weight"], 1),
        "q.weight": own(heads).reshape(-1, c.e),
        "o.weight": piece(own(t["o.weight"]), mesh.ep, rank.ep, 1),
    }
    count = c.X // mesh.ep
    for number in range(count):
        expert = t["experts"][rank.ep * count + number]
        found[f"expert.{number}.weight"] = own(expert)
    return found
