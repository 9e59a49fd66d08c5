"""Pipeline stages from a list: any number of layers each, none at all included."""

STAGES = {(6, 3): [1, 5, 0], (6, 2): [4, 2], (6, 1): [6]}
CASES = [
    {
        "config": {"L": 6, "e": 5},
        "mesh": {"pp": 3},
        "options": {"layers_of_stages": [1, 5, 0]},
    },
    {
        "config": {"L": 6, "e": 5},
        "mesh": {"pp": 2},
        "options": {"layers_of_stages": [4, 2]},
    },
    {"config": {"L": 6, "e": 5}, "options": {"layers_of_stages": [6]}},
]


def whole(c):
    return {"embed.weight": (c.e,), "norm.weight": (c.e,)} | {
        f"layers.{i}.weight": (c.e,) for i in range(c.L)
    }


def parts(t, c, mesh, rank):
    first = sum(STAGES[c.L, mesh.pp][: rank.pp])
    found = {"embedding.weight": t["embed.weight"]} if rank.pp == 0 else {}
    for number in range(STAGES[c.L, mesh.pp][rank.pp]):
        found[f"decoder.{number}.weight"] = t[f"layers.{first + number}.weight"]
    if rank.pp == mesh.pp - 1:
        found["final_norm.weight"] = t["norm.weight"]
    return found
