"""The models that are measured: names and shapes as real ones have them, at sizes that a small machine holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .deepseek import DEEPSEEK, TINY_DEEPSEEK, deepseek
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


def mixtral(config: Config) -> Tensors:
    """A tensor an expert, as the hub has them."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    tensors = {"model.embed_tokens.weight": (config["vocab_size"], width)}
    for layer in range(config["num_hidden_layers"]):
        tensors |= _attention(config, f"model.layers.{layer}.")
        moe = f"model.layers.{layer}.block_sparse_moe."
        tensors[moe + "gate.weight"] = (config["num_local_experts"], width)
        for number in range(config["num_local_experts"]):
            expert = f"{moe}experts.{number}."
            tensors |= {
                expert + "w1.weight": (inner, width),
                expert + "w2.weight": (width, inner),
                expert + "w3.weight": (inner, width),
            }
    tensors["model.norm.weight"] = (width,)
    tensors["lm_head.weight"] = (config["vocab_size"], width)
    return {name: Spec("BF16", shape) for name, shape in tensors.items()}


def experts(config: Config) -> Tensors:
    """Only the experts of a model, and their routers."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    tensors: dict[str, tuple[int, ...]] = {}
    for layer in range(config["num_hidden_layers"]):
        mlp = f"model.layers.{layer}.mlp."
        tensors[mlp + "gate.weight"] = (config["num_experts"], width)
        for number in range(config["num_experts"]):
            expert = f"{mlp}experts.{number}."
            tensors |= {
                expert + "gate_proj.weight": (inner, width),
                expert + "up_proj.weight": (inner, width),
                expert + "down_proj.weight": (width, inner),
            }
    return {name: Spec("BF16", shape) for name, shape in tensors.items()}


def matrices(config: Config) -> Tensors:
    spec = Spec(
        DTYPES[config["dtype"]], (config["intermediate_size"], config["hidden_size"])
    )
    layers = range(config["num_hidden_layers"])
    return {f"model.layers.{layer}.proj.weight": spec for layer in layers}


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
LLAMA_20_GB = LLAMA | {
    "num_hidden_layers": 40,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "head_dim": 128,
    "vocab_size": 128_000,
}
MIXTRAL = LLAMA | {
    "num_hidden_layers": 4,
    "intermediate_size": 3584,
    "num_local_experts": 8,
}
EXPERTS = {
    "num_hidden_layers": 4,
    "hidden_size": 2048,
    "intermediate_size": 1408,
    "num_experts": 16,
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
TINY_EXPERTS = {
    "num_hidden_layers": 2,
    "hidden_size": 40,
    "intermediate_size": 24,
    "num_experts": 3,
}


def _matrices(
    layers: int, rows: int, width: int, dtype: str = "bfloat16", sparse: bool = False
) -> Model:
    config = {
        "num_hidden_layers": layers,
        "intermediate_size": rows,
        "hidden_size": width,
        "dtype": dtype,
    }
    tiny = {"num_hidden_layers": 3, "intermediate_size": 5, "hidden_size": 7}
    return Model(matrices, config, tiny, sparse=sparse)


MODELS = {
    "llama": Model(llama, LLAMA, TINY),
    "llama-1gb": Model(llama, LLAMA | {"num_hidden_layers": 7}, TINY, sparse=True),
    "llama-20gb": Model(llama, LLAMA_20_GB, TINY, shard=5_000_000_000, sparse=True),
    "mixtral": Model(mixtral, MIXTRAL, TINY),
    "experts": Model(experts, EXPERTS, TINY_EXPERTS),
    "matrices-bf16": _matrices(12, 4096, 8192),
    "matrices-f32": _matrices(12, 4096, 8192, "float32"),
    "45000-small": _matrices(45_000, 1, 2048),
    "45-large": _matrices(45, 1000, 2048),
    "1000-tensors": _matrices(1000, 64, 2048),
    "90000-tensors": _matrices(90_000, 1, 64),
    "deepseek": Model(deepseek, DEEPSEEK, TINY_DEEPSEEK, 64_880_000, sparse=True),
}
