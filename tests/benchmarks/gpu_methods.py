"""How others fuse and split the tensors of a layer, written anew from what they do: what is beside a converter here.

Each makes the tensors that a converter has to make, of a whole dict of one rank; the rest are the source's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Tensors = dict[str, Any]


def fused(source: Tensors, config: Any, fuse: Callable[..., Any]) -> Tensors:
    """Hugging Face's to Megatron-Core's names: qkv by `fuse`, gate and up joined."""
    import torch

    made: Tensors = {}
    for name, tensor in source.items():
        if name.endswith("self_attn.q_proj.weight") and hasattr(config, "g"):
            named = name.replace("q_proj", "{}_proj")
            parts = [source[named.format(letter)] for letter in "qkv"]
            made[_qkv(name)] = fuse(*parts, config.g)
        elif name.endswith("gate_proj.weight"):
            up = source[name.replace("gate_proj", "up_proj")]
            made[_gated(name)] = torch.cat([tensor, up])
    return made


def split(source: Tensors, config: Any, parts: Callable[..., Any]) -> Tensors:
    """The other way: q, k and v by `parts`; gate and up are halves of what is there."""
    made: Tensors = {}
    for name, tensor in source.items():
        if name.endswith("linear_qkv.weight"):
            layer = name.split(".")[2]
            named = f"model.layers.{layer}.self_attn.{{}}_proj.weight"
            for letter, part in zip("qkv", parts(tensor, config.g, config.d)):
                made[named.format(letter)] = part
    return made


def fuse_by_cat(q: Any, k: Any, v: Any, groups: int) -> Any:
    """Megatron-Bridge: slices of every group, in a list that is concatenated."""
    import torch

    rows = [one.view(groups, -1, one.shape[-1]) for one in (q, k, v)]
    pieces = [one[group] for group in range(groups) for one in rows]
    return torch.cat(pieces)


def fuse_by_views(q: Any, k: Any, v: Any, groups: int) -> Any:
    """Torch: one concatenation of views."""
    import torch

    rows = [one.view(groups, -1, one.shape[-1]) for one in (q, k, v)]
    return torch.cat(rows, 1).view(-1, q.shape[-1])


def split_by_index(qkv: Any, groups: int, head: int) -> Iterator[Any]:
    """NeMo-RL: the numbers of the heads of each, and a gather by them."""
    import torch

    heads = qkv.view(-1, head, qkv.shape[-1])
    every = heads.shape[0] // groups
    starts = range(0, heads.shape[0], every)
    queries = torch.cat([torch.arange(at, at + every - 2) for at in starts])
    keys = torch.arange(every - 2, heads.shape[0], every)
    for numbers in (queries, keys, keys + 1):
        yield heads[numbers].reshape(-1, qkv.shape[-1])


def split_by_views(qkv: Any, groups: int, head: int) -> Iterator[Any]:
    """Torch: views made contiguous."""
    heads = qkv.view(groups, -1, head, qkv.shape[-1])
    for part in (heads[:, :-2], heads[:, -2], heads[:, -1]):
        yield part.contiguous().view(-1, qkv.shape[-1])


def compiled(device: Any) -> dict[str, Callable[..., Any]]:
    """The same views by torch.compile, both ways."""
    import torch

    if device.type == "cpu":
        raise RuntimeError("it is timed on a GPU only")

    def both(qkv: Any, groups: int, head: int) -> tuple[Any, ...]:
        return tuple(split_by_views(qkv, groups, head))

    return {"fuse": torch.compile(fuse_by_views), "split": torch.compile(both)}


def _qkv(name: str) -> str:
    return f"decoder.layers.{name.split('.')[2]}.self_attention.linear_qkv.weight"


def _gated(name: str) -> str:
    """The name of the tensor that gate and up become."""
    _, _, layer, *inside = name.split(".")[:-2]
    prefix = f"decoder.layers.{layer}.mlp"
    if "shared_experts" in inside:
        return f"{prefix}.shared_experts.linear_fc1.weight"
    if "experts" in inside:
        return f"{prefix}.experts.linear_fc1.weight{inside[-1]}"
    return f"{prefix}.linear_fc1.weight"
