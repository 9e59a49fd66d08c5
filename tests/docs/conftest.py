"""The checkpoint that the documents' commands convert."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

import pytest

# A Llama of four layers, small enough to be made in no time: grouped queries, a vocabulary that is no multiple of 128.
LAYERS = 4
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_hidden_layers": LAYERS,
    "hidden_size": 48,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 112,
    "vocab_size": 1000,
    "rms_norm_eps": 1e-05,
    "hidden_act": "silu",
    "attention_bias": False,
    "tie_word_embeddings": False,
    "rope_parameters": {"rope_theta": 500000.0, "rope_type": "default"},
    "dtype": "bfloat16",
    "transformers_version": "5.0.0",
}
EMBEDDINGS: dict[str, tuple[int, ...]] = {
    "model.embed_tokens": (1000, 48),
    "model.norm": (48,),
    "lm_head": (1000, 48),
}
LAYER: dict[str, tuple[int, ...]] = {
    "input_layernorm": (48,),
    "post_attention_layernorm": (48,),
    "self_attn.q_proj": (48, 48),
    "self_attn.k_proj": (16, 48),
    "self_attn.v_proj": (16, 48),
    "self_attn.o_proj": (48, 48),
    "mlp.gate_proj": (112, 48),
    "mlp.up_proj": (112, 48),
    "mlp.down_proj": (48, 112),
}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as transformers saves one: a single file of bfloat16 tensors, config and tokenizer."""
    import torch
    from safetensors.torch import save_file

    shapes = {f"{name}.weight": shape for name, shape in EMBEDDINGS.items()}
    for layer in range(LAYERS):
        shapes |= {
            f"model.layers.{layer}.{n}.weight": shape for n, shape in LAYER.items()
        }
    tensors = {
        name: (torch.arange(prod(shape)) % (251 - number))
        .to(torch.bfloat16)
        .view(shape)
        for number, (name, shape) in enumerate(shapes.items())
    }
    folder = tmp_path_factory.mktemp("checkpoint")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    for name, content in (
        ("config", CONFIG),
        ("tokenizer", {}),
        ("generation_config", {}),
    ):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    return folder
