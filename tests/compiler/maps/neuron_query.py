"""Neuron's order of queries where keys and values are repeated m times: rank (m g) has h of the heads of group g."""

CASES = [
    {"config": {"g": 2, "m": 2, "h": 3, "d": 5, "e": 7}, "mesh": {"tp": tp}}
    for tp in (1, 2, 4)
]


def whole(c):
    return {"q.weight": (c.g * c.m * c.h * c.d, c.e)}


def parts(t, c, mesh, rank):
    heads = t["q.weight"].reshape(c.g, c.m, c.h, c.d, c.e)
    ordered = heads.permute(1, 0, 2, 3, 4).reshape(c.m * c.g, c.h, c.d, c.e)
    return {"q_local.weight": ordered.chunk(mesh.tp)[rank.tp].reshape(-1, c.e)}
