"""The left side stores the input axis first, and the masks that it attends with."""

import torch

CASES = [
    {"L": 2, "P": 4, "e": 6, "n": 2, "tied": True},
    {"L": 2, "P": 4, "e": 6, "n": 3, "tied": False},
]


def configs(c):
    left = {"n_layer": c.L, "n_positions": c.P, "n_embd": c.e, "n_head": c.n}
    names = ("num_hidden_layers", "max_position_embeddings", "hidden_size", "num_heads")
    right = dict(zip(names, left.values(), strict=True))
    right["share_embedding_weights"] = c.tied
    return left | {"tie_word_embeddings": c.tied}, right


def left(c):
    embedding = torch.arange(1.0, 11 * c.e + 1).reshape(11, c.e)
    head = embedding if c.tied else -embedding
    shapes = {"transformer.wte.weight": embedding, "lm_head.weight": head}
    shapes["transformer.wpe.weight"] = (c.P, c.e)
    for name in ("weight", "bias"):
        shapes[f"transformer.ln_f.{name}"] = (c.e,)
    for i in range(c.L):
        h = f"transformer.h.{i}."
        for name, (inner, outer) in {
            "attn.c_attn": (c.e, 3 * c.e),
            "attn.c_proj": (c.e, c.e),
            "mlp.c_fc": (c.e, 7),
            "mlp.c_proj": (7, c.e),
        }.items():
            shapes |= {f"{h}{name}.weight": (inner, outer), f"{h}{name}.bias": (outer,)}
        for x in (1, 2):
            shapes |= {f"{h}ln_{x}.weight": (c.e,), f"{h}ln_{x}.bias": (c.e,)}
        mask = torch.ones(c.P, c.P).tril().to(torch.uint8)
        shapes[h + "attn.bias"] = mask[None, None]
        shapes[h + "attn.masked_bias"] = torch.tensor(-1e4)
    return shapes


def right(t, c, mesh, rank):
    found = {
        "embedding_layer.word_embeddings.weight": t["transformer.wte.weight"],
        "embedding_layer.position_embeddings.embed.weight": t["transformer.wpe.weight"],
        "lm_head.weight": t["lm_head.weight"],
    }
    for name in ("weight", "bias"):
        for norm in ("transformer_decoder.norm", "ln_f"):
            found[f"{norm}.{name}"] = t[f"transformer.ln_f.{name}"]
    for i in range(c.L):
        h, layer = f"transformer.h.{i}.", f"transformer_decoder.layers.{i}."
        for name in ("weight", "bias"):
            fused = t[f"{h}attn.c_attn.{name}"].T.chunk(3)
            for letter, x in zip("qkv", fused, strict=True):
                found[f"{layer}self_attn.proj_{letter}_dense_layer.{name}"] = x
            for old, new in {
                "attn.c_proj": "self_attn.proj_output_dense_layer",
                "mlp.c_fc": "ffn.ffn.0.linear_layer",
                "mlp.c_proj": "ffn.ffn.1.linear_layer",
                "ln_1": "norm1",
                "ln_2": "norm3",
            }.items():
                found[f"{layer}{new}.{name}"] = t[f"{h}{old}.{name}"].T
    return found


def left_too(t, c):
    """Masks are made, so they need not be there."""
    yield {name: x for name, x in t.items() if ".attn.bias" not in name}
    yield {name: x for name, x in t.items() if "masked_bias" not in name}
    if c.tied:
        yield {name: x for name, x in t.items() if name != "lm_head.weight"}
