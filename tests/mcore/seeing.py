"""Families that see: the decoder is that of another family, and what sees stands on the first stage."""

from __future__ import annotations

from random import Random
from typing import Any

from .families import attention, dense, gemma_config, head_norms, joined, routed, sizes
from .ranks import Layer, Taken, Under, column, qkv, row, same

Config = dict[str, Any]


def mistral3_layer(t: Under, c: Config, i: int) -> Layer:
    return joined(attention(t, c), dense(t, c))


def deep_config(draw: Random) -> Config:
    heads = draw.choice([8, 16])
    vision = {
        "depth": draw.choice([1, 3]),
        "hidden_size": heads * draw.choice([2, 3]),
        "num_heads": heads,
        "intermediate_size": draw.choice([24, 40]),
        "out_hidden_size": draw.choice([24, 40]),
        "spatial_merge_size": draw.choice([1, 2]),
        "num_position_embeddings": 9,
        "deepstack_visual_indexes": draw.choice([[], [0], [0, 2]]),
    }
    return gemma_config(draw) | {"vision_config": vision}


def qwen3_vl_moe_config(draw: Random) -> Config:
    experts = {"num_experts": draw.choice([4, 8]), "num_experts_per_tok": 2}
    width = {"moe_intermediate_size": draw.choice([16, 32])}
    return deep_config(draw) | experts | width | {"mlp_only_layers": [1]}


def qwen3_vl_layer(t: Under, c: Config, i: int) -> Layer:
    return joined(attention(t, c), head_norms(t), dense(t, c))


def qwen3_vl_moe_layer(t: Under, c: Config, i: int) -> Layer:
    if i in c["mlp_only_layers"]:
        return qwen3_vl_layer(t, c, i)
    found, one = routed(t, 0), "mlp.experts"
    up, down = t(f"{one}.gate_up_proj"), t(f"{one}.down_proj")
    if c["packing"] == "turned":
        up, down = up.mT, down.mT
    numbers = range(c["num_experts"])
    found.experts = {
        f"{one}.linear_fc1.weight": {x: column(*up[x].chunk(2)) for x in numbers},
        f"{one}.linear_fc2.weight": {x: row(down[x]) for x in numbers},
    }
    return joined(attention(t, c), head_norms(t), found)


def encoder(t: Taken, c: Config) -> Layer:
    """The encoder of Qwen3-VL, by its names there."""
    vision, found = c["vision_config"], {}
    whole = ("patch_embed.proj.weight", "patch_embed.proj.bias", "pos_embed.weight")
    for name in whole:
        found[f"vision_model.{name}"] = same(t[f"model.visual.{name}"])
    mergers = {"merger": "merger"}
    for k in range(len(vision["deepstack_visual_indexes"])):
        mergers[f"decoder.deepstack_merger_list.{k}"] = f"deepstack_merger_list.{k}"
    for there, here in mergers.items():
        own = t.under(f"model.visual.{here}")
        for name, piece in perceptron(own).items():
            found[f"vision_model.{there}.{name}"] = piece
        for kind in ("weight", "bias"):
            name = f"vision_model.{there}.patch_norm.{kind}"
            found[name] = same(own(f"norm.{kind}"))
    for b in range(vision["depth"]):
        for name, piece in block(t.under(f"model.visual.blocks.{b}"), c).items():
            found[f"vision_model.decoder.layers.{b}.{name}"] = piece
    return Layer(found)


def block(t: Under, c: Config) -> dict[str, Any]:
    found = {f"mlp.{name}": one for name, one in perceptron(t, "mlp.").items()}
    norms = {"norm1": "input_layernorm.", "norm2": "pre_mlp_layernorm."}
    if c["vision_norms"] == "fused":
        into = ("self_attention.linear_qkv", "mlp.linear_fc1")
        norms = {k: f"{v}.layer_norm_" for k, v in zip(norms, into, strict=True)}
    for kind in ("weight", "bias"):
        for here, there in norms.items():
            found[there + kind] = same(t(f"{here}.{kind}"))
        parts = t(f"attn.qkv.{kind}").chunk(3)
        heads = c["vision_config"]["num_heads"]
        found[f"self_attention.linear_qkv.{kind}"] = qkv(*parts, heads)
    found["self_attention.linear_proj.weight"] = row(t("attn.proj.weight"))
    found["self_attention.linear_proj.bias"] = same(t("attn.proj.bias"))
    return found


def perceptron(t: Under, prefix: str = "") -> dict[str, Any]:
    return {
        "linear_fc1.weight": column(t(f"{prefix}linear_fc1.weight")),
        "linear_fc1.bias": column(t(f"{prefix}linear_fc1.bias")),
        "linear_fc2.weight": row(t(f"{prefix}linear_fc2.weight")),
        "linear_fc2.bias": same(t(f"{prefix}linear_fc2.bias")),
    }


FAMILIES = {
    "mistral3": (sizes, mistral3_layer),
    "qwen2_5_vl": (sizes, mistral3_layer),
    "qwen3_vl": (deep_config, qwen3_vl_layer),
    "qwen3_vl_moe": (qwen3_vl_moe_config, qwen3_vl_moe_layer),
}

# What stands behind other names than `model.` and `` do, on either side.
NAMES = {
    "mistral3": ("language_model.model", "language_model.lm_head"),
    "qwen2_5_vl": ("model", "lm_head"),
    "qwen3_vl": ("model.language_model", "lm_head"),
    "qwen3_vl_moe": ("model.language_model", "lm_head"),
}

# Tensors of a module that both sides have.
TAILS = {
    "mistral3": ("vision_tower.ln.weight", "multi_modal_projector.linear.weight"),
    "qwen2_5_vl": ("visual.merger.mlp.0.bias",),
}
