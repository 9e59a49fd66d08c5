"""Stages of several chunks, which have names of their own, as Megatron's `model0` and `model1`.

What each rank holds is compared with the same model on one stage: its tensors, under the number that a layer has in its
chunk, behind the name of the chunk.
"""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from .families import FAMILIES, sizes
from .test_families import assert_same, checkpoint

LAYERS = 8
# Where what predicts further tokens is stored; a model whose output layer is the embedding has nothing of the kind.
STORED: dict[str, dict[str, Any]] = {
    "llama": {},
    "deepseek_v3": {"prediction": "stored"},
}
# What says the chunks, the stages, and the layers of chunk 0 of all stages, then those of chunk 1 ..
SETTINGS = [
    ({"virtual_stages": 2}, 2, [2, 2, 2, 2]),
    ({"virtual_stages": 1}, 2, [4, 4]),
    ({"virtual_stages": 2, "first_stage": 2}, 2, [1, 3, 1, 3]),
    ({"pipeline_layout": "Et|t*3||ttttL"}, 2, [1, 3, 0, 4]),
    ({"pipeline_layout": "Ettt|t*5L"}, 2, [3, 5]),
    (
        {"virtual_stages": 2, "count_embedding": True, "count_loss": True},
        5,
        [0] + [1] * 8 + [0],
    ),
    ({"pipeline_layout": [3, 5]}, 2, [3, 5]),
]


@pytest.mark.parametrize("family", STORED)
@pytest.mark.parametrize(("options", "pp", "counts"), SETTINGS)
def test_every_rank_and_back(
    family: str, options: dict[str, Any], pp: int, counts: list[int]
) -> None:
    module, config, tensors = model(family)
    chunked = module.Config.from_hf(config, **STORED[family], **options)
    alone = module.Config.from_hf(config, **STORED[family])
    mesh, one = module.Mesh(tp=2, pp=pp), module.Mesh(tp=2)
    ranks = {r: dict(module.to_mcore(tensors, chunked, mesh, r)) for r in mesh.ranks()}
    for rank in mesh.ranks():
        (whole,) = [
            dict(module.to_mcore(tensors, alone, one, other))
            for other in one.ranks()
            if other == rank._replace(pp=0)
        ]
        expected = of_stage(whole, rank.pp, pp, counts, chunked.tied)
        assert_same(ranks[rank], expected)
        names = module.names_mcore(chunked, mesh, rank)
        assert names.keys() == expected.keys()
        for name, found in names.items():
            assert torch.equal(whole[found.whole], ranks[rank][name])
    assert_same(dict(module.to_hf(ranks, chunked, mesh)), tensors)
    assert_same(streamed(module, chunked, mesh, ranks), tensors)
    starts = [sum(counts[:n]) for n in range(len(counts))]
    assert module.stage_layers(chunked, mesh) == {
        (n % pp, n // pp): range(start, start + count)
        for n, (start, count) in enumerate(zip(starts, counts))
    }


def model(family: str) -> tuple[Any, dict[str, Any], dict[str, torch.Tensor]]:
    module = importlib.import_module(f"mapc.generated.{family}_hf_mcore")
    c = (FAMILIES[family][0] if family in FAMILIES else sizes)(Random(7))
    c |= {"num_hidden_layers": LAYERS, "dtype": "float32"}
    c |= {"tie_word_embeddings": not STORED[family], "num_nextn_predict_layers": 1}
    alone = module.Config.from_hf(c, **STORED[family])
    return module, c, checkpoint(module, alone, module.Mesh(tp=2), c)


def of_stage(
    whole: dict[str, torch.Tensor], stage: int, pp: int, counts: list[int], tied: bool
) -> dict[str, torch.Tensor]:
    """What a stage has of a model that one stage holds."""
    found = {}
    for name, tensor in whole.items():
        places = [place(name, counts)]
        if name == "embedding.word_embeddings.weight":  # what predicts needs it, too
            places.append((len(counts) - 1, "output_layer.weight" if tied else name))
        for chunk, own in places:
            if chunk % pp == stage:
                prefix = f"model{chunk // pp}." if len(counts) > pp else ""
                found[prefix + own] = tensor
    return found


def place(name: str, counts: list[int]) -> tuple[int, str]:
    """The chunk of a tensor of the whole model, and its name there."""
    layer = re.match(r"decoder\.layers\.(\d+)\.", name)
    if layer is None:
        return (0 if name.startswith("embedding.") else len(counts) - 1), name
    number, chunk = int(layer[1]), 0
    while number >= counts[chunk]:
        number, chunk = number - counts[chunk], chunk + 1
    return chunk, f"decoder.layers.{number}.{name[layer.end():]}"


def streamed(module: Any, config: Any, mesh: Any, ranks: Any) -> dict[str, Any]:
    stream, found = module.Stream("to_hf", config, mesh), {}
    for rank, tensors in ranks.items():
        for name, tensor in tensors.items():
            found |= dict(stream.feed(name, tensor, rank))
    return found | dict(stream.close())


def written_model(folder: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """A converter, and the tensors of a checkpoint that is written for it."""
    module, config, tensors = model("llama")
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return module, tensors


def test_files(tmp_path: Path) -> None:
    """The config says how many chunks there are, and what no layer has is dropped in each of them."""
    module, tensors = written_model(tmp_path / "hf")
    mesh = module.Mesh(pp=2)
    module.convert_checkpoint(
        tmp_path / "hf", tmp_path / "ranks", mesh=mesh, virtual_stages=2
    )
    file = tmp_path / "ranks" / "mp_rank_00_001" / "model.safetensors"
    last = load_file(file)
    assert {name.partition(".")[0] for name in last} == {"model0", "model1"}
    last["model1.decoder._extra_state"] = torch.zeros(3)
    last["model0.decoder.layers.0.mlp._extra_state"] = torch.zeros(3)
    save_file(last, file)
    report = module.convert_checkpoint(tmp_path / "ranks", tmp_path / "back", to="hf")
    assert report.dropped["parts/norm.map:6"] == 2
    assert_same(load_file(tmp_path / "back" / "model.safetensors"), tensors)


def test_states_of_training(tmp_path: Path) -> None:
    """A state has a model for each chunk, also for one without a tensor between others."""
    module, tensors = written_model(tmp_path / "hf")
    layout = {"pipeline_layout": "Ett|tt||tt|t|tL"}
    module.convert_checkpoint(
        tmp_path / "hf",
        tmp_path / "states",
        mesh=module.Mesh(pp=2),
        form="torch",
        **layout,
    )
    files = sorted((tmp_path / "states").rglob("*.pt"))
    states = [torch.load(file, weights_only=True) for file in files]
    chunks = ["model0", "model1", "model2"]
    assert [[k for k in state if k in chunks] for state in states] == [chunks] * 2
    assert states[0]["model1"] == {}
    assert "embedding.word_embeddings.weight" in states[0]["model0"]
    assert "output_layer.weight" in states[1]["model2"]
    module.convert_checkpoint(
        tmp_path / "states", tmp_path / "back", to="hf", mesh=module.Mesh(pp=2)
    )
    assert_same(load_file(tmp_path / "back" / "model.safetensors"), tensors)


def test_from_chunks_to_other_ranks(tmp_path: Path) -> None:
    """What is written directly from chunks, and to them, is what a conversion writes."""
    module, _ = written_model(tmp_path / "hf")
    settings: dict[str, tuple[Any, dict[str, Any]]] = {
        "chunks": (module.Mesh(pp=2), {"virtual_stages": 2}),
        "layout": (module.Mesh(tp=2, pp=2), {"pipeline_layout": "Et|t*3|ttt|tL"}),
        "plain": (module.Mesh(pp=4), {"last_stage": 2}),
    }
    for name, (mesh, options) in settings.items():
        module.convert_checkpoint(
            tmp_path / "hf", tmp_path / name, mesh=mesh, **options
        )
    none = dict.fromkeys(["virtual_stages", "pipeline_layout", "last_stage"])
    for here, there in (("chunks", "layout"), ("layout", "plain"), ("plain", "chunks")):
        target = tmp_path / f"{here}-{there}"
        mesh, options = settings[there]
        module.reshard_checkpoint(
            tmp_path / here, target, to_mesh=mesh, to_options=none | options
        )
        files = sorted(path.relative_to(target) for path in target.glob("*/*"))
        assert len(files) == len(mesh.ranks())
        for file in files:
            assert_same(load_file(target / file), load_file(tmp_path / there / file))


def test_names_of_another_way_to_store() -> None:
    module, config, tensors = model("llama")
    mesh, plain = module.Mesh(pp=2), module.Config.from_hf(config)
    chunked = module.Config.from_hf(config, virtual_stages=2)
    ranks = {r: dict(module.to_mcore(tensors, plain, mesh, r)) for r in mesh.ranks()}
    with pytest.raises(module.ConversionError) as caught:
        module.to_hf(ranks, chunked, mesh)
    assert str(caught.value) == (
        "model0.embedding.word_embeddings.weight (rank tp=0 pp=0): missing; parts/embedding.map:4 reads it as "
        "[v^vp@tp e], expected [256, 40] (v=203 e=40 vp=256); the nearest name is embedding.word_embeddings.weight"
    )


def test_refused() -> None:
    module, config, tensors = model("llama")
    mesh = module.Mesh(pp=2)
    for options, message in (
        (
            {"virtual_stages": 3},
            (
                "pp=2: 8 layers do not divide over 2 stages of 3 virtual ones; "
                "choose another pp or uneven stages"
            ),
        ),
        (
            {"first_stage": 5, "last_stage": 5},
            (
                "pp=2: 8 layers (first 5, last 5) do not divide over 2 stages; "
                "choose another pp or uneven stages"
            ),
        ),
        (
            {"pipeline_layout": "Etttt|ttttm|L|"},
            (
                "pp=2: the layout 'Etttt|ttttm|L|': expected the last stage to end with the one loss"
            ),
        ),
        (
            {"pipeline_layout": "Etttt|tttL"},
            "pp=2: the stages hold [4, 3] layers, expected 8 in all",
        ),
    ):
        chunked = module.Config.from_hf(config, **options)
        for refuse in (
            lambda given: module.to_mcore(tensors, given, mesh, mesh.ranks()[0]),
            lambda given: module.stage_layers(given, mesh),
        ):
            with pytest.raises(module.ConversionError) as caught:
                refuse(chunked)
            assert str(caught.value) == message
