"""Layers that are moved beside layers that are computed: on several stages they have the same local names."""

CONFIG = {"L": 4, "e": 3, "f": 10, "full": [1, 2]}
CASES = [
    {"config": CONFIG, "dtype": "float64"},
    {"config": CONFIG, "dtype": "float64", "mesh": {"tp": 2, "pp": 2}},
    {"config": CONFIG | {"full": []}, "dtype": "float64", "mesh": {"pp": 4}},
]


def whole(c):
    return {f"l.{i}.x": (c.e, c.f) for i in range(c.L)}


def parts(t, c, mesh, rank):
    found = {}
    layers = c.L // mesh.pp
    for number in range(layers):
        i = rank.pp * layers + number
        value = t[f"l.{i}.x"] if i in c.full else t[f"l.{i}.x"] + 1
        found[f"d.{number}.y"] = value.chunk(mesh.tp, dim=1)[rank.tp]
    return found
