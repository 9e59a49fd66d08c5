"""The recorded cases of Megatron-Bridge: the converter of a case, and how a user would call it.

Nothing here knows a case: the folder is searched, the mesh and the ranks come from a case's meta.json, and the options
of the target come from the target's own config, as a user would give them.
"""

from __future__ import annotations

import importlib
import re
from types import ModuleType
from typing import Any

import pytest
from safetensors import safe_open

from .records import Case, Tensors, beside, cases

# A family as transformers calls it, and the converter that has to reproduce its cases.
CONVERTERS = {
    "deepseek_v2": "deepseek_v2_hf_mcore",
    "deepseek_v3": "deepseek_v3_hf_mcore",
    "gemma2": "gemma2_hf_mcore",
    "glm4_moe": "glm4_moe_hf_mcore",
    "gpt_oss": "gpt_oss_hf_mcore",
    "llama": "llama_hf_mcore",
    "olmoe": "olmoe_hf_mcore",
    "qwen2": "qwen2_hf_mcore",
    "qwen3": "qwen3_hf_mcore",
    "qwen3_5_moe_text": "qwen3_5_moe_hf_mcore",
    "qwen3_moe": "qwen3_moe_hf_mcore",
    "qwen3_next": "qwen3_next_hf_mcore",
}

# An option of a converter, and the key of Megatron's config that holds it.
OPTIONS = {
    "vocab_divisor": "make_vocab_size_divisible_by",
    "pad_vocab": "should_pad_vocab",
    "first_stage": "num_layers_in_first_pipeline_stage",
    "last_stage": "num_layers_in_last_pipeline_stage",
    "count_embedding": "account_for_embedding_in_pipeline_split",
    "count_loss": "account_for_loss_in_pipeline_split",
}

# A variant of a converter, one alternative, and the other with what only its names have.
VARIANTS = {
    "norms": ("local", "fused", r"\.layer_norm_weight$"),
    "experts": ("grouped", "sequential", ".experts.local_experts."),
}

# Single modules, converted by a function or a mapping alone: what is compiled for them, and their cases.
OF_MODULES = {
    "split_qkv": "megatron/nemorl_split_qkv_*",
    "split_fc1_tp": "megatron/nemorl_split_fc1_tp_*",
    "split_fc1_etp": "megatron/nemorl_split_fc1_etp_*",
    "vision_block": "megatron/qwen3_vl_vision_block_*",
    "fused_experts": "megatron/fused_experts_*",
}


def of_a_family(case: Case) -> bool:
    """Whole models; the record has single modules too."""
    return case.meta["model_type"] in CONVERTERS


def recorded_whole(case: Case) -> bool:
    """Whether the target's config was recorded; of what mappings alone converted there are a few keys."""
    return not case.meta["level"].startswith("mapping level")


def of_a_family_and_whole(case: Case) -> bool:
    """Whole models with both configs."""
    return of_a_family(case) and recorded_whole(case)


CASES = cases("megatron/*", that=of_a_family)
WHOLE = cases("megatron/*", that=of_a_family_and_whole)
every_case = pytest.mark.parametrize("case", CASES)
every_whole_case = pytest.mark.parametrize("case", WHOLE)
every_config = pytest.mark.parametrize(
    ("case", "start"), [*beside("from_hf", CASES), *beside("from_mcore", WHOLE)]
)


def converter(case: Case) -> ModuleType:
    stem = CONVERTERS[case.meta["model_type"]]
    return importlib.import_module(f"mapc.generated.{stem}")


def options(case: Case) -> dict[str, Any]:
    """What a user tells the converter about the target."""
    target = case.json("config_dst.json")
    if not recorded_whole(case):
        return {"pad_vocab": False}
    return {name: target[key] for name, key in OPTIONS.items()}


def variant(case: Case) -> dict[str, str]:
    """How the case stores what the layout stores in several ways."""
    names = [name for rank in case.meta["ranks"] for name in names_of(case, rank)]
    fields = converter(case).Config.__dataclass_fields__
    return {
        group: other if any(re.search(only, name) for name in names) else first
        for group, (first, other, only) in VARIANTS.items()
        if group in fields
    }


def names_of(case: Case, rank: dict[str, Any]) -> list[str]:
    with safe_open(case.path / rank["file"], "pt") as file:
        return list(file.keys())


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
