"""What each conversion has to write, worked out by hand and tensor by tensor: the other half of every comparison.

A function a map, from the left layout to the right. The way back needs none: what comes back has to be what was there.
It yields the names as `read_folder` says them, with the bits, and holds one tensor at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from .files import Array, Stored
from .models import Config

Source = Mapping[str, Stored]
Expected = Iterator[tuple[str, Array]]


def llama(source: Source, config: Config, ranks: int) -> Expected:
    """The shards of every rank: rows of the fused tensors and of the embeddings, columns of the two outputs."""
    for rank in range(ranks):
        file = f"mp_rank_{rank:02}/"
        for name, bits in _llama_rank(source, config, ranks, rank):
            yield file + name, bits


def _llama_rank(source: Source, config: Config, ranks: int, rank: int) -> Expected:
    def rows(name: str) -> Array:
        return np.split(source[name].bits, ranks, axis=0)[rank]

    def columns(name: str) -> Array:
        return np.split(source[name].bits, ranks, axis=1)[rank]

    yield "embedding.word_embeddings.weight", rows("model.embed_tokens.weight")
    for layer in range(config["num_hidden_layers"]):
        old, new = f"model.layers.{layer}.", f"decoder.layers.{layer}."
        attention, mlp = f"{new}self_attention.linear_", f"{new}mlp.linear_"
        norm = source[f"{old}input_layernorm.weight"].bits
        yield f"{attention}qkv.layer_norm_weight", norm
        fused = _grouped(source, config, f"{old}self_attn.")
        yield f"{attention}qkv.weight", np.split(fused, ranks)[rank]
        yield f"{attention}proj.weight", columns(f"{old}self_attn.o_proj.weight")
        norm = source[f"{old}post_attention_layernorm.weight"].bits
        yield f"{mlp}fc1.layer_norm_weight", norm
        gate_up = [rows(f"{old}mlp.{which}_proj.weight") for which in ("gate", "up")]
        yield f"{mlp}fc1.weight", np.concatenate(gate_up)
        yield f"{mlp}fc2.weight", columns(f"{old}mlp.down_proj.weight")
    yield "decoder.final_layernorm.weight", source["model.norm.weight"].bits
    yield "output_layer.weight", rows("lm_head.weight")


def _grouped(source: Source, config: Config, prefix: str) -> Array:
    """q, k, v by groups: the queries of a group, its key, its value, then the next group."""
    groups, head = config["num_key_value_heads"], config["head_dim"]
    width = config["hidden_size"]
    parts = [
        source[f"{prefix}{which}_proj.weight"].bits.reshape(groups, -1, head, width)
        for which in "qkv"
    ]
    return np.concatenate(parts, axis=1).reshape(-1, width)


def mixtral(source: Source, config: Config, ranks: int) -> Expected:
    """The experts of a layer in two tensors, w1 above w3 in the first; everything else as it is."""
    for name, stored in source.items():
        if "block_sparse_moe" not in name:
            yield name, stored.bits
    for layer in range(config["num_hidden_layers"]):
        old, new = (
            f"model.layers.{layer}.block_sparse_moe.",
            f"model.layers.{layer}.mlp.",
        )
        yield new + "gate.weight", source[old + "gate.weight"].bits
        fused = [
            np.concatenate(
                [source[f"{expert}.{which}.weight"].bits for which in ("w1", "w3")]
            )
            for expert in _numbered(old, config["num_local_experts"])
        ]
        yield new + "experts.gate_up_proj", np.stack(fused)
        down = _numbered(old, config["num_local_experts"])
        yield new + "experts.down_proj", np.stack(
            [source[f"{expert}.w2.weight"].bits for expert in down]
        )


def experts(source: Source, config: Config, ranks: int) -> Expected:
    """The matrices of all experts under each other, each of them transposed; the router as one vector."""
    for layer in range(config["num_hidden_layers"]):
        old, new = f"model.layers.{layer}.mlp.", f"blocks.{layer}.feed_forward_moe."
        yield new + "router.weight", source[old + "gate.weight"].bits.reshape(-1)
        for here, there in (("gate", "w1"), ("up", "w3"), ("down", "w2")):
            turned = [
                source[f"{expert}.{here}_proj.weight"].bits.T
                for expert in _numbered(old, config["num_experts"])
            ]
            yield f"{new}experts.mlp.{there}", np.concatenate(turned)


def _numbered(prefix: str, count: int) -> list[str]:
    return [f"{prefix}experts.{number}" for number in range(count)]


def matrices(source: Source, config: Config, ranks: int) -> Expected:
    for layer in range(config["num_hidden_layers"]):
        yield f"blocks.{layer}.linear", source[f"model.layers.{layer}.proj.weight"].bits


def cast(bits: Array, dtype: str) -> Array:
    """bfloat16 to float32 and back, of finite numbers: rounded to the nearest, of two equally near to the even one."""
    if dtype == "f32":
        return bits.astype(np.uint32) << 16
    half = 0x7FFF + ((bits >> 16) & 1)
    return ((bits + half) >> 16).astype(np.uint16)


REFERENCES = {
    "llama": llama,
    "mixtral": mixtral,
    "experts": experts,
    "matrices": matrices,
}
