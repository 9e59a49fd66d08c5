"""A tensor that the other side has several times, in names and along an axis."""

CASES = [{"config": {"copies": m, "e": 3, "f": 5}} for m in (1, 3)]


def whole(c):
    return {"shared.weight": (c.e, c.f), "norm.weight": (c.e,)}


def parts(t, c, mesh, rank):
    found = {f"head.{m}.weight": t["shared.weight"].T for m in range(c.copies)}
    return found | {
        "norm.weight": t["norm.weight"][:, None].expand(-1, c.copies).contiguous()
    }
