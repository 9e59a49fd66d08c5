"""Checkpoints of transformers to Megatron's rank files and back, by the command line a user has. Run by `make demo`.

A small model of each family is made, saved, converted to ranks and converted back. The names and shapes that transformers
saved are compared with what the converter expects; what came back is compared with the original: the bytes of every
tensor, config.json, and the logits of the model that transformers loads from the result, bit for bit. Exits with 1 if
one of them differs.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
from transformers.utils.logging import disable_progress_bar

# Grouped queries, a head size of its own, and a vocabulary that is no multiple of the padding.
SIZES = {
    "hidden_size": 96,
    "intermediate_size": 208,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 24,
    "vocab_size": 503,
    "max_position_embeddings": 128,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
SHARED = {
    "n_routed_experts": 4,
    "n_shared_experts": 2,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 40,
    "first_k_dense_replace": 1,
    "n_group": 2,
    "topk_group": 1,
}
LATENT = {
    "num_key_value_heads": 6,
    "head_dim": 4,
    "q_lora_rank": 28,
    "kv_lora_rank": 20,
    "qk_nope_head_dim": 10,
    "qk_rope_head_dim": 4,
    "v_head_dim": 14,
}

GATED = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 6,
    "linear_key_head_dim": 10,
    "linear_value_head_dim": 14,
}
DELTA = {
    **GATED,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 40,
    "shared_expert_intermediate_size": 56,
}
HYBRID = {
    "layers_block_type": ["linear_attention", "moe", "full_attention", "mlp"],
    "mamba_num_heads": 6,
    "mamba_head_dim": 14,
    "ssm_state_size": 10,
    "n_groups": 2,
    "n_routed_experts": 4,
    "moe_intermediate_size": 40,
    "moe_shared_expert_intermediate_size": 56,
    "moe_latent_size": 48,
}
SEEING = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 44,
    "num_heads": 4,
    "out_hidden_size": 96,
}
DEEP = {**SEEING, "deepstack_visual_indexes": [0], "num_position_embeddings": 16}
ROTARY = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}
PIXTRAL = {
    "model_type": "pixtral",
    "hidden_size": 24,
    "intermediate_size": 36,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 14,
}


@dataclass(frozen=True)
class Model:
    """A model, its converter, and what its config says besides SIZES; `flags` are those of the command.

    `sees` is the config of what sees, in a model that does; `tails` begin the names that a converter takes as they come, and
    `stored` says which alternatives transformers writes, where these are not the first.
    """

    name: str
    family: str
    converter: str
    settings: dict[str, Any] = field(default_factory=dict)
    flags: str = "--tp 2 --pp 2"
    sees: dict[str, Any] | None = None
    tails: tuple[str, ...] = ()
    stored: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Any:
        said: dict[str, Any] = {**SIZES, **self.settings}
        if self.sees is not None:
            said = {"text_config": said, "vision_config": self.sees}
        return AutoConfig.for_model(self.family, **said, dtype=torch.bfloat16)


MODELS = (
    Model("Llama", "llama", "llama_hf_mcore", {"num_hidden_layers": 6}),
    Model("Llama, tied", "llama", "llama_hf_mcore", {"tie_word_embeddings": True}),
    Model("Mistral", "mistral", "llama_hf_mcore", {"sliding_window": 32}),
    Model("Qwen2", "qwen2", "qwen2_hf_mcore", {"tie_word_embeddings": True}),
    Model("Qwen3", "qwen3", "qwen3_hf_mcore", {"attention_bias": True}),
    Model("Mixtral", "mixtral", "mixtral_hf_mcore", EXPERTS, "--tp 2 --pp 2 --ep 2"),
    Model(
        "Qwen3-MoE",
        "qwen3_moe",
        "qwen3_moe_hf_mcore",
        {**EXPERTS, "moe_intermediate_size": 40, "mlp_only_layers": [1]},
        "--tp 2 --pp 2 --ep 2 --etp 2 --variant experts=sequential",
    ),
    Model(
        "DeepSeek-V2",
        "deepseek_v2",
        "deepseek_v2_hf_mcore",
        {**LATENT, **SHARED},
        "--tp 2 --pp 2 --ep 2",
    ),
    Model(
        "DeepSeek-V3",
        "deepseek_v3",
        "deepseek_v3_hf_mcore",
        {**LATENT, **SHARED},
        "--tp 2 --pp 2 --ep 2",
    ),
    Model(
        "GLM-4.5",
        "glm4_moe",
        "glm4_moe_hf_mcore",
        {**SHARED, "attention_bias": True, "use_qk_norm": True},
        "--tp 2 --pp 2 --ep 2",
    ),
    Model(
        "OLMoE",
        "olmoe",
        "olmoe_hf_mcore",
        {**EXPERTS, "head_dim": 16},
        "--tp 2 --pp 2 --ep 2",
    ),
    Model("Gemma", "gemma", "gemma_hf_mcore"),
    Model("Gemma 2", "gemma2", "gemma2_hf_mcore"),
    Model("Gemma 3", "gemma3_text", "gemma3_hf_mcore"),
    Model("Qwen3-Next", "qwen3_next", "qwen3_next_hf_mcore", DELTA, "--tp 2 --ep 2"),
    Model(
        "Qwen3.5-MoE",
        "qwen3_5_moe_text",
        "qwen3_5_moe_hf_mcore",
        DELTA,
        "--tp 2 --pp 2 --ep 2",
    ),
    Model("gpt-oss", "gpt_oss", "gpt_oss_hf_mcore", EXPERTS, "--tp 2 --ep 2 --etp 2"),
    Model("Qwen3.5", "qwen3_5_text", "qwen3_5_hf_mcore", GATED),
    Model("EXAONE 4", "exaone4", "exaone4_hf_mcore", {"sliding_window": 32}),
    Model("Phi-3", "phi3", "phi3_hf_mcore"),
    Model("Nemotron", "nemotron", "nemotron_hf_mcore", {"mlp_bias": True}),
    Model(
        "Nemotron-H",
        "nemotron_h",
        "nemotron_h_hf_mcore",
        HYBRID,
        "--tp 2 --pp 2 --ep 2 --etp 2",
    ),
    Model(
        "Mistral Small 3",
        "mistral3",
        "mistral3_hf_mcore",
        {"model_type": "mistral"},
        sees=PIXTRAL,
        tails=("vision_tower.", "multi_modal_projector."),
    ),
    Model(
        "Qwen2.5-VL",
        "qwen2_5_vl",
        "qwen2_5_vl_hf_mcore",
        {"head_dim": 16, "rope_parameters": ROTARY},
        sees=SEEING,
        tails=("visual.",),
    ),
    Model("Qwen3-VL", "qwen3_vl", "qwen3_vl_hf_mcore", sees=DEEP),
    Model(
        "Qwen3-VL-MoE",
        "qwen3_vl_moe",
        "qwen3_vl_moe_hf_mcore",
        {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 40},
        "--tp 2 --pp 2 --ep 2",
        sees=DEEP,
        stored={"packing": "straight"},
    ),
)


@dataclass(frozen=True)
class Row:
    """What was converted, and whether it came back."""

    model: str
    flags: str
    tensors: int
    size: int
    rank_files: int
    names_expected: bool
    bytes_equal: bool
    config_equal: bool
    logits_equal: bool

    @property
    def checks(self) -> tuple[bool, ...]:
        return (
            self.names_expected,
            self.bytes_equal,
            self.config_equal,
            self.logits_equal,
        )


def main() -> int:
    started = time.perf_counter()
    disable_progress_bar()
    with tempfile.TemporaryDirectory(prefix="mapc-demo-") as scratch:
        folder = Path(scratch)
        stems = dict.fromkeys(model.converter for model in MODELS)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda stem: vendor(stem, folder), stems))
        rows = [
            round_trip(model, folder / f"{model.converter}.py", folder / model.name)
            for model in MODELS
        ]
    print_table(rows)
    failed = [row.model for row in rows if not all(row.checks)]
    print(f"\n{'FAILED: ' + '; '.join(failed) if failed else 'all equal'}", end="")
    print(f" ({time.perf_counter() - started:.0f} s)")
    return 1 if failed else 0


def vendor(stem: str, folder: Path) -> None:
    say(f"mapc vendor {stem}")
    run("-m", "mapc.compiler", "vendor", stem, folder)


def round_trip(model: Model, converter: Path, folder: Path) -> Row:
    original, ranks, back = folder / "original", folder / "megatron", folder / "back"
    say(f"{model.name}: transformers makes a model and saves it")
    save_model(original, model)
    say(f"{model.name}: {converter.name} to-mcore {model.flags}")
    run(converter, "to-mcore", original, ranks, *model.flags.split())
    say(f"{model.name}: {converter.name} to-hf")
    stored = [f"--variant={name}={one}" for name, one in model.stored.items()]
    run(converter, "to-hf", ranks, back, *stored)
    before, after = tensors(original), tensors(back)
    return Row(
        model=model.name,
        flags=model.flags,
        tensors=len(before),
        size=sum(len(data) for _, _, data in before.values()),
        rank_files=len(list(ranks.rglob("*.safetensors"))),
        names_expected=as_expected(
            {
                name: shape
                for name, (_, shape, _) in before.items()
                if not name.startswith(model.tails)
            },
            expected(converter, config(original), model.stored),
        ),
        bytes_equal=before == after,
        config_equal=config(original) == config(back),
        logits_equal=torch.equal(logits(original), logits(back)),
    )


def save_model(folder: Path, model: Model) -> None:
    """In bfloat16 and in several shards; each number is drawn, so that any swap must show."""
    torch.manual_seed(1)
    made = kind(model.sees is not None).from_config(model.config).to(torch.bfloat16)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.normal_(std=0.5 if parameter.ndim == 1 else 0.05)
            if name.endswith("linear_attn.norm.weight"):  # less one, it is exact
                parameter.uniform_(0.5, 1.5)
    made.save_pretrained(folder, max_shard_size="300KB")


def tensors(folder: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Every tensor of the folder's files: dtype, shape and bytes."""
    found: dict[str, tuple[str, tuple[int, ...], bytes]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - a file is not iterable
                tensor = file.get_tensor(name)
                data = tensor.contiguous().view(torch.uint8).numpy().tobytes()
                found[name] = (str(tensor.dtype), tuple(tensor.shape), data)
    return found


def as_expected(
    found: dict[str, tuple[int, ...]], said: dict[str, tuple[int, ...] | None]
) -> bool:
    """Whether names and shapes are those; no shape is one that only the tensor says."""
    return found.keys() == said.keys() and all(
        said[name] in (None, shape) for name, shape in found.items()
    )


def expected(
    converter: Path, config: dict[str, Any], stored: dict[str, str]
) -> dict[str, tuple[int, ...] | None]:
    """The names and shapes that the converter says such a config has."""
    spec = importlib.util.spec_from_file_location(converter.stem, converter)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    said = module.expected_hf(module.Config.from_hf(config, **stored))
    return {name: shape for name, (shape, _) in said.items()}


def config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def kind(sees: bool) -> Any:
    return AutoModelForImageTextToText if sees else AutoModelForCausalLM


def logits(folder: Path) -> torch.Tensor:
    loader = kind("vision_config" in config(folder))
    model = loader.from_pretrained(folder, dtype=torch.bfloat16).eval()
    ids = torch.arange(3 * 37).reshape(3, 37) * 7 % SIZES["vocab_size"]
    with torch.no_grad():
        return model(ids).logits


def run(*command: object) -> None:
    """A Python program in the environment of this one; its errors are shown, and its failure ends the demo."""
    subprocess.run(
        [sys.executable, *map(str, command)], check=True, stdout=subprocess.DEVNULL
    )


def say(line: str) -> None:
    print(f"  {line}", flush=True)


def print_table(rows: list[Row]) -> None:
    head = ("model", "tensors", "bytes", "rank files")
    head += ("names expected", "bytes equal", "config equal", "logits equal")
    body = [
        (row.model, row.tensors, f"{row.size:,}", row.rank_files)
        + tuple("yes" if equal else "NO" for equal in row.checks)
        for row in rows
    ]
    lines = [tuple(map(str, line)) for line in (head, *body)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    print()
    for model, *cells in lines:
        right = [c.rjust(w) for c, w in zip(cells, widths[1:], strict=True)]
        print("  ".join([model.ljust(widths[0]), *right]))


if __name__ == "__main__":
    sys.exit(main())
