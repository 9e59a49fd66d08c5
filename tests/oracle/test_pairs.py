"""The shipped converters against OLMo-core, ModelZoo and transformers: what each of them wrote, bit for bit, and back.

In memory and through directories. Configs too: what a recorded conversion wrote to the target's config is what the
converter writes, as far as the map has the key, and a config that goes there and back is what it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from .pairs import Pair, every_pair, has_both_configs, read, write
from .records import Tensors, assert_same

every_case = pytest.mark.parametrize("pair", every_pair())

# Tensors that the converter writes on its own, since the other layout does not have them: coming back from a target
# that was recorded without them, they are there as well.
MADE = {"gpt2_hf_cs": re.compile(r"transformer\.h\.\d+\.attn\.(masked_)?bias")}

# Keys that the original writes wrongly, and why the converter writes something else.
WRONG = {
    "model.use_projection_bias_in_attention": "always false, whatever attention_bias says",
    "model.use_ffn_bias_in_attention": "always false, whatever attention_bias says",
}


# What arithmetic has been on comes back rounded: a checkpoint in muP, and the keys that say so since and before 2.3.
ARITHMETIC = ("mup_base_hidden_size", "output_logits_scale")
RTOL = 1e-6


@pytest.mark.parametrize("pair", every_pair(has_both_configs))
def test_config_of_the_target(pair: Pair) -> None:
    assert pair.source_config is not None and pair.target_config is not None
    config = read(pair.module, pair.source, pair.source_config, pair.options)
    written = flat(write(pair.module, pair.target, config))
    named = keys(pair, pair.target) - WRONG.keys()
    recorded = {
        key: value
        for key, value in flat(pair.target_config).items()
        if key in named and value is not None
    }
    assert "vocab_size" in {key.split(".")[-1] for key in recorded}
    assert {key: written.get(key) for key in recorded} == recorded


@every_case
def test_config_there_and_back(pair: Pair) -> None:
    for start, end in ((pair.source, pair.target), (pair.target, pair.source)):
        recorded = pair.source_config if start == pair.source else pair.target_config
        if recorded is None:
            continue
        written = write(
            pair.module, end, read(pair.module, start, recorded, pair.options)
        )
        back = write(pair.module, start, read(pair.module, end, written, {}))
        if computed(pair) and start == "cs":
            # the head was the embedding, and is scaled otherwise: it comes back beside it
            back["model"]["share_embedding_weights"] = True
        assert back == recorded


@every_case
def test_expected_names_and_shapes(pair: Pair) -> None:
    for layout, tensors in ((pair.source, pair.back), (pair.target, pair.case.target)):
        config = pair.config(layout)
        found = getattr(pair.module, f"expected_{layout}")(config)
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        known = {name: shape for name, (shape, _) in found.items()}
        known = without_made(pair, known, shapes)
        assert known == {name: shapes[name] for name in known if name in shapes}


@every_case
def test_there(pair: Pair) -> None:
    config = pair.config(pair.source)
    found = pair.converted(pair.case.source, pair.target, config)
    assert_same(found, pair.case.target)


@every_case
def test_back(pair: Pair) -> None:
    config = pair.config(pair.target)
    if computed(
        pair
    ):  # only what was kept beside the target's own config says how it was scaled
        there = write(pair.module, pair.target, pair.config(pair.source))
        config = read(pair.module, pair.target, there, {})
    found = pair.converted(pair.case.target, pair.source, config)
    assert_back(pair, found)


@every_case
def test_through_directories(pair: Pair, tmp_path: Path) -> None:
    source, there, back = (tmp_path / name for name in ("source", "there", "back"))
    config = pair.source_config
    if config is None:
        config = write(pair.module, pair.source, pair.config(pair.target))
    source.mkdir()
    save_file(pair.case.source, source / "model.safetensors", {"format": "pt"})
    (source / "config.json").write_text(json.dumps(config))
    pair.module.convert_checkpoint(source, there, to=pair.target, **pair.options)
    assert_same(load_file(there / "model.safetensors"), pair.case.target)
    pair.module.convert_checkpoint(there, back, to=pair.source)
    found = load_file(back / "model.safetensors")
    assert_back(pair, found)
    if not computed(pair):
        assert json.loads((back / "config.json").read_text()) == config


def assert_back(pair: Pair, found: Tensors) -> None:
    """What came back is what it was: bit for bit, but for rounding where the way is arithmetic."""
    expected = pair.back
    found = without_made(pair, found, expected)
    if computed(pair):
        for name in expected.keys() & found.keys():
            torch.testing.assert_close(found[name], expected[name], rtol=RTOL, atol=0)
            found[name] = expected[name]
    assert_same(found, expected)


def computed(pair: Pair) -> bool:
    said = (pair.source_config or {}).get("model", {})
    return any(said.get(key) is not None for key in ARITHMETIC)


def without_made(
    pair: Pair, found: dict[str, Any], there: Collection[str]
) -> dict[str, Any]:
    """What was found, without what the converter makes and `there` does not have."""
    made = MADE.get(pair.converter, re.compile("(?!)"))
    return {
        name: one
        for name, one in found.items()
        if name in there or not made.fullmatch(name)
    }


def keys(pair: Pair, layout: str) -> set[str]:
    """The config keys that the map has in a layout, dotted."""
    module = pair.module
    side = module.config_table().layouts.index(layout)
    found = set(module.CONSTANTS.get(layout, {}))
    for row in (*module.KEYS.values(), *module.OPTIONS.values()):
        if isinstance(row[side], (str, tuple)):
            found |= {row[side]} if isinstance(row[side], str) else set(row[side])
    return found


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values by dotted key, objects themselves among them."""
    return dict(_flat(config, prefix))


def _flat(config: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        yield prefix + key, value
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
