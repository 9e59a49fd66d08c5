"""The shipped converters against Megatron-Bridge: what it wrote on every rank, bit for bit, and back. In memory."""

from __future__ import annotations

from typing import Any

from .megatron import (
    OPTIONS,
    configured,
    converter,
    every_case,
    every_config,
    mesh_of,
    options,
    ranks_of,
    recorded_whole,
    variant,
)
from .records import Case, Tensors, assert_same


@every_case
def test_config_of_either_side(case: Case) -> None:
    module, hf, mcore = (
        converter(case),
        case.json("config_src.json"),
        case.json("config_dst.json"),
    )
    config = module.Config.from_hf(hf, **options(case), **variant(case))
    assert config.to_hf() == hf
    written = config.to_mcore()
    keys = written.keys() & mcore.keys()
    if recorded_whole(case):
        keys |= {*OPTIONS.values()}
    assert {"num_layers", "hidden_size", "vocab_size"} <= keys
    assert {key: written.get(key) for key in keys} == {key: mcore[key] for key in keys}
    back = module.Config.from_mcore(mcore, **variant(case)).to_mcore()
    assert {key: back.get(key) for key in mcore} == mcore


@every_config
def test_expected_names_and_shapes(case: Case, start: str) -> None:
    module, config = converter(case), configured(case, start, variant(case))
    mesh = mesh_of(module, case)
    hf = {name: shape for name, (shape, _) in module.expected_hf(config, mesh).items()}
    assert hf == shapes(case.source)
    for rank, recorded in ranks_of(module, case).items():
        local = module.expected_mcore(config, mesh, rank)
        assert {name: shape for name, (shape, _) in local.items()} == shapes(recorded)


@every_config
def test_to_mcore_at_every_rank(case: Case, start: str) -> None:
    module, config = converter(case), configured(case, start, variant(case))
    mesh, recorded = mesh_of(module, case), ranks_of(module, case)
    assert set(mesh.ranks()) == set(recorded)
    for rank, expected in recorded.items():
        assert_same(once(module.to_mcore(case.source, config, mesh, rank)), expected)


@every_config
def test_to_hf_from_every_rank(case: Case, start: str) -> None:
    """The names tell how the norms are stored, so the config need not."""
    module, config = converter(case), configured(case, start, {})
    ranks = ranks_of(module, case)
    source = ranks if len(ranks) > 1 else next(iter(ranks.values()))
    assert_same(once(module.to_hf(source, config, mesh_of(module, case))), case.source)


def once(stream: Any) -> Tensors:
    """The tensors of a stream, which must not give a name twice."""
    pairs = list(stream)
    tensors = dict(pairs)
    assert len(tensors) == len(pairs)
    return tensors


def shapes(tensors: Tensors) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
