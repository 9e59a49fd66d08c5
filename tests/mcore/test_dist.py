"""The torch_dist layout of every family that has one, against plain torch: what one rank has, its layers and experts stacked."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from functools import cache
from pathlib import Path
from random import Random
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from mapc.compiler.driver import compile_file

from .models import FAMILIES, model_on
from .ranks import Taken, Tensor
from .test_families import assert_same, checkpoint, returned

CASES = 20 if os.environ.get("MAPC_LONG") else 3
MAPS = Path(__file__).parents[2] / "dsl" / "maps"
OFTEN = ("llama", "qwen3_moe", "gpt_oss", "deepseek_v3")  # the others in the long run
APART = ("deepseek_v2", "deepseek_v3", "glm4_moe")  # their first layers are dense
FOUND = sorted(
    path.stem.removesuffix("_hf_mcore_dist") for path in MAPS.rglob("*_dist.map")
)
# Families that are compared with records of other software: what their converter makes for one rank is expected.
RECORDED = ("llama", "mixtral", "qwen2", "qwen3", "qwen3_moe")
EXPERT = re.compile(r"(.*\.experts)\.local_experts\.(\d+)\.(.*)")
LAYER = re.compile(r"(decoder\.layers)\.(\d+)\.(.*)")


@cache
def converter(family: str) -> ModuleType:
    """The core of the converter."""
    (path,) = MAPS.rglob(f"{family}_hf_mcore_dist.map")
    if path.parent == MAPS:
        return importlib.import_module(f"mapc.generated.{path.stem}")
    module = ModuleType(path.stem)
    sys.modules[path.stem] = module
    exec(compile_file(path, parts="core").module, module.__dict__)  # noqa: S102
    return module


def stacked(tensors: dict[str, Tensor], name: re.Pattern[str]) -> dict[str, Tensor]:
    """Tensors that are called alike but for a number, in its order as one."""
    found: dict[str, Tensor] = {}
    parts: dict[str, dict[int, Tensor]] = {}
    for each, tensor in tensors.items():
        match = name.fullmatch(each)
        if match is None:
            found[each] = tensor
            continue
        whole = f"{match[1]}{'.experts' if name is EXPERT else ''}.{match[3]}"
        parts.setdefault(whole, {})[int(match[2])] = tensor
    for whole, own in parts.items():
        assert sorted(own) == list(range(len(own)))
        found[whole] = torch.stack([own[number] for number in range(len(own))])
    return found


def plain_config(draw: Random) -> dict[str, Any]:
    """What all of the recorded families say in their configs."""
    return {
        "num_hidden_layers": draw.randrange(1, 5),
        "hidden_size": draw.choice([10, 14]),
        "num_attention_heads": 6,
        "num_key_value_heads": draw.choice([1, 2, 6]),
        "head_dim": draw.choice([3, 5]),
        "vocab_size": draw.choice([131, 257]),
        "intermediate_size": draw.choice([11, 13]),
        "moe_intermediate_size": 7,
        "num_experts": 5,
        "num_local_experts": 5,
        "num_experts_per_tok": 2,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "tie_word_embeddings": draw.random() < 0.5,
        "attention_bias": draw.random() < 0.5,
    }


def on_one_rank(family: str, asked: Taken, c: dict[str, Any]) -> dict[str, Tensor]:
    """What one rank has, each expert by itself."""
    if family not in RECORDED:
        one = SimpleNamespace(tp=1, pp=1, etp=1, ep=1)
        rank = SimpleNamespace(tp=0, pp=0, etp=0, ep=0)
        return model_on(family, asked, c, one, rank)
    module = importlib.import_module(f"mapc.generated.{family}_hf_mcore")
    given = {key: c[key] for key in ("norms", "experts") if key in module.VARIANTS}
    config = module.Config.from_hf(c, vocab_divisor=c["divisor"], **given)
    asked.left.clear()
    return dict(module.to_mcore(dict(asked), config))


@pytest.mark.parametrize("seed", range(CASES))
@pytest.mark.parametrize(
    "family",
    [
        pytest.param(one, marks=() if one in OFTEN else pytest.mark.long)
        for one in FOUND
    ],
)
def test_what_one_rank_has_is_stacked(family: str, seed: int) -> None:
    module, draw = converter(family), Random(f"dist {family} {seed}")
    c = plain_config(draw) if family in RECORDED else FAMILIES[family][0](draw)
    c |= {"dtype": draw.choice(["float32", "bfloat16"])}
    given = json.loads(json.dumps(c))
    variants = {name: draw.choice(ways) for name, ways in module.VARIANTS.items()}
    if not c.get("num_nextn_predict_layers"):
        variants.pop("prediction", None)
    config = module.Config.from_hf(given, **variants, vocab_ranks=draw.choice([1, 2]))
    whole = SimpleNamespace(expected_hf=lambda config, mesh: module.expected_hf(config))
    tensors = checkpoint(whole, config, None, c)
    c |= {"pad": True, "divisor": 128 * config.vocab_ranks, "experts": "sequential"}
    c |= {"first": None, "last": None, "norms": variants.get("norms", "fused")}
    c |= {"prediction": variants.get("prediction", "left_out")}
    asked = Taken(tensors)
    expected = stacked(on_one_rank(family, asked, c), EXPERT)
    if family not in APART and variants["layers"] == "stacked":
        expected = stacked(expected, LAYER)
    found = dict(module.to_mcore(tensors, config))
    assert_same(found, expected)
    assert asked.left == set()
    assert_same(dict(module.to_hf(found, config)), returned(tensors))
    assert module.Config.from_mcore(config.to_mcore()).to_hf() == given
