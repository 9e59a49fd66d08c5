"""In each of four pieces stand queries, values and keys, in this order; a made mask where it is asked for."""

import torch

CASES = [
    {"L": 2, "P": 3, "options": {"masks": False}},
    {"L": 2, "P": 3, "options": {"masks": True}, "read": {"masks": True}},
]
QKV = "attn.qkv_proj.weight"


def configs(c):
    left = {"n_layer": c.L, "n_positions": c.P, "causal_masks_are_saved": c.masks}
    return left, {"num_hidden_layers": c.L, "max_position_embeddings": c.P}


def left(c):
    shapes = {"transformer.wte.weight": (11, 5), "lm_head.weight": (11, 5)}
    shapes |= {f"transformer.ln_f.{name}": (5,) for name in ("weight", "bias")}
    shapes["lm_head.bias"] = (11,)
    for i in range(c.L):
        h = f"transformer.h.{i}."
        shapes |= {h + QKV: (4 * 3 * 2, 5), h + "attn.out_proj.weight": (5, 8)}
        for name, size in (("ln_1", (5,)), ("mlp.fc_in", (7,)), ("mlp.fc_out", (5,))):
            shapes |= {f"{h}{name}.weight": (*size, 3), f"{h}{name}.bias": size}
        if c.masks:
            mask = torch.ones(c.P, c.P).tril().to(torch.bool)
            shapes[h + "attn.causal_mask"] = mask[None, None]
    return shapes


def right(t, c, mesh, rank):
    found = {
        "embedding_layer.word_embeddings.weight": t["transformer.wte.weight"],
        "lm_head.weight": t["lm_head.weight"],
        "lm_head.bias": t["lm_head.bias"],
    }
    for name in ("weight", "bias"):
        for norm in ("transformer_decoder.norm", "ln_f"):
            found[f"{norm}.{name}"] = t[f"transformer.ln_f.{name}"]
    for i in range(c.L):
        h, layer = f"transformer.h.{i}.", f"transformer_decoder.layers.{i}."
        pieces = t[h + QKV].reshape(4, 3, 2, 5)
        for number, letter in enumerate("qvk"):
            name = f"{layer}self_attn.proj_{letter}_dense_layer.weight"
            found[name] = pieces[:, number].reshape(8, 5)
        output = t[h + "attn.out_proj.weight"]
        found[layer + "self_attn.proj_output_dense_layer.weight"] = output
        for name in ("weight", "bias"):
            found[f"{layer}norm1.{name}"] = t[f"{h}ln_1.{name}"]
            for number, old in enumerate(("in", "out")):
                new = f"{layer}ffn.ffn.{number}.linear_layer.{name}"
                found[new] = t[f"{h}mlp.fc_{old}.{name}"]
    return found
