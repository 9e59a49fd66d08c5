"""A place behind a loop's prefix holds for all names in its blocks but those with a place of their own."""

ANY = r".*scales.*"
SIZES = {"L": 4, "M": 3, "v": 4, "e": 5}
CASES = [
    {"config": SIZES, "mesh": {"tp": 2, "pp": 2}},
    {"config": SIZES, "mesh": {"tp": 4, "pp": 4}},
    {"config": SIZES, "mesh": {"tp": 2}},
]


def whole(c):
    found = {f"layers.{i}.weight": (c.e,) for i in range(c.L)}
    found[f"layers.{c.L}.first.weight"] = (c.e,)
    for q in range(1, c.M):
        own = f"layers.{c.L + q}."
        found |= {own + "embed.weight": (c.v, c.e), own + "norm.weight": (c.e,)}
        for x in range(2):
            found[f"{own}experts.{x}.proj.weight"] = (c.v, c.e)
            found[f"{own}experts.{x}.proj.bias"] = (c.v,)
        found |= {f"{own}scales.{x}": (2,) for x in range(3)}
    return found


def parts(t, c, mesh, rank):
    found = {}
    each = c.L // mesh.pp
    for i in range(rank.pp * each, (rank.pp + 1) * each):
        found[f"decoder.{i}.weight"] = t[f"layers.{i}.weight"]
    last = rank.pp == mesh.pp - 1
    if last:
        found["mtp.0.first.weight"] = t[f"layers.{c.L}.first.weight"]
    for q in range(1, c.M):
        own, there = f"layers.{c.L + q}.", f"mtp.{q}."
        embed = t[own + "embed.weight"].chunk(mesh.tp)[rank.tp]
        if rank.pp == 0:
            found[there + "embed.weight"] = embed
        if not last:
            continue
        found[there + "head.weight"] = embed
        found[there + "norm.weight"] = t[own + "norm.weight"]
        for x in range(2):
            for kind in ("weight", "bias"):
                proj = f"experts.{x}.proj.{kind}"
                found[there + proj] = t[own + proj].chunk(mesh.tp)[rank.tp]
        found |= {f"{there}scales.{x}": t[f"{own}scales.{x}"] for x in range(3)}
    return found
