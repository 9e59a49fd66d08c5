"""Parts of the shipped maps against single modules that Megatron-Bridge converted: every rank, both ways.

And no case of the record is forgotten: each is compared here, as a whole model, or with a function of NeMo-RL.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .megatron import OF_MODULES, mesh_of, of_a_family, ranks_of
from .records import ROOT, Case, assert_same, cases
from .test_nemorl import compiled

# Cases that the record itself calls wrong, and why; there are none now.
BROKEN: dict[str, str] = {}


@pytest.mark.parametrize("case", cases(OF_MODULES["vision_block"]))
def test_vision_block(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare("vision_block", case, tmp_path, monkeypatch)


@pytest.mark.parametrize("case", cases(OF_MODULES["fused_experts"]))
def test_fused_experts(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare("fused_experts", case, tmp_path, monkeypatch)


def compare(
    name: str, case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out at every rank; back, where shapes tell how the source was stored, but not how the target is to be."""
    module = compiled(name, folder, monkeypatch)
    stored = {"packing": "straight"} if "_EOI_" in case.path.name else {}
    config = module.Config.from_hf(case.json("config_src.json"))
    mesh, ranks = mesh_of(module, case), ranks_of(module, case)
    assert set(mesh.ranks()) == set(ranks)
    for rank, expected in ranks.items():
        assert_same(dict(module.to_mcore(case.source, config, mesh, rank)), expected)
    config = module.Config.from_hf(case.json("config_src.json"), **stored)
    source = ranks if len(ranks) > 1 else next(iter(ranks.values()))
    assert_same(dict(module.to_hf(source, config, mesh)), case.source)


@pytest.mark.skipif(not (ROOT / "megatron").is_dir(), reason="no records are there")
def test_every_case_is_compared_once() -> None:
    found = [path for path in (ROOT / "megatron").iterdir() if path.is_dir()]
    listed = (ROOT / "megatron" / "INDEX.md").read_text().splitlines()
    assert {path.name for path in found} == {line.split()[1] for line in listed if line}
    assert len(found) >= 48
    for path in found:
        times = sum(map(path.match, OF_MODULES.values())) + of_a_family(Case(path))
        wrong = Case(path).meta.get("known_broken", False)
        assert (times, wrong) == ((0, True) if path.name in BROKEN else (1, False))
