"""Tied checkpoints that hold the embedding under both names, as some of the hub do: read, compared, written if asked."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch

HF: dict[str, Any] = {
    "num_hidden_layers": 2,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 4,
    "intermediate_size": 12,
    "vocab_size": 11,
    "tie_word_embeddings": True,
}
EMBEDDING, COPY = "model.embed_tokens.weight", "lm_head.weight"

every_family = pytest.mark.parametrize("stem", ["qwen2_hf_mcore", "qwen3_hf_mcore"])


def checkpoint(module: Any, config: Any) -> dict[str, torch.Tensor]:
    """Each element is a number of its own; without a copy."""
    shapes = {name: shape for name, (shape, _) in module.expected_hf(config).items()}
    assert EMBEDDING in shapes and COPY not in shapes
    return {
        name: torch.arange(torch.Size(shape).numel()).view(shape) + 1000 * number
        for number, (name, shape) in enumerate(shapes.items())
    }


@every_family
@pytest.mark.parametrize("pp", [1, 2])
def test_a_copy_is_read_and_written_if_asked(stem: str, pp: int) -> None:
    module = importlib.import_module(f"mapc.generated.{stem}")
    config, mesh = module.Config.from_hf(HF), module.Mesh(pp=pp)
    tensors = checkpoint(module, config)
    copied = {**tensors, COPY: tensors[EMBEDDING].clone()}
    there = {
        rank: dict(module.to_mcore(copied, config, mesh, rank)) for rank in mesh.ranks()
    }
    for rank, found in there.items():
        for name, tensor in module.to_mcore(tensors, config, mesh, rank):
            assert torch.equal(found[name], tensor)
    source = there if pp > 1 else there[mesh.ranks()[0]]
    assert set(dict(module.to_hf(source, config, mesh))) == set(tensors)
    asked = module.Config.from_hf(HF, head="copied")
    assert set(dict(module.to_hf(source, asked, mesh))) == set(copied)


@every_family
def test_a_copy_that_differs_is_refused(stem: str) -> None:
    module = importlib.import_module(f"mapc.generated.{stem}")
    config = module.Config.from_hf(HF)
    tensors = checkpoint(module, config)
    with pytest.raises(module.ConversionError, match="lm_head.weight"):
        list(module.to_mcore({**tensors, COPY: tensors[EMBEDDING] + 1}, config))
