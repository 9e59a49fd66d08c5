"""Converted checkpoints in live models of Megatron-Core 0.16.1, two processes on gloo; and its own numbers of layers.

`make test-peers` runs this, in an environment of its own; `make test` skips it.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "megatron.core", reason="Megatron-Core is installed by make test-peers"
)
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
load_file = importlib.import_module("safetensors.torch").load_file

ROOT = Path(__file__).parents[2]
TOKENS = [[5, 91, 3, 70, 12, 44, 8], [0, 1, 2, 65, 96, 4, 31]]
SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 40,
    "intermediate_size": 56,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "rope_theta": 5000.0,
    "initializer_range": 0.3,
    "tie_word_embeddings": False,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
MODELS = {
    "llama": ("Llama", SIZES, {"norms": "local"}),
    "llama_tied": ("Llama", SIZES | {"tie_word_embeddings": True}, {"norms": "local"}),
    "qwen3": ("Qwen3", SIZES, {"norms": "local"}),
    "qwen3_moe": (
        "Qwen3Moe",
        SIZES | EXPERTS | {"norm_topk_prob": True},
        {"norms": "local", "experts": "sequential"},
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_converted_model_runs_on_two_ranks(name: str, tmp_path: Path) -> None:
    """It takes every tensor and no other, and says what transformers' model says."""
    model = saved(name, tmp_path, 2, MODELS[name])
    (tmp_path / "tokens.json").write_text(json.dumps(TOKENS))
    on_ranks("worker", tmp_path, 2)
    found = load_file(tmp_path / "logits.safetensors")["logits"]
    with torch.no_grad():
        expected = model(torch.tensor(TOKENS)).logits
    assert expected.std() > 0.5
    found = found[..., : SIZES["vocab_size"]]
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


def saved(name: str, folder: Path, ranks: int, model: Any) -> Any:
    """A model that is drawn, saved in `hf`, and converted to the ranks in `mcore`."""
    kind, sizes, variants = model
    torch.manual_seed(1)
    config = getattr(transformers, f"{kind}Config")(**sizes)
    made = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    for buffer, one in made.named_buffers():
        if buffer.endswith("e_score_correction_bias"):
            one.normal_()  # they begin with zeros
    made.save_pretrained(folder / "hf")
    family = name.removesuffix("_tied")
    module = importlib.import_module(f"mapc.generated.{family}_hf_mcore")
    dims = {dim: ranks for dim in module.Rank._fields if dim in ("tp", "etp")}
    mesh = module.Mesh(**dims)
    module.convert_checkpoint(folder / "hf", folder / "mcore", mesh=mesh, **variants)
    return made


def on_ranks(worker: str, folder: Path, ranks: int) -> None:
    """Run a worker for each rank, all at once."""
    command = [sys.executable, "-m", f"tests.peers.{worker}", str(folder)]
    running = [
        subprocess.Popen(
            [*command, str(rank), str(ranks)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(ranks)
    ]
    said = [one.communicate(timeout=300)[0] for one in running]
    assert {one.returncode for one in running} == {0}, "\n".join(said)
