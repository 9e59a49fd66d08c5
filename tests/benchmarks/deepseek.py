"""DeepSeek-V3-like: 90,000 tensors, a weight and the scales of its blocks for each projection of each expert.

Layers, experts and names are those of the real one. The sizes are an eighth, because --plan asks for the disk space of
what would be written.
"""

from __future__ import annotations

from typing import Any

from .files import Spec

BLOCK = 128

DEEPSEEK = {
    "num_hidden_layers": 61,
    "first_k_dense_replace": 3,
    "hidden_size": 896,
    "num_attention_heads": 128,
    "q_lora_rank": 192,
    "kv_lora_rank": 64,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "intermediate_size": 2304,
    "moe_intermediate_size": 256,
    "n_routed_experts": 256,
    "vocab_size": 16_160,
}
TINY_DEEPSEEK = {
    "num_hidden_layers": 3,
    "first_k_dense_replace": 1,
    "hidden_size": 256,
    "num_attention_heads": 2,
    "q_lora_rank": 8,
    "kv_lora_rank": 6,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 3,
    "v_head_dim": 5,
    "intermediate_size": 384,
    "moe_intermediate_size": 128,
    "n_routed_experts": 4,
    "vocab_size": 96,
}


def deepseek(config: dict[str, Any]) -> dict[str, Spec]:
    width = config["hidden_size"]
    tensors = {"model.embed_tokens.weight": Spec("BF16", (config["vocab_size"], width))}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        for norm in ("input", "post_attention"):
            tensors[f"{prefix}{norm}_layernorm.weight"] = Spec("BF16", (width,))
        tensors |= _attention(config, prefix + "self_attn.")
        if layer < config["first_k_dense_replace"]:
            tensors |= _gated(prefix + "mlp.", config["intermediate_size"], width)
        else:
            tensors |= _experts(config, prefix + "mlp.")
    tensors["model.norm.weight"] = Spec("BF16", (width,))
    tensors["lm_head.weight"] = Spec("BF16", (config["vocab_size"], width))
    return tensors


def _attention(config: dict[str, Any], prefix: str) -> dict[str, Spec]:
    width, heads = config["hidden_size"], config["num_attention_heads"]
    queries, keys = config["q_lora_rank"], config["kv_lora_rank"]
    turned, head = config["qk_rope_head_dim"], config["qk_nope_head_dim"]
    shapes = {
        "q_a_proj": (queries, width),
        "q_b_proj": (heads * (head + turned), queries),
        "kv_a_proj_with_mqa": (keys + turned, width),
        "kv_b_proj": (heads * (head + config["v_head_dim"]), keys),
        "o_proj": (width, heads * config["v_head_dim"]),
    }
    tensors = {
        f"{prefix}q_a_layernorm.weight": Spec("BF16", (queries,)),
        f"{prefix}kv_a_layernorm.weight": Spec("BF16", (keys,)),
    }
    for name, (rows, columns) in shapes.items():
        tensors |= _scaled(prefix + name, rows, columns)
    return tensors


def _experts(config: dict[str, Any], prefix: str) -> dict[str, Spec]:
    width, inner = config["hidden_size"], config["moe_intermediate_size"]
    count = config["n_routed_experts"]
    tensors = {
        f"{prefix}gate.weight": Spec("BF16", (count, width)),
        f"{prefix}gate.e_score_correction_bias": Spec("F32", (count,)),
    }
    for number in range(count):
        tensors |= _gated(f"{prefix}experts.{number}.", inner, width)
    return tensors | _gated(f"{prefix}shared_experts.", inner, width)


def _gated(prefix: str, inner: int, width: int) -> dict[str, Spec]:
    return {
        **_scaled(f"{prefix}gate_proj", inner, width),
        **_scaled(f"{prefix}up_proj", inner, width),
        **_scaled(f"{prefix}down_proj", width, inner),
    }


def _scaled(name: str, rows: int, columns: int) -> dict[str, Spec]:
    """A weight of eight bits, and a scale for each of its blocks."""
    scales = (-(-rows // BLOCK), -(-columns // BLOCK))
    return {
        f"{name}.weight": Spec("F8_E4M3", (rows, columns)),
        f"{name}.weight_scale_inv": Spec("F32", scales),
    }
