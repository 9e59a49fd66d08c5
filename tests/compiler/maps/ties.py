"""One tensor under several names, on both sides, each name with a condition and a stage of its own."""

CASES = [
    {
        "config": {"L": 2, "v": 4, "e": 5, "t": t, "copied": copied},
        "mesh": {"tp": 2, "pp": pp},
    }
    for t in (0, 1)
    for copied in (0, 1)
    for pp in (1, 2)
]


def whole(c):
    names = ["embed.weight", *["lm_head.weight"] * c.t, *["extra.weight"] * c.copied]
    return dict.fromkeys(names, (c.v, c.e)) | {
        f"layers.{i}.weight": (c.e,) for i in range(c.L)
    }


SAME = {"lm_head.weight": "embed.weight", "extra.weight": "embed.weight"}


def parts(t, c, mesh, rank):
    own = t["embed.weight"].chunk(mesh.tp)[rank.tp]
    found = {"embedding.weight": own} if rank.pp == 0 else {}
    if c.t and mesh.pp > 1 and rank.pp == mesh.pp - 1:
        found["output.weight"] = own
    each = c.L // mesh.pp
    for number in range(each):
        found[f"decoder.{number}.weight"] = t[
            f"layers.{rank.pp * each + number}.weight"
        ]
    return found
