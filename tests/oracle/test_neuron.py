"""The shipped converter against Optimum Neuron: the tensors of every rank, bit for bit, and back.

In memory and through files. Nothing here knows a case: folders are searched, and what a case is, its config.json says.
What Neuron refuses by an assertion is refused here too; where it fails otherwise, the converter has to do better, and
only the way back can be compared.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from mapc.generated import llama_hf_neuron as neuron
from safetensors.torch import load_file, save_file

from .records import Case, Tensors, assert_same, cases

FAMILIES = ("llama", "qwen3", "granite")


def conversions(*, failed: bool) -> list[Any]:
    """The cases that convert a whole model of a family that the converter knows."""
    return [
        param
        for param in cases("neuron_olmo/n*")
        if param.values[0] is None or _converts(param.values[0], failed)
    ]


def _converts(case: Case, failed: bool) -> bool:
    said = case.json("config.json")
    known = said["kind"] == "model" and said["family"] in FAMILIES
    return known and ("error" in said["result"]) == failed


every_case = pytest.mark.parametrize("case", conversions(failed=False))


@every_case
def test_to_neuron_at_every_rank(case: Case) -> None:
    config, mesh = hf_config(case), mesh_of(case)
    for rank, expected in ranks_of(case).items():
        found = dict(neuron.to_neuron(case.source, config, mesh, rank))
        assert_same(found, expected)


@every_case
def test_to_hf_from_every_rank(case: Case) -> None:
    """The names tell how queries, keys and values are stored, so the config need not."""
    said = hf_config(case).to_neuron()
    config = neuron.Config.from_neuron(said)
    found = dict(neuron.to_hf(given(ranks_of(case)), config, mesh_of(case)))
    assert_same(found, case.source)


@every_case
def test_config_there_and_back(case: Case) -> None:
    there = hf_config(case).to_neuron()
    assert {**there, **hf_dict(case)} == there
    assert neuron.Config.from_neuron(there).to_hf() == hf_dict(case)


@every_case
def test_through_files(case: Case, tmp_path: Path) -> None:
    source, there, back = (tmp_path / name for name in ("hf", "neuron", "back"))
    write_hf(case, source)
    mesh = mesh_of(case)
    neuron.convert_checkpoint(source, there, mesh=mesh, **settings(case))
    for rank, expected in ranks_of(case).items():
        assert_same(load_file(there / neuron.rank_file(rank)), expected)
    neuron.convert_checkpoint(there, back, to="hf")
    assert_same(load_file(back / "model.safetensors"), case.source)
    assert json.loads((back / "config.json").read_text()) == hf_dict(case)


@every_case
def test_replicas_that_differ(case: Case, tmp_path: Path) -> None:
    """The first copy is read, as Neuron does; whether the others are equal is looked at when asked for."""
    there, back = tmp_path / "neuron", tmp_path / "back"
    write_ranks(case, there)
    last = neuron.rank_file(mesh_of(case).ranks()[-1])
    tensors = load_file(there / last)
    tensors["model.norm.weight"][-1] += 1
    save_file(tensors, there / last)
    neuron.convert_checkpoint(there, back, to="hf")
    assert_same(load_file(back / "model.safetensors"), case.source)
    with pytest.raises(neuron.ConversionError, match="model.norm.weight"):
        neuron.convert_checkpoint(
            there, back, to="hf", check_replicas=True, overwrite=True
        )


@every_case
def test_from_what_torch_saved(case: Case, tmp_path: Path) -> None:
    """Neuron itself writes its ranks by torch.save."""
    there, back = tmp_path / "neuron", tmp_path / "back"
    write_ranks(case, there)
    for file in there.rglob("*.safetensors"):
        torch.save(load_file(file), file.with_suffix(".pt"))
        file.unlink()
    neuron.convert_checkpoint(there, back, to="hf")
    assert_same(load_file(back / "model.safetensors"), case.source)


@pytest.mark.parametrize("case", conversions(failed=True))
def test_what_neuron_cannot(case: Case) -> None:
    refused = case.json("config.json")["result"]["error"].startswith("AssertionError")
    mesh = mesh_of(case)
    if refused:
        with pytest.raises(neuron.ConversionError):
            everywhere(case, mesh)
        return
    config = neuron.Config.from_neuron(hf_config(case).to_neuron())
    found = dict(neuron.to_hf(given(everywhere(case, mesh)), config, mesh))
    assert_same(found, case.source)


def everywhere(case: Case, mesh: neuron.Mesh) -> dict[neuron.Rank, Tensors]:
    config = hf_config(case)
    return {
        rank: dict(neuron.to_neuron(case.source, config, mesh, rank))
        for rank in mesh.ranks()
    }


def given(ranks: dict[neuron.Rank, Tensors]) -> Any:
    """What a converter takes: the tensors of every rank, or those of the only one."""
    return ranks if len(ranks) > 1 else next(iter(ranks.values()))


def hf_dict(case: Case) -> dict[str, Any]:
    said = case.json("config.json")
    return {"model_type": said["family"], **said["hf_config"]}


def settings(case: Case) -> dict[str, Any]:
    """What a user tells the converter about Neuron."""
    said = case.json("config.json")
    return {
        "kv_size_multiplier": said["kv_size_multiplier"],
        "qkv": "fused" if said["fuse_qkv"] else "separate",
    }


def hf_config(case: Case) -> neuron.Config:
    return neuron.Config.from_hf(hf_dict(case), **settings(case))


def mesh_of(case: Case) -> neuron.Mesh:
    return neuron.Mesh(tp=case.json("config.json")["tp_size"])


def ranks_of(case: Case) -> dict[neuron.Rank, Tensors]:
    return {
        rank: load_file(case.path / f"dst_tp{rank.tp}.safetensors")
        for rank in mesh_of(case).ranks()
    }


def write_hf(case: Case, folder: Path) -> None:
    folder.mkdir()
    save_file(case.source, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(hf_dict(case)))


def write_ranks(case: Case, folder: Path) -> None:
    for rank, tensors in ranks_of(case).items():
        file = folder / neuron.rank_file(rank)
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, file)
    config = json.dumps(hf_config(case).to_neuron())
    (folder / "config.json").write_text(config)


def legal(tp: int, heads: int, groups: int, multiplier: int) -> bool:
    """Where Neuron keeps every query head once; its own checks are fewer, and it loses heads elsewhere."""
    few = groups < tp or groups % tp != 0
    return few and not (
        groups * multiplier % tp or tp % multiplier or heads // groups % multiplier
    )


@pytest.mark.parametrize("tp", [1, 2, 3, 4, 6, 8])
def test_heads_of_every_rank(tp: int) -> None:
    """Which heads a rank has, against the closed form, for small numbers of heads, groups and copies."""
    seen = 0
    for groups, each, multiplier in product(
        (1, 2, 3, 4, 6), (1, 2, 4, 6), (1, 2, 3, 4)
    ):
        heads = groups * each
        found = heads_of_ranks(tp, heads, groups, multiplier)
        if groups % tp == 0:
            assert found is not None  # copies are not asked for
        elif legal(tp, heads, groups, multiplier):
            assert found == expected_heads(tp, heads, groups, multiplier)
            seen += 1
        else:
            assert found is None
    assert seen > 0 or tp == 1


def heads_of_ranks(
    tp: int, heads: int, groups: int, multiplier: int
) -> list[tuple[list[int], list[int]]] | None:
    """The query and key heads of each rank, None where the converter refuses."""
    said = {
        "num_hidden_layers": 1,
        "hidden_size": heads,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "head_dim": 1,
        "intermediate_size": tp,
        "vocab_size": tp,
    }
    config = neuron.Config.from_hf(said, kv_size_multiplier=multiplier)
    shapes = neuron.expected_hf(config)
    tensors = {name: torch.zeros(shape) for name, (shape, _) in shapes.items()}
    layer = "model.layers.0.self_attn"
    for name, count in (("q", heads), ("k", groups)):
        rows = torch.arange(float(count))[:, None].expand(count, heads)
        tensors[f"{layer}.{name}_proj.weight"] = rows.contiguous()
    mesh, found = neuron.Mesh(tp=tp), []
    for rank in mesh.ranks():
        try:
            local = dict(neuron.to_neuron(tensors, config, mesh, rank))
        except neuron.ConversionError:
            return None
        names = (f"{layer}.qkv_proj.weight_", ""), (f"{layer}.", "_proj.weight")
        start, end = next(n for n in names if f"{n[0]}q{n[1]}" in local)
        rows = [local[f"{start}{one}{end}"][:, 0].int().tolist() for one in "qk"]
        found.append((rows[0], rows[1]))
    return found


def expected_heads(
    tp: int, heads: int, groups: int, multiplier: int
) -> list[tuple[list[int], list[int]]]:
    """Slot s of all ranks holds key head s % groups, and the queries of its copy s // groups."""
    slots, queries = groups * multiplier // tp, heads // groups // multiplier
    ranks = []
    for rank in range(tp):
        own = range(rank * slots, (rank + 1) * slots)
        first = [
            slot % groups * (heads // groups) + slot // groups * queries for slot in own
        ]
        ranks.append(
            (
                [one + number for one in first for number in range(queries)],
                [slot % groups for slot in own],
            )
        )
    return ranks
