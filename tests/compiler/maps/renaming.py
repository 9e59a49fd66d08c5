"""Loops without a block state whole tensors, here from definitions, with expressions, filters and lists in names."""

CASES = [{"config": {"P": P, "e": 3}} for P in (1, 3)]
ANY = r".*"


def both(c):
    for left, right in (("projector.", "ffn"), ("", "other")):
        for j in range(c.P):
            yield f"{left}{2 * j}.weight", f"{right}.{j}.weight"
            if j > 0:
                yield f"{left}{2 * j + 1}.bias", f"{right}.{j}.shift"
                yield f"{left}{2 * j + 1}.scale", f"{right}.{j}.factor"


def whole(c):
    return {left: (2, 3) for left, _ in both(c)}


def parts(t, c, mesh, rank):
    return {right: t[left] for left, right in both(c)}
