"""One rank that loads a torch_dist checkpoint: `python -m tests.peers.dist_worker FOLDER RANK RANKS`.

It builds what `mcore/config.json` of the folder says, and lets Megatron-Core load `stacked/` and `apart/` into it, by
the names that the model itself has for its tensors: every one of them, and the checkpoint has no other. Each time the
model then holds what is in the file of its rank in `mcore/`. Where layers differ there is no `stacked/`.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from megatron.core import dist_checkpointing, parallel_state, tensor_parallel
from megatron.core.dist_checkpointing.validation import StrictHandling
from megatron.core.models.gpt.gpt_layer_specs import get_gpt_decoder_block_spec
from megatron.core.models.gpt.gpt_model import GPTModel
from megatron.core.transformer import multi_latent_attention
from megatron.core.transformer.dot_product_attention import DotProductAttention
from megatron.core.transformer.moe import moe_utils
from megatron.core.transformer.transformer_config import MLATransformerConfig
from safetensors.torch import load_file
from torch import distributed

from .stand_ins import without_gpu
from .worker import SETTINGS, built


def main() -> None:
    folder, rank, ranks = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    without_gpu(tensor_parallel, moe_utils)
    store = f"file://{folder / 'store'}"
    distributed.init_process_group("gloo", store, rank=rank, world_size=ranks)
    parallel_state.initialize_model_parallel(tensor_model_parallel_size=ranks)
    config = json.loads((folder / "mcore" / "config.json").read_text())
    (file,) = (folder / "mcore").glob(f"mp_rank_{rank:02}_*/*.safetensors")
    for layers in ("stacked", "apart"):
        if not (folder / layers).exists():
            continue  # they differ, and are not stacked
        latent = "kv_lora_rank" in config
        model = built_latent(config, ranks) if latent else built(config, ranks)
        if "num_moe_experts" in config:
            named_as_with_engine(model)
        loaded(model, folder / layers / "release", layers == "apart")
        assert_same(model, split_further(load_file(file), rank, ranks))
    distributed.barrier()
    distributed.destroy_process_group()
    os._exit(0)  # what its threads still hold is of no use


def built_latent(config: dict[str, Any], ranks: int) -> Any:
    """A model whose keys and values are latent, and whose first layers are dense; both are asked for otherwise."""
    multi_latent_attention.TELinear = type("Absent", (), {})
    made = DotProductAttention.__init__

    def without_sizes(self: Any, *given: Any, **named: Any) -> None:
        """Its own attention does not know that keys and values have other sizes; nothing is computed here."""
        named = {key: each for key, each in named.items() if key[1:] != "_channels"}
        made(self, *given, **named)

    DotProductAttention.__init__ = without_sizes
    known = {one.name for one in fields(MLATransformerConfig)}
    said = {key: each for key, each in config.items() if key in known}
    size = {"tensor_model_parallel_size": ranks, "moe_router_score_function": "sigmoid"}
    whole = MLATransformerConfig(**(said | SETTINGS | size))
    spec = get_gpt_decoder_block_spec(whole, False, normalization="RMSNorm")
    divisor = config["make_vocab_size_divisible_by"] * ranks
    rows = -(-config["vocab_size"] // divisor) * divisor
    model = GPTModel(whole, spec, rows, 64, position_embedding_type="rope")
    DotProductAttention.__init__ = made
    return model


def loaded(model: Any, path: Path, apart: bool) -> None:
    """Load a checkpoint into a model. Only states that are no tensors, and are none here, are not in it."""
    metadata = {"non_homogeneous_layers": apart}
    named = {"model": model.sharded_state_dict(metadata=metadata)}
    found, left, lacking = dist_checkpointing.load(
        named, str(path), strict=StrictHandling.RETURN_ALL
    )
    assert left == set()
    assert {name.rpartition(".")[2] for name in lacking} == {"_extra_state"}
    filled = model.load_state_dict(found["model"], strict=False)
    missing = [name for name in filled.missing_keys if "_extra_state" not in name]
    assert (missing, filled.unexpected_keys) == ([], [])


def named_as_with_engine(model: Any) -> None:
    """Layers of TransformerEngine, as checkpoints have them, do not name the norm before experts after a linear layer."""
    for layer in model.decoder.layers:
        names = layer.submodules_config.sharded_state_dict_keys_map
        names.pop("pre_mlp_layernorm.", None)  # once, where all layers have one


def assert_same(model: Any, expected: dict[str, torch.Tensor]) -> None:
    """A model has these tensors and no other."""
    named = model.state_dict().items()
    found = {name: each for name, each in named if isinstance(each, torch.Tensor)}
    assert sorted(found) == sorted(expected)
    assert [n for n, each in expected.items() if not found[n].equal(each)] == []


def split_further(
    tensors: dict[str, torch.Tensor], rank: int, ranks: int
) -> dict[str, torch.Tensor]:
    """Layers of Megatron-Core's own split the projections down, of which those of TransformerEngine have all."""
    return {
        name: each.chunk(ranks)[rank] if "_down_proj" in name else each
        for name, each in tensors.items()
    }


if __name__ == "__main__":
    main()
