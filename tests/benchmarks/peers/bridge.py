"""Megatron-Bridge: its functions that merge and split q, k, v and gate, up, with load_file and save_file around them.

The whole of it needs a GPU and a model that is built first. These functions are what moves its bytes, on one rank.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from .naive import config_of, load_folder, save
from .stand_ins import stand_in

CORE = ("fp8_utils", "mpu", "transformer", "utils")
TRANSFORMER = ("module", "transformer_config")


def _mappings() -> Any:
    """Its module of mappings, beside stand-ins for Megatron-Core and for the rest of the bridge."""
    found = importlib.util.find_spec("megatron")
    if found is None or found.submodule_search_locations is None:
        raise ImportError("No module named 'megatron'")
    stand_in("megatron.core", *(f"megatron.core.{name}" for name in CORE))
    stand_in(*(f"megatron.core.transformer.{name}" for name in TRANSFORMER))
    bridge = "megatron.bridge"
    stand_in(bridge, f"{bridge}.models", f"{bridge}.models.conversion")
    stand_in(f"{bridge}.models.conversion.utils")
    root = Path(next(iter(found.submodule_search_locations)))
    path = root / "bridge" / "models" / "conversion" / "param_mapping.py"
    spec: ModuleSpec | None = importlib.util.spec_from_file_location("mappings", path)
    if spec is None or spec.loader is None or not path.exists():
        raise ImportError("No module named 'megatron.bridge'")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    one_rank = {
        "get_pg_size": lambda group: 1,
        "get_pg_rank": lambda group: 0,
        "mpu": SimpleNamespace(is_initialized=lambda: False),
        "HAVE_TE_FP8_TENSOR_CLASS": False,
    }
    vars(module).update(one_rank)
    return module


mappings = _mappings()


def to_mcore(source: Path, target: Path, ranks: int) -> None:
    config, state = config_of(source), load_folder(source)
    provider = _provider(config, config["num_key_value_heads"], config["head_dim"])
    made = {new: state.pop(old) for old, new in ENDS.items()}
    for layer in range(config["num_hidden_layers"]):
        old, new = f"model.layers.{layer}.", f"decoder.layers.{layer}."
        qkv = [state.pop(f"{old}self_attn.{which}_proj.weight") for which in "qkv"]
        merged = mappings.merge_qkv_weights(provider, *qkv)
        made[f"{new}self_attention.linear_qkv.weight"] = merged
        fused = _gated(new, old).hf_to_megatron(
            {
                which: state.pop(f"{old}mlp.{which}_proj.weight")
                for which in ("gate", "up")
            },
            None,
        )
        made[f"{new}mlp.linear_fc1.weight"] = fused
        for there, here in LAYER.items():
            made[new + here] = state.pop(old + there)
    save(made, target / "mp_rank_00" / "model.safetensors")


def from_mcore(source: Path, target: Path, ranks: int) -> None:
    config, state = config_of(source), load_folder(source / "mp_rank_00")
    provider = _provider(config, config["num_query_groups"], config["kv_channels"])
    made = {old: state.pop(new) for old, new in ENDS.items()}
    for layer in range(config["num_layers"]):
        old, new = f"model.layers.{layer}.", f"decoder.layers.{layer}."
        fused = state.pop(f"{new}self_attention.linear_qkv.weight")
        for which, part in zip("qkv", mappings.split_qkv_weights(provider, fused)):
            made[f"{old}self_attn.{which}_proj.weight"] = part
        fc1 = state.pop(f"{new}mlp.linear_fc1.weight")
        made |= _gated(new, old).megatron_to_hf(fc1, None)
        for there, here in LAYER.items():
            made[old + there] = state.pop(new + here)
    save(made, target / "model.safetensors")


# What is only called otherwise, there and here.
ENDS = {
    "model.embed_tokens.weight": "embedding.word_embeddings.weight",
    "model.norm.weight": "decoder.final_layernorm.weight",
    "lm_head.weight": "output_layer.weight",
}
LAYER = {
    "input_layernorm.weight": "self_attention.linear_qkv.layer_norm_weight",
    "self_attn.o_proj.weight": "self_attention.linear_proj.weight",
    "post_attention_layernorm.weight": "mlp.linear_fc1.layer_norm_weight",
    "mlp.down_proj.weight": "mlp.linear_fc2.weight",
}


def _gated(new: str, old: str) -> Any:
    names = (f"{old}mlp.{which}_proj.weight" for which in ("gate", "up"))
    return mappings.GatedMLPMapping(f"{new}mlp.linear_fc1.weight", *names)


def _provider(config: Any, groups: int, head: int) -> SimpleNamespace:
    return SimpleNamespace(
        num_attention_heads=config["num_attention_heads"],
        num_query_groups=groups,
        kv_channels=head,
        hidden_size=config["hidden_size"],
    )


JOBS: dict[str, Callable[[Path, Path, int], None]] = {
    "llama": to_mcore,
    "llama back": from_mcore,
}
