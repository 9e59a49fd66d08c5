"""Tensors of several parts that ranks hold apart: one dtype on all of them, defaults of a size that is known."""

from __future__ import annotations

import pytest
import torch

from .generated import of_text

PARTS_ON_RANKS = """language 1
map m: hf <-> mcore

layout mcore {
    mesh  tp
    files "rank_{tp}.safetensors"
}
config {
    e: e <-> e
}

tensors {
    a[e], b[e]DEFAULT <-> ab[(e + e)@tp]
}
"""


def test_a_rank_of_defaults_alone_has_the_dtype_of_the_tensor() -> None:
    m = of_text(PARTS_ON_RANKS.replace("DEFAULT", " ?? ones"))
    config, mesh = m.Config.from_hf({"e": 3}), m.Mesh(tp=2)
    given = {"a": torch.zeros(3, dtype=torch.bfloat16)}
    found = {rank: dict(m.to_mcore(given, config, mesh, rank)) for rank in mesh.ranks()}
    assert [one["ab"].dtype for one in found.values()] == [torch.bfloat16] * 2
    assert dict(m.to_hf(found, config, mesh))["b"].tolist() == [1] * 3


def test_mixed_dtypes_on_two_ranks() -> None:
    m = of_text(PARTS_ON_RANKS.replace("DEFAULT", ""))
    config, mesh = m.Config.from_hf({"e": 3}), m.Mesh(tp=2)
    given = {"a": torch.zeros(3, dtype=torch.bfloat16), "b": torch.zeros(3)}
    with pytest.raises(m.ConversionError) as caught:
        m.to_mcore(given, config, mesh, mesh.ranks()[0])
    assert str(caught.value) == (
        "ab: its parts differ in dtype, a is torch.bfloat16 and b is torch.float32 (m.map:13); "
        "cast one of them first"
    )


def test_a_default_of_unknown_size() -> None:
    """Where sizes are measured on the tensor itself, nothing says how many values to make."""
    m = of_text(
        PARTS_ON_RANKS.replace(
            "a[e], b[e]DEFAULT <-> ab[(e + e)@tp]", "w[y] ?? ones <-> v[y@tp]"
        )
    )
    config = m.Config.from_hf({"e": 3})
    with pytest.raises(m.ConversionError) as caught:
        m.to_mcore({}, config, m.Mesh(), m.Mesh().ranks()[0])
    assert str(caught.value) == "w: missing; m.map:13 reads it"
