"""Small maps, compiled here, against functions that NeMo-RL converted single modules with.

The functions go one way: `src` is Megatron's tensor, gathered over the tensor-parallel ranks along its first axis, and
`dst` what Hugging Face stores. Both ways are checked, from the local tensors and to them. The shipped converters do it
in place of these functions, too: one statement at a time, on shards given as a list and wherever the tensors are.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from mapc.compiler import compile_text

from .megatron import OF_MODULES
from .records import Case, Tensors, assert_same, beside, cases

MAPS = Path(__file__).parent / "maps"


@pytest.mark.parametrize("case", cases(OF_MODULES["split_qkv"]))
def test_split_qkv(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = compiled("split_qkv", tmp_path, monkeypatch)
    config = module.Config.from_mcore(
        case.json("config_src.json") | places(case.source)
    )
    assert_same(dict(module.to_hf(case.source, config)), case.target)
    assert_same(dict(module.to_mcore(case.target, config)), case.source)


@pytest.mark.parametrize("case", cases(OF_MODULES["split_fc1_tp"]))
def test_split_fc1_tp(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split_fc1(case, "tp", tmp_path, monkeypatch)


@pytest.mark.parametrize("case", cases(OF_MODULES["split_fc1_etp"]))
def test_split_fc1_etp(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split_fc1(case, "etp", tmp_path, monkeypatch)


def split_fc1(
    case: Case, dim: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = compiled(f"split_fc1_{dim}", folder, monkeypatch)
    config = module.Config.from_mcore(
        case.json("config_src.json") | places(case.source)
    )
    mesh = module.Mesh(**{dim: case.meta["mesh"][dim]})
    ranks = local_tensors(case.source, mesh.ranks())
    source = ranks if len(ranks) > 1 else next(iter(ranks.values()))
    assert_same(dict(module.to_hf(source, config, mesh)), case.target)
    for rank, expected in ranks.items():
        assert_same(dict(module.to_mcore(case.target, config, mesh, rank)), expected)


def places(tensors: Tensors) -> dict[str, Any]:
    """Which layer, and which expert, the one recorded tensor is of."""
    name = min(tensors)
    found = {
        "layer": re.search(r"layers\.(\d+)\.", name),
        "expert": re.search(r"weight(\d+)$", name),
    }
    return {key: int(match[1]) for key, match in found.items() if match}


def is_dense(case: Case) -> bool:
    """Whether its module is no expert: Llama has none."""
    return "expert" not in places(case.source)


SHIPPED = beside("llama", cases("megatron/nemorl_*", that=is_dense))
SHIPPED += beside("qwen3_moe", cases("megatron/nemorl_*"))


@pytest.mark.parametrize(("case", "stem"), SHIPPED)
def test_one_statement_of_a_shipped_converter(case: Case, stem: str) -> None:
    module, config, mesh = shipped(stem, case)
    ranks = mesh.ranks()
    shards = local_tensors(case.source, ranks)
    found: Tensors = {}
    stream = module.Stream("to_hf", config, mesh)
    for name in case.source:
        parts = [shards[rank][name] for rank in ranks]
        made = dict(stream.feed(name, parts, ranks))
        assert len(made) > 1 and stream.pending == 0
        found |= made
    assert_same(found, case.target)
    for rank in ranks:
        back = module.Stream("to_mcore", config, mesh, rank)
        steps = (back.feed(*one) for one in case.target.items())
        assert_same(dict(pair for step in steps for pair in step), shards[rank])


@pytest.mark.parametrize("case", cases("megatron/nemorl_*"))
@pytest.mark.parametrize("device", ["meta", "cuda"])
def test_nothing_leaves_the_device(device: str, case: Case) -> None:
    """Tensors of `meta` have no numbers: whoever looked at one would fail."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU here")
    module, config, mesh = shipped("qwen3_moe", case)
    ranks = mesh.ranks()
    shards = local_tensors(case.source, ranks)
    stream = module.Stream("to_hf", config, mesh)
    for name in case.source:
        parts = [shards[rank][name].to(device) for rank in ranks]
        for made, tensor in stream.feed(name, parts, ranks):
            assert tensor.device.type == device
            assert tensor.shape == case.target[made].shape
            if device != "meta":
                assert_same({made: tensor.cpu()}, {made: case.target[made]})


def shipped(stem: str, case: Case) -> tuple[ModuleType, Any, Any]:
    """A converter of a whole model whose layers have the sizes of the recorded tensor."""
    module = importlib.import_module(f"mapc.generated.{stem}_hf_mcore")
    sizes, at = case.json("config_src.json"), places(case.source)
    width = next(t.shape[-1] for t in case.source.values() if t.dim() == 2)
    inner = sizes.get("ffn_hidden_size", 8)
    experts = {"num_experts": 4, "moe_intermediate_size": inner}
    given = {
        "num_hidden_layers": at["layer"] + 1,
        "hidden_size": sizes.get("hidden_size", width),
        "num_attention_heads": sizes.get("num_attention_heads", 2),
        "num_key_value_heads": sizes.get("num_query_groups", 2),
        "head_dim": sizes.get("kv_channels", 4),
        "intermediate_size": inner,
        "vocab_size": 8,
        "attention_bias": True,
        "decoder_sparse_step": 1 if "expert" in at else 9,
    } | (experts if stem == "qwen3_moe" else {})
    dims = {dim: case.meta["mesh"][dim] for dim in module.Rank._fields}
    return module, module.Config.from_hf(given), module.Mesh(**dims)


def compiled(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The converter of a map beside this test, written to a folder and imported from there."""
    source = (MAPS / f"{name}.map").read_text()
    file = folder / f"{name}.py"
    file.write_text(compile_text(source, name=f"{name}.map").module)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(
        sys.modules, name, module
    )  # where a dataclass looks for its module
    spec.loader.exec_module(module)
    return module


def local_tensors(gathered: Tensors, ranks: Any) -> dict[Any, Tensors]:
    """Undoes the gathering: one piece of the first axis for each rank."""
    cut = {name: tensor.chunk(len(ranks), dim=0) for name, tensor in gathered.items()}
    return {
        rank: {name: pieces[i] for name, pieces in cut.items()}
        for i, rank in enumerate(ranks)
    }
