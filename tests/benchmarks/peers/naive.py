"""What one writes in an afternoon: safe_open, torch.cat and torch.stack, save_file; a file of the target at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

Tensors = dict[str, torch.Tensor]


class Source:
    """The tensors of a folder, or of a rank's file in it, each read when it is asked for."""

    def __init__(self, folder: Path) -> None:
        files = [safe_open(path, "pt") for path in sorted(folder.glob("*.safetensors"))]
        names = [(name, file) for file in files for name in file.keys()]  # noqa: SIM118
        self.files = dict(names)

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.files[name].get_tensor(name)

    def part(self, name: str, rank: int, ranks: int, dim: int = 0) -> torch.Tensor:
        """The share of a rank, of the rows or of the columns."""
        stored = self.files[name].get_slice(name)
        size = stored.get_shape()[dim] // ranks
        where = slice(rank * size, (rank + 1) * size)
        return stored[where] if dim == 0 else stored[:, where]


def save(tensors: Tensors, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(made, path, metadata={"format": "pt"})


def load_folder(folder: Path) -> Tensors:
    """All at once."""
    state: Tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        state |= load_file(path)
    return state


def config_of(source: Path) -> Any:
    return json.loads((source / "config.json").read_text())


# ---- Llama and Megatron's ranks


def to_mcore(source: Path, target: Path, ranks: int) -> None:
    config, read = config_of(source), Source(source)
    for rank in range(ranks):
        tensors = {
            "embedding.word_embeddings.weight": read.part(
                "model.embed_tokens.weight", rank, ranks
            ),
            "decoder.final_layernorm.weight": read["model.norm.weight"],
            "output_layer.weight": read.part("lm_head.weight", rank, ranks),
        }
        for layer in range(config["num_hidden_layers"]):
            tensors |= _layer_to_mcore(read, config, layer, rank, ranks)
        save(tensors, target / f"mp_rank_{rank:02}" / "model.safetensors")


def _layer_to_mcore(
    read: Source, config: Any, layer: int, rank: int, ranks: int
) -> Tensors:
    old, new = f"model.layers.{layer}.", f"decoder.layers.{layer}."
    groups = config["num_key_value_heads"] // ranks
    width = config["hidden_size"]
    qkv = [
        read.part(f"{old}self_attn.{which}_proj.weight", rank, ranks)
        for which in ("q", "k", "v")
    ]
    grouped = torch.cat([tensor.view(groups, -1, width) for tensor in qkv], dim=1)
    gate, up = (
        read.part(f"{old}mlp.{which}_proj.weight", rank, ranks)
        for which in ("gate", "up")
    )
    qkv_name, proj = f"{new}self_attention.linear_qkv", f"{new}self_attention.linear"
    return {
        f"{qkv_name}.layer_norm_weight": read[f"{old}input_layernorm.weight"],
        f"{qkv_name}.weight": grouped.reshape(-1, width),
        f"{proj}_proj.weight": read.part(
            f"{old}self_attn.o_proj.weight", rank, ranks, dim=1
        ),
        f"{new}mlp.linear_fc1.layer_norm_weight": read[
            f"{old}post_attention_layernorm.weight"
        ],
        f"{new}mlp.linear_fc1.weight": torch.cat([gate, up]),
        f"{new}mlp.linear_fc2.weight": read.part(
            f"{old}mlp.down_proj.weight", rank, ranks, dim=1
        ),
    }


def from_mcore(source: Path, target: Path, ranks: int) -> None:
    config = config_of(source)
    read = [Source(source / f"mp_rank_{rank:02}") for rank in range(ranks)]

    def joined(name: str, dim: int = 0) -> torch.Tensor:
        return torch.cat([rank[name] for rank in read], dim=dim)

    tensors = {
        "model.embed_tokens.weight": joined("embedding.word_embeddings.weight"),
        "model.norm.weight": read[0]["decoder.final_layernorm.weight"],
        "lm_head.weight": joined("output_layer.weight"),
    }
    for layer in range(config["num_layers"]):
        old, new = f"decoder.layers.{layer}.", f"model.layers.{layer}."
        qkv, fc1 = f"{old}self_attention.linear_qkv", f"{old}mlp.linear_fc1"
        tensors |= _split_qkv(joined(f"{qkv}.weight"), config, f"{new}self_attn.")
        halves = [rank[f"{fc1}.weight"].chunk(2) for rank in read]
        tensors |= {
            f"{new}input_layernorm.weight": read[0][f"{qkv}.layer_norm_weight"],
            f"{new}self_attn.o_proj.weight": joined(
                f"{old}self_attention.linear_proj.weight", dim=1
            ),
            f"{new}post_attention_layernorm.weight": read[0][
                f"{fc1}.layer_norm_weight"
            ],
            f"{new}mlp.gate_proj.weight": torch.cat([gate for gate, _ in halves]),
            f"{new}mlp.up_proj.weight": torch.cat([up for _, up in halves]),
            f"{new}mlp.down_proj.weight": joined(f"{old}mlp.linear_fc2.weight", dim=1),
        }
    save(tensors, target / "model.safetensors")


def _split_qkv(fused: torch.Tensor, config: Any, prefix: str) -> Tensors:
    groups, head = config["num_query_groups"], config["kv_channels"]
    queries = config["num_attention_heads"] // groups * head
    parts = fused.view(groups, -1, fused.shape[1]).split([queries, head, head], dim=1)
    return {
        f"{prefix}{which}_proj.weight": part.reshape(-1, fused.shape[1])
        for which, part in zip("qkv", parts)
    }


# ---- Mixtral's experts, stacked


def stack(source: Path, target: Path, ranks: int) -> None:
    config, read = config_of(source), Source(source)
    tensors = {
        name: read[name] for name in read.files if "block_sparse_moe" not in name
    }
    for layer in range(config["num_hidden_layers"]):
        old, new = (
            f"model.layers.{layer}.block_sparse_moe.",
            f"model.layers.{layer}.mlp.",
        )
        each = [
            [read[f"{old}experts.{x}.{w}.weight"] for w in ("w1", "w3", "w2")]
            for x in range(config["num_local_experts"])
        ]
        tensors |= {
            f"{new}gate.weight": read[f"{old}gate.weight"],
            f"{new}experts.gate_up_proj": torch.stack(
                [torch.cat([w1, w3]) for w1, w3, _ in each]
            ),
            f"{new}experts.down_proj": torch.stack([w2 for _, _, w2 in each]),
        }
    save(tensors, target / "model.safetensors")


def unstack(source: Path, target: Path, ranks: int) -> None:
    config, read = config_of(source), Source(source)
    tensors = {name: read[name] for name in read.files if ".mlp." not in name}
    for layer in range(config["num_hidden_layers"]):
        old, new = (
            f"model.layers.{layer}.mlp.",
            f"model.layers.{layer}.block_sparse_moe.",
        )
        tensors[f"{new}gate.weight"] = read[f"{old}gate.weight"]
        fused, down = (
            read[f"{old}experts.gate_up_proj"],
            read[f"{old}experts.down_proj"],
        )
        for number in range(config["num_local_experts"]):
            w1, w3 = fused[number].chunk(2)
            tensors |= {
                f"{new}experts.{number}.w1.weight": w1.clone(),
                f"{new}experts.{number}.w2.weight": down[number].clone(),
                f"{new}experts.{number}.w3.weight": w3.clone(),
            }
    save(tensors, target / "model.safetensors")


# ---- experts, transposed


def turn(source: Path, target: Path, ranks: int) -> None:
    config, read = config_of(source), Source(source)
    tensors = {}
    for layer in range(config["num_hidden_layers"]):
        old, new = f"model.layers.{layer}.mlp.", f"blocks.{layer}.feed_forward_moe."
        tensors[f"{new}router.weight"] = read[f"{old}gate.weight"].flatten()
        for here, there in (("gate", "w1"), ("up", "w3"), ("down", "w2")):
            each = [
                read[f"{old}experts.{number}.{here}_proj.weight"].t()
                for number in range(config["num_experts"])
            ]
            tensors[f"{new}experts.mlp.{there}"] = torch.cat(each)
    save(tensors, target / "model.safetensors")


def turn_back(source: Path, target: Path, ranks: int) -> None:
    config, read = config_of(source), Source(source)
    tensors = {}
    for layer in range(config["depth"]):
        old, new = f"blocks.{layer}.feed_forward_moe.", f"model.layers.{layer}.mlp."
        router = read[f"{old}router.weight"]
        tensors[f"{new}gate.weight"] = router.view(config["experts"], -1)
        for here, there in (("w1", "gate"), ("w3", "up"), ("w2", "down")):
            each = read[f"{old}experts.mlp.{here}"].chunk(config["experts"])
            for number, matrix in enumerate(each):
                tensors[f"{new}experts.{number}.{there}_proj.weight"] = matrix.t()
    save(tensors, target / "model.safetensors")


JOBS: dict[str, Callable[[Path, Path, int], None]] = {
    "llama": to_mcore,
    "llama back": from_mcore,
    "mixtral": stack,
    "mixtral back": unstack,
    "experts": turn,
    "experts back": turn_back,
}
