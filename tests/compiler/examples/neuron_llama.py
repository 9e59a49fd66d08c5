"""Neuron repeats key/value heads: head `a` of rank `r` is head `(r * heads + a) % g` of the model, and the query heads
of a rank are those that ask its key/value heads, each repetition the next of them."""

import torch

SIZES = {"L": 2, "e": 10, "f": 24, "n": 8, "d": 3, "v": 16}
CASES = [
    SIZES | {"g": 8, "tied": True, "m": None, "mesh": {"tp": 2}},
    SIZES | {"g": 8, "tied": False, "m": None, "mesh": {"tp": 2, "pp": 2}},
    SIZES | {"g": 2, "tied": False, "m": None, "mesh": {"tp": 4}},
    SIZES | {"g": 2, "tied": True, "m": None, "mesh": {"tp": 4, "pp": 2}},
    SIZES | {"g": 4, "tied": False, "m": 2, "mesh": {"tp": 8}},
    SIZES
    | {"g": 2, "tied": False, "m": None, "mesh": {"tp": 4}}
    | {"options": {"fuse_qkv": True}},
    SIZES
    | {"g": 8, "tied": False, "m": None, "mesh": {"tp": 2}}
    | {"options": {"fuse_qkv": True}},
]
for _case in CASES:
    if _case["m"]:
        _case["options"] = {"kv_mult": _case["m"]}


def configs(c):
    left = {
        "num_hidden_layers": c.L,
        "hidden_size": c.e,
        "intermediate_size": c.f,
        "num_attention_heads": c.n,
        "num_key_value_heads": c.g,
        "head_dim": c.d,
        "vocab_size": c.v,
        "tie_word_embeddings": c.tied,
    }
    right = left | {"fuse_qkv": getattr(c, "fuse_qkv", False)}
    return left, right | ({"kv_size_multiplier": c.m} if c.m else {})


def left(c):
    q, k = c.n * c.d, c.g * c.d
    shapes = {"model.embed_tokens.weight": (c.v, c.e), "model.norm.weight": (c.e,)}
    layer = {
        "input_layernorm": (c.e,),
        "post_attention_layernorm": (c.e,),
        "self_attn.q_proj": (q, c.e),
        "self_attn.k_proj": (k, c.e),
        "self_attn.v_proj": (k, c.e),
        "self_attn.o_proj": (c.e, q),
        "mlp.gate_proj": (c.f, c.e),
        "mlp.up_proj": (c.f, c.e),
        "mlp.down_proj": (c.e, c.f),
    }
    for i in range(c.L):
        shapes |= {f"model.layers.{i}.{n}.weight": s for n, s in layer.items()}
    if not c.tied:
        return shapes | {"lm_head.weight": (c.v, c.e)}
    embedding = torch.arange(1.0, c.v * c.e + 1).reshape(c.v, c.e)
    return shapes | dict.fromkeys(
        ("model.embed_tokens.weight", "lm_head.weight"), embedding
    )


def left_too(t, c):
    if c.tied:
        yield {name: tensor for name, tensor in t.items() if name != "lm_head.weight"}


def right(t, c, mesh, rank):
    tp, r, each = mesh.tp, rank.tp, c.L // mesh.pp
    found = {}
    if rank.pp == 0:
        name = "model.embed_tokens.weight"
        found[name] = t[name].chunk(tp)[r]
    if rank.pp == mesh.pp - 1:
        found["model.norm.weight"] = t["model.norm.weight"]
        if not c.tied:
            found["lm_head.weight"] = t["lm_head.weight"].chunk(tp)[r]
    for i in range(rank.pp * each, (rank.pp + 1) * each):
        layer = f"model.layers.{i}."
        own = {n[len(layer) :]: x for n, x in t.items() if n.startswith(layer)}
        found |= {layer + name: x for name, x in of_layer(own, c, tp, r).items()}
    return found


def of_layer(t, c, tp, r):
    norms = ("input_layernorm.weight", "post_attention_layernorm.weight")
    gate, up = (t[f"mlp.{one}_proj.weight"].chunk(tp)[r] for one in ("gate", "up"))
    found = {name: t[name] for name in norms} | {
        "mlp.gate_up_proj.weight": torch.cat([gate, up]),
        "mlp.down_proj.weight": t["mlp.down_proj.weight"].chunk(tp, 1)[r],
    }
    m = c.m or (tp // c.g if tp > c.g else 1)
    q, k, v = (t[f"self_attn.{one}_proj.weight"].split(c.d) for one in "qkv")
    o = t["self_attn.o_proj.weight"].split(c.d, 1)
    repeated = c.g < tp or c.g % tp != 0
    if not repeated:
        m = 1
    kv = [copy % c.g for copy in range(r * c.g * m // tp, (r + 1) * c.g * m // tp)]
    h = c.n // c.g // m  # query heads of one copy of a key/value head
    heads = [
        (copy % c.g * m + copy // c.g) * h + each
        for copy in range(r * c.g * m // tp, (r + 1) * c.g * m // tp)
        for each in range(h)
    ]
    q, k, v = (
        torch.cat([x[a] for a in order]) for x, order in ((q, heads), (k, kv), (v, kv))
    )
    found["self_attn.o_proj.weight"] = torch.cat([o[a] for a in heads], 1)
    if repeated and getattr(c, "fuse_qkv", False):
        return found | {"self_attn.qkv_proj.weight_qkv": torch.cat([q, k, v])}
    if repeated:
        parts = zip("qkv", (q, k, v), strict=True)
        return found | {f"self_attn.qkv_proj.weight_{n}": x for n, x in parts}
    if getattr(c, "fuse_qkv", False) and c.n == c.g:
        return found | {"self_attn.qkv_proj.weight": torch.cat([q, k, v])}
    parts = zip("qkv", (q, k, v), strict=True)
    return found | {f"self_attn.{n}_proj.weight": x for n, x in parts}
