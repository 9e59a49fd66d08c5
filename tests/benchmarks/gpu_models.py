"""The models that are converted on a GPU, from shapes alone: as deep as the memory allows, numbers made on the device."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from types import ModuleType
from typing import Any

from ..gpu.loading import committed

DENSE = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128_256,
    "tie_word_embeddings": False,
}
EXPERTS = {
    "model_type": "qwen3_moe",
    "architectures": ["Qwen3MoeForCausalLM"],
    "num_hidden_layers": 48,
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "norm_topk_prob": True,
    "vocab_size": 151_936,
    "tie_word_embeddings": False,
}
LATENT = {
    "model_type": "deepseek_v3",
    "architectures": ["DeepseekV3ForCausalLM"],
    "num_hidden_layers": 4,
    "first_k_dense_replace": 1,
    "hidden_size": 7168,
    "intermediate_size": 18_432,
    "moe_intermediate_size": 2048,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "head_dim": 128,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "n_group": 8,
    "topk_group": 4,
    "routed_scaling_factor": 2.5,
    "vocab_size": 129_280,
    "tie_word_embeddings": False,
}


@dataclass(frozen=True)
class Model:
    """A model and what its converter is called; `tiny` is what is smaller where only the run is tried."""

    name: str
    stem: str
    config: dict[str, Any]
    tiny: dict[str, Any]
    ranks: dict[str, int]  # the mesh of eight
    goal: float  # the ratio to a copy that is wanted

    def loaded(self) -> ModuleType:
        return committed(self.stem)

    def sized(self, memory: int | None) -> tuple[Any, str]:
        """Its config, of as many layers as fit twice into so many bytes (None: tiny), and what is left of it, in words."""
        module, of = self.loaded(), self.config["num_hidden_layers"]
        if memory is None:
            return self._config(module, **self.tiny), "tiny"
        for layers in range(of, 1, -1):
            config = self._config(module, num_hidden_layers=layers)
            shapes = module.expected_hf(config).values()
            if 2 * 2.1 * sum(prod(shape) for shape, _ in shapes) <= memory:
                return config, f"{layers} of {of} layers"
        raise MemoryError(f"{self.name}: {memory} bytes hold no two layers of it")

    def _config(self, module: ModuleType, **changed: Any) -> Any:
        chosen = {"prediction": "left_out"} if "deepseek" in self.stem else {}
        return module.Config.from_hf(self.config | changed, **chosen)


_HEADS = {"num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 4}
_SMALL = _HEADS | {
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "vocab_size": 96,
}
_FEW = {"moe_intermediate_size": 16}
_LATENT = {
    "q_lora_rank": 8,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 4,
    "qk_rope_head_dim": 2,
    "v_head_dim": 4,
    "n_routed_experts": 8,
}
MODELS = (
    Model("Llama-8B-like", "llama_hf_mcore", DENSE, _SMALL, {"tp": 8}, 0.9),
    Model(
        "Qwen3-30B-A3B-like",
        "qwen3_moe_hf_mcore",
        EXPERTS,
        _SMALL | _FEW | {"num_experts": 8},
        {"tp": 8, "ep": 8},
        0.8,
    ),
    Model(
        "DeepSeek-V3-like slice",
        "deepseek_v3_hf_mcore",
        LATENT,
        _SMALL | _FEW | _LATENT,
        {"tp": 8, "ep": 8},
        0.8,
    ),
)


def tensors_of(expected: Any, device: Any) -> dict[str, Any]:
    """Tensors of these shapes, bfloat16 where the map leaves the dtype open, of random finite numbers."""
    import torch

    return {
        name: torch.empty(
            shape, device=device, dtype=getattr(torch, dtype or "bfloat16")
        ).normal_()
        for name, (shape, dtype) in expected.items()
    }
