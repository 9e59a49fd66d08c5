"""Every family against plain torch: configs and meshes are drawn, each rank is compared bit for bit, and what comes back."""

from __future__ import annotations

import importlib
import json
import os
from random import Random
from types import ModuleType
from typing import Any

import pytest
import torch

from . import seeing
from .families import Config
from .models import FAMILIES, model_on, twin
from .ranks import Taken

CASES = 60 if os.environ.get("MAPC_LONG") else 6
MESHES = ((1, 1), (2, 1), (4, 1), (8, 1), (1, 2), (2, 2), (1, 4), (4, 4))  # tp, ep


@pytest.mark.parametrize("seed", range(CASES))
@pytest.mark.parametrize("family", FAMILIES)
def test_every_rank_and_back(family: str, seed: int) -> None:
    module = importlib.import_module(f"mapc.generated.{family}_hf_mcore")
    draw = Random(f"{family} {seed}")
    c = FAMILIES[family][0](draw) | {"dtype": draw.choice(["float32", "bfloat16"])}
    settings = drawn_settings(draw, module, c)
    mesh = module.Mesh(**settings.pop("mesh"))
    given = nested(family, json.loads(json.dumps(c)))
    config = module.Config.from_hf(given, **settings)
    tensors = checkpoint(module, config, mesh, c)
    tensors |= {name: torch.arange(6.0) for name in seeing.TAILS.get(family, ())}
    c |= {"pad": True, "divisor": 128, "norms": "fused", "experts": "grouped"}
    c |= {"first": None, "last": None, "prediction": "left_out"}
    c |= {"vision_norms": "fused", "packing": "turned"}
    c |= {key: settings[name] for key, name in NAMES.items() if name in settings}
    asked = Taken(tensors)
    ranks = {}
    for rank in mesh.ranks():
        expected = model_on(family, asked, c, mesh, rank)
        found = dict(module.to_mcore(tensors, config, mesh, rank))
        assert_same(found, expected)
        ranks[rank] = found
    assert asked.left == set()
    source = ranks if len(ranks) > 1 else next(iter(ranks.values()))
    assert_same(dict(module.to_hf(source, config, mesh)), returned(tensors))
    again = module.Config.from_mcore(config.to_mcore())
    assert again.to_hf() == given


NAMES = {
    "pad": "pad_vocab",
    "divisor": "vocab_divisor",
    "norms": "norms",
    "experts": "experts",
    "first": "first_stage",
    "last": "last_stage",
    "prediction": "prediction",
    "vision_norms": "vision_norms",
    "packing": "packing",
}


def nested(family: str, c: Config) -> Config:
    """The config as transformers writes it: what sees, and the decoder, have sections of their own."""
    if family not in seeing.NAMES:
        return c
    own = ("tie_word_embeddings", "dtype", "vision_config")
    text = {key: value for key, value in c.items() if key not in own}
    return {key: c[key] for key in own if key in c} | {"text_config": text}


def drawn_settings(draw: Random, module: ModuleType, c: Config) -> dict[str, Any]:
    """A mesh, options and variants that the config allows."""
    layers, fields = c["num_hidden_layers"], module.Rank._fields
    tp, ep = draw.choice(MESHES)
    found: dict[str, Any] = {"mesh": {"tp": tp, "pp": 1}}
    if "ep" in fields:
        found["mesh"] |= {"ep": ep, "etp": draw.choice([1, 2])}
    kind = draw.choice(["one", "even", "first", "last", "both"])
    match kind:
        case "even" if layers % 2 == 0:
            found["mesh"]["pp"] = 2
        case "first":
            found |= {"first_stage": 1}
            found["mesh"]["pp"] = 2
        case "last":
            found |= {"last_stage": 1}
            found["mesh"]["pp"] = 2
        case "both":
            found |= {"first_stage": 1, "last_stage": 1}
            found["mesh"]["pp"] = 3
    if draw.random() < 0.3 and c["vocab_size"] % tp == 0:
        found["pad_vocab"] = False
    else:
        found["vocab_divisor"] = draw.choice([16, 128])
    for name, choices in module.VARIANTS.items():
        if name in NAMES or name == "ends":
            found[name] = draw.choice(choices)
    if "ends" in module.VARIANTS and not c.get("num_nextn_predict_layers"):
        found.pop("prediction", None)
    return found


def checkpoint(
    module: ModuleType, config: Any, mesh: Any, c: Config
) -> dict[str, torch.Tensor]:
    """Each tensor has numbers of its own; names of one tensor have the same."""
    dtype = getattr(torch, c["dtype"])
    found = {}
    generator = torch.Generator().manual_seed(1)
    for name, (said, _) in module.expected_hf(config, mesh).items():
        shape = said or (c["vision_config"]["hidden_size"], 3, 2, 4, 4)
        found[name] = torch.randn(shape, generator=generator).to(dtype)
    for name in found:
        if (other := twin(name, c)) is not None:
            found[name] = found[other]
    return found


def returned(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors as they come back: what was stored less one has been rounded."""
    found = dict(tensors)
    for name, one in tensors.items():
        if name.endswith("linear_attn.norm.weight"):
            less = (one.float() - 1).to(one.dtype)
            found[name] = (less.float() + 1).to(one.dtype)
    return found


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    kinds = [
        {name: (tuple(one.shape), one.dtype) for name, one in sorted(side.items())}
        for side in (found, expected)
    ]
    assert kinds[0] == kinds[1]
    assert [n for n in expected if not torch.equal(found[n], expected[n])] == []
