"""The checkpoint of an invented family, as a hub has it and as the trainer that made it wrote it, on two ranks."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Layers, hidden size, query heads, groups, head size, inner size of an expert, experts, vocabulary; ranks.
L, E, N, G, D, F, X, V = 2, 48, 6, 2, 8, 20, 4, 100
TP = 2
LAYER: dict[str, tuple[int, ...]] = {
    "attn_norm.weight": (E,),
    "attn.q_proj.weight": (N * D, E),
    "attn.k_proj.weight": (G * D, E),
    "attn.v_proj.weight": (G * D, E),
    "attn.o_proj.weight": (E, N * D),
    "mlp_norm.weight": (E,),
    "mlp.router.weight": (X, E),
    "mlp.experts.gate_up_proj": (X, 2 * F, E),
    "mlp.experts.down_proj": (X, E, F),
}
NAMES = {"attn_norm": "norm1", "mlp_norm": "norm2", "mlp.router": "moe.router"}


def write_otter(folder: Path) -> None:
    """`otter/`, two shards with an index, and `trained/`, a file a rank; the same numbers in both."""
    from safetensors.torch import save_file

    tensors = otter()
    shards = {
        f"model-0000{number}-of-00002.safetensors": {
            name: tensor
            for name, tensor in tensors.items()
            if ("layers.1." in name) == (number == 2)
        }
        for number in (1, 2)
    }
    (folder / "otter").mkdir()
    for file, own in shards.items():
        save_file(own, folder / "otter" / file, metadata={"format": "pt"})
    places = {name: file for file, own in shards.items() for name in sorted(own)}
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    write_json(folder / "otter" / "model.safetensors.index.json", index)
    write_json(
        folder / "otter" / "config.json",
        {
            "num_hidden_layers": L,
            "hidden_size": E,
            "num_attention_heads": N,
            "num_key_value_heads": G,
            "moe_intermediate_size": F,
            "num_experts": X,
            "vocab_size": V,
            "tie_word_embeddings": True,
        },
    )
    (folder / "trained").mkdir()
    for rank in range(TP):
        own = {name: tensor.contiguous() for name, tensor in trained(tensors, rank)}
        save_file(own, folder / "trained" / f"rank_{rank}.safetensors")
    write_json(
        folder / "trained" / "config.json",
        {
            "depth": L,
            "width": E,
            "heads": N,
            "groups": G,
            "expert_width": F,
            "experts": X,
            "vocabulary": V,
            "tied": True,
        },
    )


def otter() -> dict[str, Tensor]:
    """The hub's tensors; in no two of them the same numbers stand at the same places."""
    import torch

    shapes = {"model.embed_tokens.weight": (V, E), "model.norm.weight": (E,)}
    for layer in range(L):
        shapes |= {f"model.layers.{layer}.{n}": shape for n, shape in LAYER.items()}
    return {
        name: (torch.arange(prod(shape)) % (251 - number))
        .to(torch.bfloat16)
        .view(shape)
        for number, (name, shape) in enumerate(shapes.items())
    }


def trained(t: dict[str, Tensor], rank: int) -> list[tuple[str, Tensor]]:
    """What a rank of the trainer holds, cut and glued by hand."""
    import torch

    embedding = t["model.embed_tokens.weight"].chunk(TP)[rank]
    found = [("embedding.weight", embedding), ("head.weight", embedding.clone())]
    found += [("norm.weight", t["model.norm.weight"])]
    for layer in range(L):
        source, target = f"model.layers.{layer}.", f"blocks.{layer}."
        for old, new in NAMES.items():
            found.append((f"{target}{new}.weight", t[f"{source}{old}.weight"]))
        q, k, v = (t[f"{source}attn.{x}_proj.weight"].view(G, -1, E) for x in "qkv")
        fused = torch.cat([q, k, v], 1).flatten(0, 1)
        found.append((target + "attn.qkv.weight", fused.chunk(TP)[rank]))
        output = t[source + "attn.o_proj.weight"].chunk(TP, 1)[rank]
        found.append((target + "attn.out.weight", output))
        for x in range(X):
            gate, up = t[source + "mlp.experts.gate_up_proj"][x].chunk(2)
            down = t[source + "mlp.experts.down_proj"][x]
            expert = f"{target}moe.experts.{x}."
            found.append((expert + "gate.weight", gate.chunk(TP)[rank]))
            found.append((expert + "up.weight", up.chunk(TP)[rank]))
            found.append((expert + "down.weight", down.chunk(TP, 1)[rank]))
    return found


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
