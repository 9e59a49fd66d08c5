"""Lists of a config: values a layer, loops over them; and arithmetic on the numbers in names."""

CONFIG = {
    "num_layers": 4,
    "mtp": 2,
    "X": 3,
    "e": 5,
    "f": 4,
    "layer_types": ["full", "linear", "linear", "full"],
    "full": [2],
    "extra": [0, 3],
    "sizes": [2, 3, 2, 1],
}
CASES = [
    {"config": CONFIG},
    {"config": CONFIG, "mesh": {"tp": 2, "pp": 2}},
    {"config": CONFIG | {"full": [], "extra": [], "mtp": 0}, "mesh": {"pp": 4}},
]


def whole(c):
    shapes = {}
    for i, kind in enumerate(c.layer_types):
        name = "attn" if kind == "full" else "linear"
        shapes[f"layers.{i}.{name}.weight"] = (c.f, c.e)
        shapes[f"layers.{i}.sized.weight"] = (c.sizes[i], c.e)
        shapes[f"layers.{i}.same.bias"] = (c.sizes[i],)
        if kind == "linear" and i not in c.full:
            shapes[f"state.{i}"] = (c.e,)
    shapes |= {f"extra.{i}.weight": (c.f, c.e) for i in c.extra}
    shapes |= {f"sparse.{i}": (c.e,) for i in c.full}
    shapes |= {f"late.{i}": (c.e,) for i in range(c.X, c.num_layers)}
    for k in range(c.num_layers, c.num_layers + c.mtp):
        shapes[f"layers.{k}.norm.weight"] = (c.e,)
        shapes |= {f"layers.{k}.experts.{x}.weight": (c.e,) for x in range(c.X)}
    shapes["stacked"] = (c.X, c.e)
    shapes |= {f"moved.{x}.bias": (c.e,) for x in range(c.X)}
    return shapes | {f"second.{x}.table": (c.X, c.e) for x in range(c.X)}


def parts(t, c, mesh, rank):
    found = {}
    layers = c.num_layers // mesh.pp
    for number in range(layers):
        i = rank.pp * layers + number
        here, there = f"layers.{i}", f"decoder.layers.{number}"
        if c.layer_types[i] == "full":
            attention = t[f"{here}.attn.weight"].chunk(mesh.tp)[rank.tp]
            found[f"{there}.attention.weight"] = attention
        else:
            linear = t[f"{here}.linear.weight"].chunk(mesh.tp)[rank.tp]
            found[f"{there}.recurrence.weight"] = linear
        found[f"{there}.sized.weight"] = t[f"{here}.sized.weight"].T
        found[f"{there}.same.bias"] = t[f"{here}.same.bias"]
        if c.layer_types[i] == "linear" and i not in c.full:
            found[f"state.{number}.{i}"] = t[f"state.{i}"]
        if i >= c.X:
            found[f"late.{i - c.X}"] = t[f"late.{i}"]
    if rank.pp == 0:
        found |= {f"sparse.{i}": t[f"sparse.{i}"] for i in c.full}
        for x in range(c.X):
            found[f"apart.{2 * x}.weight"] = t["stacked"][x]
            found[f"moved.{x + c.num_layers}.bias"] = t[f"moved.{x}.bias"]
            found[f"second.{x + c.X}.table"] = t[f"second.{x}.table"].T
    if rank.pp == mesh.pp - 1:
        for i in c.extra:
            found[f"adapters.{2 * i + 1}.weight"] = t[f"extra.{i}.weight"].T
        for k in range(c.mtp):
            here = f"layers.{k + c.num_layers}"
            found[f"mtp.layers.{k}.norm.weight"] = t[f"{here}.norm.weight"]
            for x in range(c.X):
                expert = t[f"{here}.experts.{x}.weight"]
                found[f"mtp.layers.{k}.experts.{x + 1}.weight"] = expert
    return found
