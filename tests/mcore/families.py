"""The families: a config that is drawn, and what each layer is, from the formulas of Megatron-Bridge."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import torch

from .ranks import Layer, Under, column, qkv, row, same

Config = dict[str, Any]


def norm(own: str, into: str, c: Config, kind: str = "weight") -> str:
    """A norm has a name of its own, or lies in the linear layer behind it."""
    return f"{into}.layer_norm_{kind}" if c["norms"] == "fused" else f"{own}.{kind}"


def dense(t: Under, c: Config, before: str = "post_attention_layernorm") -> Layer:
    return Layer(
        {
            norm("pre_mlp_layernorm", "mlp.linear_fc1", c): same(t(f"{before}.weight")),
            "mlp.linear_fc1.weight": column(
                t("mlp.gate_proj.weight"), t("mlp.up_proj.weight")
            ),
            "mlp.linear_fc2.weight": row(t("mlp.down_proj.weight")),
        }
    )


def routed(t: Under, count: int) -> Layer:
    """Experts behind a router, a tensor each."""
    found = Layer(
        {
            "pre_mlp_layernorm.weight": same(t("post_attention_layernorm.weight")),
            "mlp.router.weight": same(t("mlp.gate.weight")),
        }
    )
    one = "mlp.experts"
    found.experts[f"{one}.linear_fc1.weight"] = {
        x: column(t(f"{one}.{x}.gate_proj.weight"), t(f"{one}.{x}.up_proj.weight"))
        for x in range(count)
    }
    found.experts[f"{one}.linear_fc2.weight"] = {
        x: row(t(f"{one}.{x}.down_proj.weight")) for x in range(count)
    }
    return found


def shared(t: Under, name: str = "mlp.shared_experts") -> Layer:
    there = "mlp.shared_experts"
    return Layer(
        {
            f"{there}.linear_fc1.weight": column(
                t(f"{name}.gate_proj.weight"), t(f"{name}.up_proj.weight")
            ),
            f"{there}.linear_fc2.weight": row(t(f"{name}.down_proj.weight")),
        }
    )


def attention(t: Under, c: Config) -> Layer:
    there = "self_attention"
    found = {
        norm("input_layernorm", f"{there}.linear_qkv", c): same(
            t("input_layernorm.weight")
        ),
        f"{there}.linear_proj.weight": row(t("self_attn.o_proj.weight")),
    }
    for kind in ("weight", "bias"):
        if t.has(f"self_attn.q_proj.{kind}"):
            parts = [t(f"self_attn.{x}_proj.{kind}") for x in "qkv"]
            groups = c["num_key_value_heads"]
            found[f"{there}.linear_qkv.{kind}"] = qkv(*parts, groups)
    if t.has("self_attn.o_proj.bias"):
        found[f"{there}.linear_proj.bias"] = same(t("self_attn.o_proj.bias"))
    return Layer(found)


def latent_attention(t: Under, c: Config) -> Layer:
    there, a = "self_attention", "self_attn"
    found = {
        "input_layernorm.weight": same(t("input_layernorm.weight")),
        f"{there}.linear_kv_down_proj.weight": same(
            t(f"{a}.kv_a_proj_with_mqa.weight")
        ),
        f"{there}.linear_kv_up_proj.weight": column(t(f"{a}.kv_b_proj.weight")),
        norm(f"{there}.kv_layernorm", f"{there}.linear_kv_up_proj", c): same(
            t(f"{a}.kv_a_layernorm.weight")
        ),
        f"{there}.linear_proj.weight": row(t(f"{a}.o_proj.weight")),
    }
    if c["q_lora_rank"] is None:
        found[f"{there}.linear_q_proj.weight"] = column(t(f"{a}.q_proj.weight"))
    else:
        found |= {
            f"{there}.linear_q_down_proj.weight": same(t(f"{a}.q_a_proj.weight")),
            f"{there}.linear_q_up_proj.weight": column(t(f"{a}.q_b_proj.weight")),
            norm(f"{there}.q_layernorm", f"{there}.linear_q_up_proj", c): same(
                t(f"{a}.q_a_layernorm.weight")
            ),
        }
    return Layer(found)


def joined(*layers: Layer) -> Layer:
    found = Layer()
    for layer in layers:
        found.own |= layer.own
        found.experts |= layer.experts
    return found


def predicting(t: Under) -> dict[str, Any]:
    """What a layer of prediction has around the decoder layer inside."""
    if t.prefix.startswith("mtp."):
        there = {"enorm": "pre_fc_norm_embedding", "hnorm": "pre_fc_norm_hidden"}
        there |= {"eh_proj": "fc", "final_layernorm": "norm"}
        own = Under(t.tensors, "mtp")
        found = {f"{a}.weight": same(own(f"{b}.weight")) for a, b in there.items()}
        return found | {"eh_proj.weight": column(own("fc.weight"))}
    return {
        "enorm.weight": same(t("enorm.weight")),
        "hnorm.weight": same(t("hnorm.weight")),
        "eh_proj.weight": column(t("eh_proj.weight")),
        "final_layernorm.weight": same(t("shared_head.norm.weight")),
    }


# ---- drawn configs --------------------------------------------------------------------------------


def sizes(draw: Random) -> Config:
    """Sizes that every family has; all of them fit a mesh of up to 8 by 2."""
    heads = draw.choice([8, 16])
    return {
        "num_hidden_layers": draw.choice([4, 5, 6]),
        "hidden_size": draw.choice([24, 40]),
        "num_attention_heads": heads,
        "num_key_value_heads": draw.choice([1, 2, 4, heads]),
        "head_dim": draw.choice([8, 24]),
        "intermediate_size": draw.choice([48, 80]),
        "vocab_size": draw.choice([96, 203]),
        "tie_word_embeddings": draw.random() < 0.3,
    }


def expert_sizes(draw: Random) -> Config:
    return {
        "moe_intermediate_size": draw.choice([16, 32]),
        "num_experts_per_tok": 2,
        "n_shared_experts": draw.choice([1, 2, 3]),
        "n_routed_experts": draw.choice([4, 8]),
        "first_k_dense_replace": draw.choice([0, 1, 2]),
    }


def latent_sizes(draw: Random) -> Config:
    return {
        "q_lora_rank": draw.choice([None, 12]),
        "kv_lora_rank": draw.choice([9, 20]),
        "qk_nope_head_dim": draw.choice([6, 10]),
        "qk_rope_head_dim": draw.choice([2, 4]),
        "v_head_dim": draw.choice([4, 6]),
    }


def deepseek_v2_config(draw: Random) -> Config:
    return sizes(draw) | expert_sizes(draw) | latent_sizes(draw)


def deepseek_v3_config(draw: Random) -> Config:
    ahead = draw.choice([{}, {"num_nextn_predict_layers": draw.choice([1, 2])}])
    return deepseek_v2_config(draw) | ahead


def deepseek_layer(t: Under, c: Config, i: int) -> Layer:
    if i < c["first_k_dense_replace"]:
        return joined(latent_attention(t, c), dense(t, c))
    experts = joined(routed(t, c["n_routed_experts"]), shared(t))
    if t.has("mlp.gate.e_score_correction_bias"):
        bias = t("mlp.gate.e_score_correction_bias").float()
        experts.own["mlp.router.expert_bias"] = same(bias)
    return joined(latent_attention(t, c), experts)


def glm4_moe_config(draw: Random) -> Config:
    ahead = draw.choice([{}, {"num_nextn_predict_layers": draw.choice([1, 2])}])
    flags = {key: draw.random() < 0.5 for key in ("attention_bias", "use_qk_norm")}
    return sizes(draw) | expert_sizes(draw) | flags | ahead


def glm4_moe_layer(t: Under, c: Config, i: int) -> Layer:
    heads = joined(attention(t, c), head_norms(t) if c["use_qk_norm"] else Layer())
    if i < c["first_k_dense_replace"]:
        return joined(heads, dense(t, c))
    experts = joined(routed(t, c["n_routed_experts"]), shared(t))
    bias = t("mlp.gate.e_score_correction_bias").float()
    experts.own["mlp.router.expert_bias"] = same(bias)
    return joined(heads, experts)


def head_norms(t: Under) -> Layer:
    return Layer(
        {
            f"self_attention.{x}_layernorm.weight": same(
                t(f"self_attn.{x}_norm.weight")
            )
            for x in "qk"
        }
    )


def olmoe_config(draw: Random) -> Config:
    return sizes(draw) | {"num_experts": draw.choice([4, 8]), "num_experts_per_tok": 2}


def olmoe_layer(t: Under, c: Config, i: int) -> Layer:
    return joined(attention(t, c), head_norms(t), routed(t, c["num_experts"]))


def gemma_config(draw: Random) -> Config:
    return sizes(draw) | {"attention_bias": draw.random() < 0.5}


def gemma_layer(t: Under, c: Config, i: int) -> Layer:
    return joined(attention(t, c), dense(t, c))


def gemma2_layer(t: Under, c: Config, i: int) -> Layer:
    behind = {
        "self_attention.linear_proj": "post_attention",
        "mlp.linear_fc2": "post_feedforward",
    }
    norms = {
        f"{there}.post_layernorm.weight": same(t(f"{here}_layernorm.weight"))
        for there, here in behind.items()
    }
    mlp = dense(t, c, "pre_feedforward_layernorm")
    return joined(attention(t, c), mlp, Layer(norms))


def gemma3_layer(t: Under, c: Config, i: int) -> Layer:
    return joined(gemma2_layer(t, c, i), head_norms(t))


def gpt_oss_config(draw: Random) -> Config:
    experts = {"num_local_experts": draw.choice([4, 8]), "num_experts_per_tok": 2}
    return sizes(draw) | experts | {"attention_bias": draw.random() < 0.7}


def gpt_oss_layer(t: Under, c: Config, i: int) -> Layer:
    found = attention(t, c)
    found.own |= {
        "self_attention.core_attention.softmax_offset": column(t("self_attn.sinks")),
        "pre_mlp_layernorm.weight": same(t("post_attention_layernorm.weight")),
        "mlp.router.weight": same(t("mlp.router.weight")),
        "mlp.router.bias": same(t("mlp.router.bias")),
    }
    experts, one = range(c["num_local_experts"]), "mlp.experts"
    up, down = t(f"{one}.gate_up_proj").mT, t(f"{one}.down_proj").mT
    up_bias, down_bias = t(f"{one}.gate_up_proj_bias"), t(f"{one}.down_proj_bias")
    found.experts |= {
        f"{one}.linear_fc1.weight": {
            x: column(up[x][::2], up[x][1::2]) for x in experts
        },
        f"{one}.linear_fc1.bias": {
            x: column(up_bias[x][::2], up_bias[x][1::2]) for x in experts
        },
        f"{one}.linear_fc2.weight": {x: row(down[x]) for x in experts},
        f"{one}.linear_fc2.bias": {x: same(down_bias[x]) for x in experts},
    }
    return found


def delta_config(draw: Random) -> Config:
    c = sizes(draw)
    layers = c["num_hidden_layers"]
    kinds = ["linear_attention", "full_attention"]
    c |= {
        "linear_num_key_heads": 8,
        "linear_num_value_heads": 8 * draw.choice([1, 3]),
        "linear_key_head_dim": draw.choice([2, 5]),
        "linear_value_head_dim": draw.choice([3, 6]),
        "linear_conv_kernel_dim": draw.choice([3, 4]),
        "num_experts": draw.choice([4, 8]),
        "num_experts_per_tok": 2,
        "moe_intermediate_size": draw.choice([16, 32]),
        "shared_expert_intermediate_size": draw.choice([24, 40]),
    }
    if draw.random() < 0.5:
        return c | {"full_attention_interval": draw.choice([2, 4])}
    return c | {"layer_types": [draw.choice(kinds) for _ in range(layers)]}


def qwen3_next_config(draw: Random) -> Config:
    return delta_config(draw) | {"mlp_only_layers": draw.choice([[], [1]])}


def linear(c: Config, i: int) -> bool:
    if "layer_types" in c:
        return bool(c["layer_types"][i] == "linear_attention")
    return bool((i + 1) % c["full_attention_interval"])


def gated_attention(t: Under, c: Config) -> Layer:
    """The rows of a head's queries and of its gate alternate here; there a group has all queries, then all gates."""
    found, there = attention(t, c), "self_attention.linear_qkv.weight"
    q, k, v = (t(f"self_attn.{x}_proj.weight") for x in "qkv")
    g, d = c["num_key_value_heads"], c["head_dim"]
    heads = q.view(g, -1, 2, d, q.shape[-1])
    both = torch.cat([heads[:, :, 0], heads[:, :, 1]], 1).flatten(0, 2)
    found.own[there] = qkv(both, k, v, g)
    return joined(found, head_norms(t))


def delta_rule(t: Under, c: Config) -> Layer:
    there, a = "self_attention", "linear_attn"
    keys = c["linear_num_key_heads"]
    values = c["linear_num_value_heads"] // keys * c["linear_value_head_dim"]
    cut = [keys * n for n in (*[c["linear_key_head_dim"]] * 2, values)]
    scale = t(f"{a}.norm.weight")
    found = {
        norm("input_layernorm", f"{there}.in_proj", c): same(
            t("input_layernorm.weight")
        ),
        f"{there}.conv1d.weight": column(*t(f"{a}.conv1d.weight").split(cut)),
        f"{there}.A_log": column(t(f"{a}.A_log")),
        f"{there}.dt_bias": column(t(f"{a}.dt_bias")),
        f"{there}.out_norm.weight": same((scale.float() - 1).to(scale.dtype)),
        f"{there}.out_proj.weight": row(t(f"{a}.out_proj.weight")),
    }
    if t.has(f"{a}.in_proj_qkvz.weight"):
        parts = [
            *grouped(t(f"{a}.in_proj_qkvz.weight"), keys, [n // keys for n in cut]),
            *halves(t(f"{a}.in_proj_ba.weight"), keys),
        ]
    else:
        parts = [
            *t(f"{a}.in_proj_qkv.weight").split(cut),
            *(t(f"{a}.in_proj_{x}.weight") for x in "zba"),
        ]
    return Layer(found | {f"{there}.in_proj.weight": column(*parts)})


def grouped(whole: torch.Tensor, keys: int, cut: list[int]) -> list[torch.Tensor]:
    """Queries, keys, values and gates, which a head has behind each other."""
    heads = whole.view(keys, -1, whole.shape[-1])
    return [one.flatten(0, 1) for one in heads.split([*cut, cut[-1]], 1)]


def halves(whole: torch.Tensor, keys: int) -> list[torch.Tensor]:
    heads = whole.view(keys, 2, -1, whole.shape[-1])
    return [heads[:, n].flatten(0, 1) for n in range(2)]


def delta_layer(t: Under, c: Config, i: int) -> Layer:
    ahead = i == c["num_hidden_layers"]
    if not ahead and linear(c, i):
        mixed = delta_rule(t, c)
    else:
        mixed = gated_attention(t, c)
    if i in c.get("mlp_only_layers", []):
        return joined(mixed, dense(t, c))
    gate = same(t("mlp.shared_expert_gate.weight"))
    own = Layer({"mlp.shared_experts.gate_weight": gate})
    experts = joined(routed(t, c["num_experts"]), shared(t, "mlp.shared_expert"), own)
    return joined(mixed, experts)


Draw = Callable[[Random], Config]
Build = Callable[[Under, Config, int], Layer]
FAMILIES: dict[str, tuple[Draw, Build]] = {
    "deepseek_v2": (deepseek_v2_config, deepseek_layer),
    "deepseek_v3": (deepseek_v3_config, deepseek_layer),
    "glm4_moe": (glm4_moe_config, glm4_moe_layer),
    "olmoe": (olmoe_config, olmoe_layer),
    "gemma": (gemma_config, gemma_layer),
    "gemma2": (gemma_config, gemma2_layer),
    "gemma3": (gemma_config, gemma3_layer),
    "gpt_oss": (gpt_oss_config, gpt_oss_layer),
    "qwen3_next": (qwen3_next_config, delta_layer),
    "qwen3_5_moe": (delta_config, delta_layer),
}
