"""The recorded cases of Megatron-Bridge: the converter of a case, and how a user would call it.

Nothing here knows a case: the folder is searched, the mesh and the ranks come from a case's meta.json, and the options
of the target come from the target's own config, as a user would give them.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import pytest
from safetensors.torch import load_file

from .records import Case, Tensors, cases

# The cases of a family, and the converter that has to reproduce them.
CONVERTERS = {"llama": "llama_hf_mcore"}

# An option of a converter, and the key of Megatron's config that holds it.
OPTIONS = {
    "vocab_divisor": "make_vocab_size_divisible_by",
    "pad_vocab": "should_pad_vocab",
    "first_stage": "num_layers_in_first_pipeline_stage",
    "last_stage": "num_layers_in_last_pipeline_stage",
    "count_embedding": "account_for_embedding_in_pipeline_split",
    "count_loss": "account_for_loss_in_pipeline_split",
}

# A tensor that only the local names have: with them the norms stand beside the linear layers, not in them.
LOCAL_NORM = ".pre_mlp_layernorm.weight"

every_case = pytest.mark.parametrize(
    "case", cases(*(f"megatron/{family}_*" for family in CONVERTERS))
)
either_config = pytest.mark.parametrize("start", ["from_hf", "from_mcore"])


def converter(case: Case) -> ModuleType:
    stem = CONVERTERS[case.path.name.split("_")[0]]
    return importlib.import_module(f"mapc.generated.{stem}")


def options(case: Case) -> dict[str, Any]:
    """What a user tells the converter about the target."""
    target = case.json("config_dst.json")
    return {name: target[key] for name, key in OPTIONS.items()}


def variant(case: Case) -> dict[str, str]:
    """How the case stores what the layout stores in several ways."""
    first = load_file(case.path / case.meta["ranks"][0]["file"])
    return {
        "norms": (
            "local" if any(name.endswith(LOCAL_NORM) for name in first) else "fused"
        )
    }


def configured(case: Case, start: str, stored: dict[str, str]) -> Any:
    """The config by one of its two readers; `stored` is the variant to write, which no config tells."""
    config = converter(case).Config
    if start == "from_hf":
        return config.from_hf(case.json("config_src.json"), **options(case), **stored)
    return config.from_mcore(case.json("config_dst.json"), **stored)


def mesh_of(module: ModuleType, case: Case) -> Any:
    return module.Mesh(
        **{name: case.meta["mesh"][name] for name in module.Rank._fields}
    )


def ranks_of(module: ModuleType, case: Case) -> dict[Any, Tensors]:
    recorded = case.ranks(module.Rank._fields)
    return {module.Rank(*at): tensors for at, tensors in recorded.items()}
