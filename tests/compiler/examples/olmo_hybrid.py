"""The three convolutions of a layer with linear attention stand behind each other; most names stay."""

import torch

CASES = [{"L": 3, "heads": 2, "dim": 3}]
KINDS = ["linear_attention", "full_attention", "linear_attention"]
LINEAR = {
    "attention_layer_norm": "input_layernorm",
    "feedforward_layer_norm": "post_attention_layernorm",
}
FULL = {"feedforward_layer_norm": "post_attention_layernorm"}


def configs(c):
    both = {
        "num_hidden_layers": c.L,
        "layer_types": KINDS,
        "linear_num_key_heads": c.heads,
        "linear_key_head_dim": c.dim,
    }
    return both, both


def left(c):
    shapes = {"model.embed_tokens.weight": (11, 5), "lm_head.weight": (11, 5)}
    for i, kind in enumerate(KINDS):
        names = {"mlp.up_proj": (7, 5), "feedforward_layer_norm": (5,)}
        if kind == "linear_attention":
            names |= {"linear_attn.A_log": (2,), "attention_layer_norm": (5,)}
            names |= {f"linear_attn.{x}_conv1d": (6, 1, 4) for x in "qk"}
            names |= {"linear_attn.v_conv1d": (9, 1, 4)}
        else:
            names |= {"self_attn.q_proj": (6, 5), "post_feedforward_norm": (5,)}
        shapes |= {f"model.layers.{i}.{name}.weight": s for name, s in names.items()}
    return shapes


def right(t, c, mesh, rank):
    found = dict(t)
    for i, kind in enumerate(KINDS):
        layer = f"model.layers.{i}."
        if kind == "linear_attention":
            convs = [found.pop(f"{layer}linear_attn.{x}_conv1d.weight") for x in "qkv"]
            found[f"{layer}linear_attn.conv1d.weight"] = torch.cat(convs)
        for old, new in (LINEAR if kind == "linear_attention" else FULL).items():
            found[f"{layer}{new}.weight"] = found.pop(f"{layer}{old}.weight")
    return found
