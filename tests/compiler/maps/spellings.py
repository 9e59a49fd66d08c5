"""Names in several spellings, and prefixes; the first of each is what a converter writes."""

CASES = [
    {"config": {"L": 2, "f": 4, "e": 3, "t": t}, "mesh": {"tp": tp}}
    for t, tp in ((0, 1), (1, 2))
]
SAME = {"lm_head.weight": "wte.weight"}
ANY = r".*norm.*"
OPTIONAL = r".*(rare|vision|\.v\.).*"
GONE_LEFT = ["rotary.inv_freq", "h.0.freq"]


def whole(c):
    shapes = {"wte.weight": (c.f, c.e)}
    if c.t:
        shapes["lm_head.weight"] = (c.f, c.e)
    shapes["vision.a.b"] = (2,)
    for i in range(c.L):
        shapes[f"h.{i}.q.weight"] = (c.f, c.e)
        shapes[f"h.{i}.k.weight"] = (c.f, c.e)
        shapes[f"h.{i}.norm.weight"] = (i, 2)
    return shapes | {"h.1.rare.weight": (c.e,)}


def parts(t, c, mesh, rank):
    found = {"module.embed.weight": t["wte.weight"].chunk(mesh.tp)[rank.tp]}
    found["module.v.a.b"] = t["vision.a.b"]
    for i in range(c.L):
        for here, there in (("q", "k"), ("k", "q")):
            own = t[f"h.{i}.{here}.weight"].chunk(mesh.tp)[rank.tp]
            found[f"module.decoder.{i}.{there}.weight"] = own
        found[f"module.decoder.{i}.norm.scale"] = t[f"h.{i}.norm.weight"]
    return found | {"module.decoder.1.rare.scale": t["h.1.rare.weight"]}
