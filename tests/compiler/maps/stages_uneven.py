"""Pipeline stages of which the first and the last hold another number of layers."""

STAGES = {(9, 4): [2, 3, 3, 1], (7, 4): [1, 2, 2, 2], (7, 1): [7], (5, 2): [3, 2]}
CASES = [
    {
        "config": {"L": 9, "e": 5},
        "mesh": {"pp": 4},
        "options": {"first_stage": 2, "last_stage": 1},
    },
    {"config": {"L": 7, "e": 5}, "mesh": {"pp": 4}, "options": {"first_stage": 1}},
    {"config": {"L": 7, "e": 5}, "options": {"first_stage": 1}},
    {"config": {"L": 5, "e": 3}, "mesh": {"pp": 2}, "options": {"last_stage": 2}},
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
