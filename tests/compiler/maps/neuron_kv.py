"""Neuron repeats the whole of the keys m times, so that there are as many groups as ranks."""

CASES = [
    {"config": {"g": 2, "kv_multiplier": 2, "d": 5, "e": 7}, "mesh": {"tp": tp}}
    for tp in (1, 2, 4)
]
CASES += [{"config": {"g": 1, "kv_multiplier": 4, "d": 3, "e": 2}, "mesh": {"tp": 2}}]


def whole(c):
    return {"k.weight": (c.g * c.d, c.e)}


def parts(t, c, mesh, rank):
    repeated = t["k.weight"].repeat(c.kv_multiplier, 1).reshape(-1, c.d, c.e)
    return {"k_local.weight": repeated.chunk(mesh.tp)[rank.tp].reshape(-1, c.e)}
