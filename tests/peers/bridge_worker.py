"""One rank of Megatron-Bridge, in a process of its own: `python -m tests.peers.bridge_worker FOLDER RANK RANKS`.

It builds the model of `hf/` with layers of Megatron-Core's own, loads the file of its rank from `mcore/`, lets the
bridge export that (`exported.safetensors`, by the first rank), and then lets it load `hf/` into the model itself
(`imported_RANK.safetensors`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from megatron.core import parallel_state, tensor_parallel
from megatron.core.models.gpt import gpt_model
from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
from megatron.core.transformer.moe import moe_layer, moe_utils
from safetensors.torch import save_file
from torch import distributed

from .stand_ins import without_engine, without_gpu
from .worker import SETTINGS, load

assert (
    gpt_model and moe_layer
), "they look for TransformerEngine before it has a stand-in"


def main() -> None:
    folder, rank, ranks = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    without_gpu(tensor_parallel, moe_utils)
    without_engine()
    store = f"file://{folder / 'store'}"
    distributed.init_process_group("gloo", store, rank=rank, world_size=ranks)
    parallel_state.initialize_model_parallel(tensor_model_parallel_size=ranks)
    bridge, model = bridged(folder / "hf", ranks)
    load(model, next((folder / "mcore").glob(f"mp_rank_{rank:02}_*/*.safetensors")))
    pairs = bridge.export_hf_weights([model], cpu=True, show_progress=False)
    exported = {name: tensor.detach().clone() for name, tensor in pairs}
    if rank == 0:
        save_file(exported, folder / "exported.safetensors")
    bridge.load_hf_weights([model])
    named = model.state_dict().items()
    tensors = {n: t.detach().clone() for n, t in named if isinstance(t, torch.Tensor)}
    save_file(tensors, folder / f"imported_{rank}.safetensors")
    distributed.barrier()
    os._exit(0)  # what its threads still hold is of no use


def bridged(path: Path, ranks: int) -> tuple[Any, Any]:
    """A bridge of a directory, and a model of its config."""
    from megatron.bridge.models.conversion.auto_bridge import AutoBridge

    bridge = AutoBridge.from_hf_pretrained(path)
    provider = bridge.to_megatron_provider(load_weights=False)
    for name, value in SETTINGS.items():
        setattr(provider, name, value)
    provider.tensor_model_parallel_size = ranks
    provider.transformer_layer_spec = get_gpt_layer_local_spec(
        num_experts=provider.num_moe_experts,
        moe_grouped_gemm=False,
        qk_layernorm=provider.qk_layernorm,
        normalization=provider.normalization,
    )
    provider.finalize()
    return bridge, provider.provide(pre_process=True, post_process=True)


if __name__ == "__main__":
    main()
