"""`if`, `else if`, `else` and `unless`, before a block and behind a statement, and an optional bias."""

CASES = [{"config": {"a": a, "b": b, "e": 3}} for a in (0, 1, 2) for b in (0, 1)]


def names(c):
    found = {"one": "first"} if c.a else {}
    found |= {"two": "second"} if c.a and c.b else {}
    if c.a == 1:
        return found | {"three": "third"}
    return found | ({"four": "third"} if c.b == 1 else {"five": "fifth"})


def whole(c):
    shapes = {f"{name}.weight": (c.e,) for name in names(c)}
    return (
        shapes | {"lin.weight": (c.e, 2 * c.e)} | ({"lin.bias": (c.e,)} if c.b else {})
    )


def parts(t, c, mesh, rank):
    found = {f"{new}.weight": t[f"{old}.weight"] for old, new in names(c).items()}
    found["linear.weight"] = t["lin.weight"].T
    return found | ({"linear.bias": t["lin.bias"]} if c.b else {})
