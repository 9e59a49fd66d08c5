"""The models that are measured: names and shapes as real ones have them, at sizes that a small machine holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .files import Spec, write_shards

Config = dict[str, Any]
Tensors = dict[str, Spec]

DTYPES = {"bfloat16": "BF16", "float32": "F32"}


@dataclass(frozen=True)
class Model:
    """How its tensors follow from its config; the config in full, and what is smaller where only the run is tried."""

    tensors: Callable[[Config], Tensors]
    config: Config
    tiny: Config
    shard: int = 500_000_000
    sparse: bool = False

    def sizes(self, quick: bool) -> Config:
        return self.config | (self.tiny if quick else {})


def write_model(model: Model, folder: Path, quick: bool) -> None:
    config = model.sizes(quick)
    folder.mkdir(parents=True)
    most = model.shard // 1000 if quick else model.shard
    seed = None if model.sparse else 1
    write_shards(folder, model.tensors(config), most, seed)
    (folder / "config.json").write_text(json.dumps(config))


def llama(config: Config) -> Tensors:
    width, dtype = config["hidden_size"], DTYPES[config["dtype"]]
    tensors = {"model.embed_tokens.weight": (config["vocab_size"], width)}
    for layer in range(config["num_hidden_layers"]):
        tensors |= _attention(config, f"model.layers.{layer}.")
        mlp = f"model.layers.{layer}.mlp."
        inner = config["intermediate_size"]
        tensors |= {
            mlp + "gate_proj.weight": (inner, width),
            mlp + "up_proj.weight": (inner, width),
            mlp + "down_proj.weight": (width, inner),
        }
    tensors["model.norm.weight"] = (width,)
    tensors["lm_head.weight"] = (config["vocab_size"], width)
    return {name: Spec(dtype, shape) for name, shape in tensors.items()}


def _attention(config: Config, layer: str) -> dict[str, tuple[int, ...]]:
    width, head = config["hidden_size"], config["head_dim"]
    queries = config["num_attention_heads"] * head
    keys = config["num_key_value_heads"] * head
    return {
        layer + "input_layernorm.weight": (width,),
        layer + "post_attention_layernorm.weight": (width,),
        layer + "self_attn.q_proj.weight": (queries, width),
        layer + "self_attn.k_proj.weight": (keys, width),
        layer + "self_attn.v_proj.weight": (keys, width),
        layer + "self_attn.o_proj.weight": (width, queries),
    }


LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 12,
    "hidden_size": 2048,
    "intermediate_size": 7168,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "vocab_size": 32_000,
    "dtype": "bfloat16",
}
TINY = {
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 4,
    "vocab_size": 96,
}

MODELS = {"llama": Model(llama, LLAMA, TINY)}
