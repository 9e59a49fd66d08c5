"""A tensor that the first and the last stage both hold; layers keep their global numbers."""

CASES = [
    {"config": {"L": 3, "v": 4, "e": 5}, "mesh": {"tp": 2, "pp": 3}},
    {"config": {"L": 2, "v": 4, "e": 5}, "mesh": {"tp": 4, "pp": 2}},
    {"config": {"L": 2, "v": 4, "e": 5}, "mesh": {"tp": 2}},
]


def whole(c):
    return {"embed.weight": (c.v, c.e)} | {
        f"layers.{i}.weight": (c.e,) for i in range(c.L)
    }


def parts(t, c, mesh, rank):
    outer = rank.pp in (0, mesh.pp - 1)
    found = (
        {"embedding.weight": t["embed.weight"].chunk(mesh.tp)[rank.tp]} if outer else {}
    )
    each = c.L // mesh.pp
    for i in range(rank.pp * each, (rank.pp + 1) * each):
        found[f"decoder.{i}.weight"] = t[f"layers.{i}.weight"]
    return found
