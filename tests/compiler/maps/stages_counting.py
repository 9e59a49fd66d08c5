"""Pipeline stages that count the embedding and the loss as a layer each."""

STAGES = {
    (6, 4): [1, 2, 2, 1],
    (7, 4): [1, 2, 2, 2],
    (8, 4): [2, 2, 2, 2],
    (5, 3): [2, 2, 1],
}
CASES = [
    {
        "config": {"L": 6, "e": 5},
        "mesh": {"pp": 4},
        "options": {"count_embedding": True, "count_loss": True},
    },
    {
        "config": {"L": 7, "e": 5},
        "mesh": {"pp": 4},
        "options": {"count_embedding": True},
    },
    {"config": {"L": 5, "e": 5}, "mesh": {"pp": 3}, "options": {"count_loss": True}},
    {"config": {"L": 8, "e": 5}, "mesh": {"pp": 4}},
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
