"""One rank of a live model, in a process of its own: `python -m tests.peers.worker FOLDER RANK RANKS`.

It builds what `mcore/config.json` of the folder says, loads the file of its rank into it, every name and nothing else,
and runs `tokens.json`. The first rank writes the logits of the whole vocabulary to `logits.safetensors`.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from megatron.core import parallel_state, tensor_parallel
from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
from megatron.core.models.gpt.gpt_model import GPTModel
from megatron.core.transformer.moe import moe_utils
from megatron.core.transformer.transformer_config import TransformerConfig
from safetensors.torch import load_file, save_file
from torch import distributed

from .stand_ins import without_gpu

# What runs on a CPU, and no dropout; nothing here says where a number of the checkpoint lives.
SETTINGS: dict[str, Any] = {
    "add_bias_linear": False,
    "gated_linear_unit": True,
    "activation_func": torch.nn.functional.silu,
    "use_cpu_initialization": True,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "gradient_accumulation_fusion": False,
    "bias_activation_fusion": False,
    "bias_dropout_fusion": False,
    "apply_rope_fusion": False,
    "masked_softmax_fusion": False,
    "persist_layer_norm": False,
    "params_dtype": torch.float32,
}


def main() -> None:
    folder, rank, ranks = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    without_gpu(tensor_parallel, moe_utils)
    store = f"file://{folder / 'store'}"
    distributed.init_process_group("gloo", store, rank=rank, world_size=ranks)
    parallel_state.initialize_model_parallel(tensor_model_parallel_size=ranks)
    config = json.loads((folder / "mcore" / "config.json").read_text())
    model = built(config, ranks)
    load(model, next((folder / "mcore").glob(f"mp_rank_{rank:02}_*/*.safetensors")))
    logits = run(model, json.loads((folder / "tokens.json").read_text()))
    if rank == 0:
        save_file({"logits": logits}, folder / "logits.safetensors")
    distributed.barrier()
    distributed.destroy_process_group()
    os._exit(0)  # what its threads still hold is of no use


def built(config: dict[str, Any], ranks: int) -> Any:
    """The model that a converter's config describes, with layers of Megatron-Core's own."""
    known = {one.name for one in fields(TransformerConfig)}
    said = {key: value for key, value in config.items() if key in known}
    size = {"tensor_model_parallel_size": ranks}
    spec = get_gpt_layer_local_spec(
        num_experts=config.get("num_moe_experts"),
        moe_grouped_gemm=False,
        qk_layernorm=config.get("qk_layernorm", False),
        normalization=config["normalization"],
    )
    divisor = config["make_vocab_size_divisible_by"] * ranks
    vocabulary = -(-config["vocab_size"] // divisor) * divisor
    return GPTModel(
        TransformerConfig(**(said | SETTINGS | size)),
        spec,
        vocab_size=vocabulary,
        max_sequence_length=64,
        position_embedding_type="rope",
        rotary_base=config["rotary_base"],
        share_embeddings_and_output_weights=config[
            "share_embeddings_and_output_weights"
        ],
    )


def load(model: Any, file: Path) -> None:
    """Every tensor of the file into the model, and every tensor of the model from the file."""
    found = model.load_state_dict(load_file(file), strict=False)
    missing = [name for name in found.missing_keys if "_extra_state" not in name]
    assert (missing, found.unexpected_keys) == ([], [])


def run(model: Any, tokens: list[list[int]]) -> torch.Tensor:
    """The logits [sequence, token, vocabulary], those of all ranks side by side."""
    given = torch.tensor(tokens)
    length = given.shape[1]
    hidden = torch.triu(torch.ones(1, 1, length, length, dtype=torch.bool), 1)
    positions = torch.arange(length).expand(given.shape)
    with torch.no_grad():
        own = model.eval()(given, positions, hidden).contiguous()
    parts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, own)
    return torch.cat(parts, dim=-1)


if __name__ == "__main__":
    main()
