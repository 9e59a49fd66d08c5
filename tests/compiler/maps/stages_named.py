"""Chunks with names of their own: the layers of each chunk of each stage, written out for each case."""

E = {"e": 4}
ANY = r"(part\d\.)?(layers|decoder)\.\d\.(rope|scale)"
CASES = [
    {"config": {"L": layers} | E, "mesh": {"pp": pp, "tp": tp}, "options": options}
    for layers, pp, tp, options in (
        (8, 2, 1, {"chunks": 2}),
        (8, 2, 2, {"chunks": 1}),
        (8, 2, 1, {}),
        (4, 2, 2, {"pattern": "Et||t|ttL"}),
        (4, 1, 2, {"chunks": 2}),
    )
]
STAGES = [
    [[[0, 1], [4, 5]], [[2, 3], [6, 7]]],
    [[[0, 1, 2, 3]], [[4, 5, 6, 7]]],
    [[[0, 1, 2, 3]], [[4, 5, 6, 7]]],
    [[[0], [1]], [[], [2, 3]]],
    [[[0, 1, 2, 3]]],
]


def stages(c):
    settings = [case["config"] | case["options"] for case in CASES]
    return STAGES[settings.index(vars(c))]


def whole(c):
    ends = {"embed.weight": (c.e,), "shift.weight": (c.e,), "norm.weight": (c.e,)}
    names = {"weight": c.e, "rope": 5, "scale": 3}
    layers = {
        f"layers.{i}.{n}": (size,) for i in range(c.L) for n, size in names.items()
    }
    return ends | layers


def parts(t, c, mesh, rank):
    held = stages(c)[rank.pp]
    chunks = [f"part{n}." for n in range(len(held))] if len(held) > 1 else [""]
    found = {}
    if rank.pp == 0:
        own = t["embed.weight"].chunk(mesh.tp)[rank.tp]
        found[f"{chunks[0]}embedding.weight"] = own
        found[f"{chunks[0]}shift.weight"] = t["shift.weight"]
    for prefix, layers in zip(chunks, held):
        for number, i in enumerate(layers):
            for name in ("weight", "rope", "scale"):
                found[f"{prefix}decoder.{number}.{name}"] = t[f"layers.{i}.{name}"]
    if rank.pp == mesh.pp - 1:
        found[f"{chunks[-1]}shift.weight"] = t["shift.weight"]
        found[f"{chunks[-1]}final_norm.weight"] = t["norm.weight"]
    return found
