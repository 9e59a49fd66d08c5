"""Virtual stages: which layers each stage has, in the order of its own numbers, written out for each case."""

E = {"e": 5}
CASES = [
    {"config": {"L": layers} | E, "mesh": {"pp": pp}, "options": options}
    for layers, pp, options in (
        (8, 2, {"chunks": 2}),
        (8, 2, {"chunks": 4}),
        (8, 2, {}),
        (12, 2, {"chunks": 2, "first_stage": 4}),
        (6, 2, {"chunks": 2, "count_embedding": True, "count_loss": True}),
        (7, 2, {"chunks": 2, "pattern": [1, 3, 2, 1]}),
        (4, 1, {"chunks": 2}),
    )
]
STAGES = [
    [[0, 1, 4, 5], [2, 3, 6, 7]],
    [[0, 2, 4, 6], [1, 3, 5, 7]],
    [[0, 1, 2, 3], [4, 5, 6, 7]],
    [[0, 1, 6, 7], [2, 3, 4, 5, 8, 9, 10, 11]],
    [[0, 3, 4], [1, 2, 5]],
    [[0, 4, 5], [1, 2, 3, 6]],
    [[0, 1, 2, 3]],
]


def stages(c):
    settings = [case["config"] | case["options"] for case in CASES]
    return STAGES[settings.index(vars(c))]


def whole(c):
    return {"embed.weight": (c.e,), "norm.weight": (c.e,)} | {
        f"layers.{i}.weight": (c.e,) for i in range(c.L)
    }


def parts(t, c, mesh, rank):
    found = {"embedding.weight": t["embed.weight"]} if rank.pp == 0 else {}
    for number, i in enumerate(stages(c)[rank.pp]):
        found[f"decoder.{number}.weight"] = t[f"layers.{i}.weight"]
    if rank.pp == mesh.pp - 1:
        found["final_norm.weight"] = t["norm.weight"]
    return found
