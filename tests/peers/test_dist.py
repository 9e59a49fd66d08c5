"""torch_dist checkpoints, loaded by Megatron-Core 0.16.1 itself, on one rank and on two."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip(
    "megatron.core", reason="Megatron-Core is installed by make test-peers"
)

from mapc.compiler.driver import compile_file

from .test_core import MODELS, ROOT, SIZES, on_ranks, saved

LOCAL = {"norms": "local"}
LATENT = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "n_shared_experts": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "q_lora_rank": 10,
    "kv_lora_rank": 14,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 6,
    "num_key_value_heads": 6,
}
LOADED = {
    name: MODELS[name] for name in ("llama", "llama_tied", "qwen3", "qwen3_moe")
} | {
    "qwen2": (
        "Qwen2",
        {k: v for k, v in SIZES.items() if k != "head_dim"} | {"hidden_size": 48},
        LOCAL,
    ),
    "mixtral": (
        "Mixtral",
        SIZES | {"num_local_experts": 4},
        LOCAL | {"experts": "sequential"},
    ),
    "deepseek_v3": ("DeepseekV3", SIZES | LATENT, LOCAL | {"experts": "sequential"}),
}


def converter(family: str) -> ModuleType:
    """That of the torch_dist layout, which most families have as a map alone."""
    (path,) = (ROOT / "dsl" / "maps").rglob(f"{family}_hf_mcore_dist.map")
    module = ModuleType(path.stem)
    sys.modules[path.stem] = module
    exec(compile_file(path).module, module.__dict__)  # noqa: S102
    return module


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("name", LOADED)
def test_the_model_loads_what_is_written(name: str, ranks: int, tmp_path: Path) -> None:
    saved(name, tmp_path, ranks, LOADED[name])
    module = converter(name.removesuffix("_tied"))
    ways = module.VARIANTS.get("layers", ("apart",))
    given = {"norms": "local"} if "norms" in module.VARIANTS else {}
    for layers in ways:
        chosen = {"layers": layers} if len(ways) > 1 else {}
        target = tmp_path / layers
        module.convert_checkpoint(
            tmp_path / "hf", target, vocab_ranks=ranks, **chosen, **given
        )
    on_ranks("dist_worker", tmp_path, ranks)
