"""Config sides that are computed: each layout has the same facts in another form."""

CONFIG = {"num_hidden_layers": 4, "first_k_dense_replace": 1, "hidden": 3}
CONFIG |= {"per_group": 2, "num_groups": 3}
CASES = [
    {"config": CONFIG},
    {"config": CONFIG | {"first_k_dense_replace": 0}, "mesh": {"pp": 2}},
    {"config": CONFIG | {"first_k_dense_replace": 4}, "mesh": {"pp": 4}},
]


def whole(c):
    found = {}
    for i in range(c.num_hidden_layers):
        if i < c.first_k_dense_replace:
            found[f"dense.{i}"] = (c.hidden,)
        else:
            found[f"sparse.{i}"] = (c.per_group * c.num_groups, c.hidden)
    return found


def parts(t, c, mesh, rank):
    found = {}
    layers = c.num_hidden_layers // mesh.pp
    for number in range(layers):
        i = rank.pp * layers + number
        if i < c.first_k_dense_replace:
            found[f"dense.{number}"] = t[f"dense.{i}"]
        else:
            found[f"sparse.{number}"] = t[f"sparse.{i}"].T
    return found
