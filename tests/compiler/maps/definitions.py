"""Definitions that use others, with and without parameters, in loops; included files, in the map and in a block."""

CASES = [
    {"config": {"L": 2, "X": 3, "e": 3, "f": 4}, "mesh": {"tp": tp, "pp": pp}}
    for tp, pp in ((1, 1), (2, 2), (4, 1))
]
GONE_LEFT = ("model.layers.0.moe.experts.counts", "model.layers.1.moe.experts.counts")


def mlps(c):
    """Where an MLP stands in a layer, on both sides."""
    yield "mlp", "mlp"
    for x in range(c.X):
        yield f"moe.experts.{x}", f"moe.local_experts.{x}"


def whole(c):
    found = {"embed.weight": (c.e,)}
    for i in range(c.L):
        layer = f"model.layers.{i}"
        found[f"{layer}.q.weight"] = (c.f, c.e)
        found[f"{layer}.moe.router.weight"] = (c.X, c.e)
        for mlp, _ in mlps(c):
            found[f"{layer}.{mlp}.norm.weight"] = (c.e,)
            found[f"{layer}.{mlp}.norm.bias"] = (c.e,)
            found[f"{layer}.{mlp}.gate.weight"] = (c.f, c.e)
            found[f"{layer}.{mlp}.up.weight"] = (c.f, c.e)
            found[f"{layer}.{mlp}.down.weight"] = (c.e, c.f)
        for which in "ab":
            for x in range(c.X):
                for end in ("weight", "bias"):
                    found[f"{layer}.moe.shared.{x}.{which}.norm.{end}"] = (c.e,)
    return found


def parts(t, c, mesh, rank):
    found = {}
    if rank.pp == 0:
        found["word_embeddings.weight"] = t["embed.weight"]
    count = c.L // mesh.pp

    def mine(name, dim):
        return t[name].chunk(mesh.tp, dim)[rank.tp]

    for number in range(count):
        there, here = f"layers.{number}", f"model.layers.{rank.pp * count + number}"
        found[f"{there}.attention.weight"] = mine(f"{here}.q.weight", 0)
        found[f"{there}.moe.router.weight"] = t[f"{here}.moe.router.weight"]
        for left, right in mlps(c):
            fc1, a = f"{there}.{right}.linear_fc1", f"{here}.{left}"
            found[f"{fc1}.layer_norm.weight"] = t[f"{a}.norm.weight"]
            found[f"{fc1}.layer_norm.bias"] = t[f"{a}.norm.bias"]
            halves = [mine(f"{a}.{name}.weight", 0) for name in ("gate", "up")]
            found[f"{fc1}.weight"] = halves[0].new_tensor(
                [*halves[0].tolist(), *halves[1].tolist()]
            )
            down = mine(f"{a}.down.weight", 1)
            found[f"{there}.{right}.linear_fc2.weight"] = down
        for which, end in (("a", "left"), ("b", "right")):
            for x in range(c.X):
                for kind in ("weight", "bias"):
                    name = f"{here}.moe.shared.{x}.{which}.norm.{kind}"
                    found[f"{there}.moe.{end}.{x}.{kind}"] = t[name]
    return found
