"""GPT-2: one transposed matrix for queries, keys and values; its input axis stands first, and the bias has none."""

CASES = [{"config": {"n": 2, "d": 3, "e": 5}}]


def whole(c):
    return {"c_attn.weight": (c.e, 3 * c.n * c.d), "c_attn.bias": (3 * c.n * c.d,)}


def parts(t, c, mesh, rank):
    weights = t["c_attn.weight"].T.chunk(3)
    biases = t["c_attn.bias"].chunk(3)
    found = {f"{x}.weight": w for x, w in zip("qkv", weights, strict=True)}
    return found | {f"{x}.bias": b for x, b in zip("qkv", biases, strict=True)}
