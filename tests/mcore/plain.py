"""Families without gates: Phi-3 apart, which has them packed, those of squared ReLU, with layers of Mamba among others."""

from __future__ import annotations

from random import Random
from typing import Any

from .families import attention, expert_sizes, joined, norm, sizes
from .ranks import Layer, Under, column, qkv, row, same

Config = dict[str, Any]


def phi3_config(draw: Random) -> Config:
    return sizes(draw)


def phi3_layer(t: Under, c: Config, i: int) -> Layer:
    n, g, d = (
        c[key] for key in ("num_attention_heads", "num_key_value_heads", "head_dim")
    )
    parts = t("self_attn.qkv_proj.weight").split([n * d, g * d, g * d])
    there = "self_attention"
    return Layer(
        {
            norm("input_layernorm", f"{there}.linear_qkv", c): same(
                t("input_layernorm.weight")
            ),
            norm("pre_mlp_layernorm", "mlp.linear_fc1", c): same(
                t("post_attention_layernorm.weight")
            ),
            f"{there}.linear_qkv.weight": qkv(*parts, g),
            f"{there}.linear_proj.weight": row(t("self_attn.o_proj.weight")),
            "mlp.linear_fc1.weight": column(*t("mlp.gate_up_proj.weight").chunk(2)),
            "mlp.linear_fc2.weight": row(t("mlp.down_proj.weight")),
        }
    )


def nemotron_config(draw: Random) -> Config:
    return sizes(draw) | {
        key: draw.random() < 0.5 for key in ("attention_bias", "mlp_bias")
    }


def nemotron_layer(t: Under, c: Config, i: int) -> Layer:
    own, into = ("input_layernorm", "pre_mlp_layernorm"), "self_attention.linear_qkv"
    here = ("input_layernorm", "post_attention_layernorm")
    found = attention(t, c)
    for kind in ("weight", "bias"):
        for a, b, where in zip(here, own, (into, "mlp.linear_fc1"), strict=True):
            found.own[norm(b, where, c, kind)] = same(t(f"{a}.{kind}"))
    found.own["mlp.linear_fc1.weight"] = column(t("mlp.up_proj.weight"))
    found.own["mlp.linear_fc2.weight"] = row(t("mlp.down_proj.weight"))
    if c["mlp_bias"]:
        found.own["mlp.linear_fc1.bias"] = column(t("mlp.up_proj.bias"))
        found.own["mlp.linear_fc2.bias"] = same(t("mlp.down_proj.bias"))
    return found


LETTERS = {"M": "linear_attention", "*": "full_attention", "-": "mlp", "E": "moe"}


def nemotron_h_config(draw: Random) -> Config:
    c = sizes(draw) | expert_sizes(draw)
    pattern = "".join(draw.choice("M*-E") for _ in range(c["num_hidden_layers"]))
    c |= {
        "mamba_num_heads": 8,
        "mamba_head_dim": draw.choice([3, 5]),
        "ssm_state_size": draw.choice([2, 7]),
        "n_groups": 8,
        "conv_kernel": draw.choice([3, 4]),
        "use_conv_bias": draw.random() < 0.5,
        "moe_shared_expert_intermediate_size": draw.choice([24, 40]),
        "moe_latent_size": draw.choice([None, 9]),
        "mtp_hybrid_override_pattern": draw.choice(["*E", "ME-", "E"]),
        "num_nextn_predict_layers": draw.choice([1, 2]),
    }
    if draw.random() < 0.5:
        return c | {"hybrid_override_pattern": pattern}
    return c | {"layers_block_type": [LETTERS[letter] for letter in pattern]}


def nemotron_h_layer(t: Under, c: Config, i: int) -> Layer:
    if "hybrid_override_pattern" in c:
        letter = c["hybrid_override_pattern"][i]
    else:
        words = {word: letter for letter, word in LETTERS.items()}
        letter = words[c["layers_block_type"][i]]
    return hybrid_layer(t, c, letter)


def hybrid_layer(t: Under, c: Config, letter: str) -> Layer:
    return {"M": mamba, "*": heads, "-": squared, "E": routed}[letter](t, c)


def mamba(t: Under, c: Config) -> Layer:
    heads, groups = c["mamba_num_heads"], c["n_groups"]
    wide, state = heads * c["mamba_head_dim"], groups * c["ssm_state_size"]
    cut = [wide, state, state]
    found = {
        norm("norm", "mixer.in_proj", c): same(t("norm.weight")),
        "mixer.in_proj.weight": column(
            *t("mixer.in_proj.weight").split([wide, *cut, heads])
        ),
        "mixer.out_proj.weight": row(t("mixer.out_proj.weight")),
    }
    for kind in ("weight", "bias"):
        if t.has(f"mixer.conv1d.{kind}"):
            found[f"mixer.conv1d.{kind}"] = column(
                *t(f"mixer.conv1d.{kind}").split(cut)
            )
    for name in ("A_log", "D", "dt_bias", "norm.weight"):
        found[f"mixer.{name}"] = column(t(f"mixer.{name}"))
    return Layer(found)


def heads(t: Under, c: Config) -> Layer:
    parts = [t(f"mixer.{x}_proj.weight") for x in "qkv"]
    there = "self_attention"
    return Layer(
        {
            norm("input_layernorm", f"{there}.linear_qkv", c): same(t("norm.weight")),
            f"{there}.linear_qkv.weight": qkv(*parts, c["num_key_value_heads"]),
            f"{there}.linear_proj.weight": row(t("mixer.o_proj.weight")),
        }
    )


def squared(t: Under, c: Config) -> Layer:
    return Layer(
        {
            norm("pre_mlp_layernorm", "mlp.linear_fc1", c): same(t("norm.weight")),
            "mlp.linear_fc1.weight": column(t("mixer.up_proj.weight")),
            "mlp.linear_fc2.weight": row(t("mixer.down_proj.weight")),
        }
    )


def routed(t: Under, c: Config) -> Layer:
    shared, bias = "mlp.shared_experts", t("mixer.gate.e_score_correction_bias")
    found = {
        "pre_mlp_layernorm.weight": same(t("norm.weight")),
        "mlp.router.weight": same(t("mixer.gate.weight")),
        "mlp.router.expert_bias": same(bias.float()),
        f"{shared}.linear_fc1.weight": column(t("mixer.shared_experts.up_proj.weight")),
        f"{shared}.linear_fc2.weight": row(t("mixer.shared_experts.down_proj.weight")),
    }
    if c["moe_latent_size"] is not None:
        for name in ("fc1_latent_proj", "fc2_latent_proj"):
            found[f"mlp.{name}.weight"] = same(t(f"mixer.{name}.weight"))
    numbers, one = range(c["n_routed_experts"]), "mlp.experts"
    experts = {
        f"{one}.linear_fc1.weight": {
            x: column(t(f"mixer.experts.{x}.up_proj.weight")) for x in numbers
        },
        f"{one}.linear_fc2.weight": {
            x: row(t(f"mixer.experts.{x}.down_proj.weight")) for x in numbers
        },
    }
    return joined(Layer(found), Layer({}, experts))


FAMILIES = {
    "phi3": (phi3_config, phi3_layer),
    "nemotron": (nemotron_config, nemotron_layer),
    "nemotron_h": (nemotron_h_config, nemotron_h_layer),
}
