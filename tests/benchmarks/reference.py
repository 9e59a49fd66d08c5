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


REFERENCES = {"llama": llama}
