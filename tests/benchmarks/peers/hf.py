"""transformers: load a model, save it.

Loading Mixtral merges the experts in memory. Saved as it is in memory it has stacked experts, saved in the original
format a tensor an expert: both are what the converter does.
"""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from transformers import MixtralConfig, MixtralForCausalLM

from .naive import config_of, load_folder

KEYS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "num_local_experts",
    "head_dim",
    "vocab_size",
)

transformers.utils.logging.disable_progress_bar()


def stack(source: Path, target: Path, ranks: int) -> None:
    config = _config(source)
    model = MixtralForCausalLM.from_pretrained(source, config=config, dtype="bfloat16")
    model.save_pretrained(target, max_shard_size="5GB", save_original_format=False)


def unstack(source: Path, target: Path, ranks: int) -> None:
    """A model that was loaded packed would be saved packed, so these tensors are put into a new one, uncopied."""
    with torch.device("meta"):
        model = MixtralForCausalLM(_config(source))
    model.load_state_dict(load_folder(source), assign=True)
    model.save_pretrained(target, max_shard_size="5GB")


def _config(source: Path) -> MixtralConfig:
    stored = config_of(source)
    return MixtralConfig(**{key: stored[key] for key in KEYS})


JOBS = {"mixtral": stack, "mixtral back": unstack}
