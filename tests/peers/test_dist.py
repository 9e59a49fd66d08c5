"""torch_dist checkpoints, loaded by Megatron-Core 0.16.1 itself, on one rank and on two."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

pytest.importorskip(
    "megatron.core", reason="Megatron-Core is installed by make test-peers"
)

from .test_core import MODELS, on_ranks, saved


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("name", ["llama", "llama_tied", "qwen3_moe"])
def test_the_model_loads_what_is_written(name: str, ranks: int, tmp_path: Path) -> None:
    saved(name, tmp_path, ranks, MODELS[name])
    family = name.removesuffix("_tied")
    module = importlib.import_module(f"mapc.generated.{family}_hf_mcore_dist")
    for layers in ("stacked", "apart"):
        module.convert_checkpoint(
            tmp_path / "hf", tmp_path / layers, vocab_ranks=ranks, layers=layers
        )
    on_ranks("dist_worker", tmp_path, ranks)
