"""OLMo-core: its state converter, with load_file and save_file of safetensors around it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from .naive import config_of, load_folder, save
from .stand_ins import stand_in

# Downloads and data loaders.
stand_in("bettermap", "cached_path", "cached_path.schemes")
stand_in("requests", "requests.adapters", "requests.exceptions")

from olmo_core.nn.hf.convert import convert_state_from_hf, convert_state_to_hf


def from_hf(source: Path, target: Path, ranks: int) -> None:
    config = config_of(source)
    known = _config(config["num_hidden_layers"], config["num_experts"])
    made = convert_state_from_hf(known, load_folder(source), model_type="flex_olmo")
    save(made, target / "model.safetensors")


def to_hf(source: Path, target: Path, ranks: int) -> None:
    config = config_of(source)
    known = _config(config["depth"], config["experts"])
    save(convert_state_to_hf(known, load_folder(source)), target / "model.safetensors")


def _config(layers: int, experts: int) -> SimpleNamespace:
    return SimpleNamespace(
        num_hidden_layers=layers,
        num_experts=experts,
        model_type="flex_olmo",
        tie_word_embeddings=False,
    )


JOBS = {"experts": from_hf, "experts back": to_hf}
