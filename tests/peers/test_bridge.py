"""Megatron-Bridge 0.3.1, live on two ranks: what it makes of a converted model, and of the checkpoint itself.

It is wrong in one thing: it scatters pieces of a row-parallel weight that are not contiguous, and gloo sends other
bytes than those. (Later versions make them contiguous.)
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

pytest.importorskip(
    "megatron.core", reason="Megatron-Core is installed by make test-peers"
)
load_file = importlib.import_module("safetensors.torch").load_file

from .test_core import MODELS, on_ranks, saved

SCATTERED = re.compile(r"\.(linear_proj|linear_fc2)\.weight$")


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_the_bridge_sees_the_same_model(name: str, ranks: int, tmp_path: Path) -> None:
    kind, sizes, variants = MODELS[name]
    unpadded = {"vocab_size": 128 * ranks}  # one rank pads nothing, and then refuses it
    saved(name, tmp_path, ranks, (kind, sizes | unpadded, variants))
    on_ranks("bridge_worker", tmp_path, ranks)
    assert_same(
        load_file(tmp_path / "exported.safetensors"),
        load_file(tmp_path / "hf" / "model.safetensors"),
    )
    for rank in range(ranks):
        found = load_file(tmp_path / f"imported_{rank}.safetensors")
        expected = load_file(next(tmp_path.glob(f"mcore/mp_rank_{rank:02}*/*")))
        if ranks > 1:
            wrong = [one for one in expected if SCATTERED.search(one)]
            same = [found.pop(one).equal(expected.pop(one)) for one in wrong]
            assert same and not all(same)
        assert_same(found, expected)


def assert_same(found: dict, expected: dict) -> None:  # type: ignore[type-arg]
    """The same names and numbers."""
    assert sorted(found) == sorted(expected)
    assert [one for one in expected if not found[one].equal(expected[one])] == []
