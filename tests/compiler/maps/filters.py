"""Loops with a condition, with and without `else`, over a list, and arithmetic in a name."""

CASES = [{"config": {"L": 4, "dense": dense, "e": 3, "f": 5}} for dense in (0, 1, 4)]


def whole(c):
    shapes = {
        f"layers.{i}.{'mlp' if i < c.dense else 'moe'}.weight": (c.e, c.f)
        for i in range(4)
    }
    shapes |= {f"layers.{i}.gate": (c.e,) for i in (1, 3)}
    shapes |= {f"layers.{i}.even.weight": (c.e,) for i in (0, 2)}
    shapes |= {f"odd.{i}.weight": (c.e, c.f) for i in (1, 3)}
    return shapes | {f"extra.{i}": (c.e,) for i in (0, 2)}


def parts(t, c, mesh, rank):
    found = {}
    for i in range(4):
        if i < c.dense:
            found[f"h.{i}.dense.weight"] = t[f"layers.{i}.mlp.weight"].T
        else:
            found[f"h.{i}.sparse.weight"] = t[f"layers.{i}.moe.weight"]
    found |= {f"gates.{i}": t[f"layers.{i}.gate"] for i in (1, 3)}
    found |= {f"evens.{i + 4}.weight": t[f"layers.{i}.even.weight"] for i in (0, 2)}
    found |= {f"halves.{i // 2}.weight": t[f"odd.{i}.weight"].T for i in (1, 3)}
    return found | {f"listed.{2 * i}": t[f"extra.{i}"] for i in (0, 2)}
