"""Tensors that are only renamed, a scalar, axes of length one, and names between quotes; no mesh."""

CASES = [{"config": {"e": 4}}]


def whole(c):
    return {"scalar": (), "one": (1, c.e, 1), "odd name": (c.e,)}


def parts(t, c, mesh, rank):
    return {
        "renamed.scalar": t["scalar"],
        "two": t["one"].reshape(c.e, 1),
        'a "quoted"': t["odd name"],
    }
