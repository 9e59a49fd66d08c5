"""Small maps, compiled here, against functions that NeMo-RL converted single modules with.

The functions go one way: `src` is Megatron's tensor, gathered over the tensor-parallel ranks along its first axis, and
`dst` what Hugging Face stores. Both ways are checked, from the local tensors and to them.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from mapc.compiler import compile_text

from .megatron import OF_MODULES
from .records import Case, Tensors, assert_same, cases

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


def places(tensors: Tensors) -> dict[str, Any]:
    """Which layer, and which expert, the one recorded tensor is of."""
    name = min(tensors)
    found = {
        "layer": re.search(r"layers\.(\d+)\.", name),
        "expert": re.search(r"weight(\d+)$", name),
    }
    return {key: int(match[1]) for key, match in found.items() if match}


def local_tensors(gathered: Tensors, ranks: Any) -> dict[Any, Tensors]:
    """Undoes the gathering: one piece of the first axis for each rank."""
    cut = {name: tensor.chunk(len(ranks), dim=0) for name, tensor in gathered.items()}
    return {
        rank: {name: pieces[i] for name, pieces in cut.items()}
        for i, rank in enumerate(ranks)
    }
