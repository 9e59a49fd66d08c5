"""Tails: one below another, with text on either side of `**`, by layer and stage, copied by ranks and by names."""

CASES = [
    {"config": {"L": 2, "f": 4, "e": 3}, "mesh": {"tp": tp, "pp": pp}}
    for tp, pp in ((1, 1), (2, 2), (1, 2), (4, 1))
]
GONE_LEFT = ["inv_freq", "layers.0.rotary.inv_freq", "vision.inv_freq"]
GONE_RIGHT = ["decoder.0.a.b._extra_state"]
OPTIONAL = r"(?!.*\.q\.weight$|(vision\.)?proj\.weight$).*"
THERE = {
    "vision": "v",
    "vision.x.y": "v.x.y",
    "vision.weight": "v.weight",
    "vision.blocks.0.weight": "v.blocks.0.w",
    "vision.blocks.weight": "v.blocks.w",
    "vision.blocks.0.bias": "v.blocks.0.bias",
    "audio.proj.weight": "a.proj.weight",
    "copied.a": "copies.{r}.a",
    "copied": "copies.{r}",
    "scale": "rest.scale",
    "a.deep.name": "rest.a.deep.name",
    "layers.a": "rest.layers.a",
    "layers.{i}.norm.weight": "decoder.{n}.norm.weight",
    "layers.{i}.mlp.weight": "decoder.{n}.mlp.weight",
    "layers.{i}.k.a.b.x": "decoder.{n}.v.x.a.b",
    "layers.{i}.v.x": "decoder.{n}.k.x",
    "layers.{i}": "decoder.{n}",
}
ON_LAST = ("v.blocks.0.w", "v.blocks.w")
ON_BOTH = ("v", "a")


def whole(c):
    shapes = {"vision.proj.weight": (c.f, c.e)}
    for count, name in enumerate(THERE):
        for i in range(c.L) if "{i}" in name else (0,):
            shapes[name.replace("{i}", str(i))] = (1,) * (count % 3) + (count + i,)
    return shapes | {f"layers.{i}.q.weight": (c.f, c.e) for i in range(c.L)}


def parts(t, c, mesh, rank):
    first, last = rank.pp == 0, rank.pp == mesh.pp - 1
    found = {}
    if first:
        found["proj.weight"] = t["vision.proj.weight"].T.chunk(mesh.tp, 1)[rank.tp]
    each = c.L // mesh.pp
    for number in range(each):
        i = rank.pp * each + number
        found[f"decoder.{number}.q.weight"] = t[f"layers.{i}.q.weight"].chunk(mesh.tp)[
            rank.tp
        ]
        for here, there in THERE.items():
            if "{i}" in here:
                name = there.replace("{n}", str(number))
                found[name] = t[here.replace("{i}", str(i))]
    for here, there in THERE.items():
        on_both = there.split(".")[0] in ON_BOTH and there not in ON_LAST
        if "{i}" in here or not (last if there in ON_LAST else first or on_both):
            continue
        if not first and not last:
            continue
        for copy in range(2):
            found[there.replace("{r}", str(copy))] = t[here]
    return found
