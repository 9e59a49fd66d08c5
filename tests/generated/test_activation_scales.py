"""Cerebras' models that multiply activations, as in muP: in Hugging Face's checkpoint the weights are multiplied."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import pytest
import torch
from mapc.generated import gpt2_hf_cs as gpt2
from mapc.generated import llama_hf_cs as llama

Tensors = dict[str, torch.Tensor]

HIDDEN, HEADS, VOCABULARY = 12, 3, 7
HEAD = HIDDEN // HEADS
MODEL: dict[str, Any] = {
    "num_hidden_layers": 2,
    "hidden_size": HIDDEN,
    "num_heads": HEADS,
    "filter_size": 5,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 6,
    "layer_norm_epsilon": 1e-5,
}
MODELS = {
    gpt2: {**MODEL, "nonlinearity": "gelu"},
    llama: {
        **MODEL,
        "nonlinearity": "swiglu",
        "rotary_dim": HEAD,
        "use_projection_bias_in_attention": False,
    },
}
every_model = pytest.mark.parametrize("module", MODELS, ids=["gpt2", "llama"])

# What the config says, and by what embeddings, keys and head are multiplied.
SCALES: list[tuple[dict[str, Any], float, float, float]] = [
    ({"mup_base_hidden_size": 4}, 1, 1 / math.sqrt(HEAD), 1 / 3),
    ({"mup_base_hidden_size": 4, "scale_qk_dot_by_d": False}, 1, 1, 1 / 3),
    (
        {
            "mup_base_hidden_size": 4,
            "embeddings_scale": 10.0,
            "output_logits_alpha": 2.0,
            "attention_logits_alpha": 1.5,
            "scale_output_logits_by_d": False,
        },
        10,
        1.5 / math.sqrt(HEAD),
        2 / math.sqrt(3),
    ),
    (
        {
            "scale_qk_dot_by_d": True,
            "embeddings_scale": 10.0,
            "output_logits_scale": 0.25,
        },
        10,
        1 / math.sqrt(HEAD),
        0.25,
    ),
    ({"embeddings_scale": 10.0}, 10, 1, 1),
    ({"attention_logits_alpha": 1.5}, 1, 1.5, 1),
]


def cs_tensors(module: ModuleType) -> Tensors:
    """Of a model with a head of its own."""
    config = module.Config.from_cs(
        {"model": {**MODELS[module], "share_embedding_weights": False}}
    )
    torch.manual_seed(0)
    shapes = module.expected_cs(config)
    tensors = {name: torch.randn(shape) for name, (shape, _) in shapes.items()}
    tensors |= {
        name: tensors["transformer_decoder.norm" + name.removeprefix("ln_f")]
        for name in tensors
        if name.startswith("ln_f")
    }
    return tensors


def scaled(tensors: Tensors, embeddings: float, keys: float, head: float) -> Tensors:
    factors = {"embeddings": embeddings, "proj_k_dense": keys, "lm_head": head}
    return {
        name: tensor * next((by for part, by in factors.items() if part in name), 1)
        for name, tensor in tensors.items()
    }


@every_model
@pytest.mark.parametrize("said, embeddings, keys, head", SCALES)
def test_weights_are_multiplied(
    module: ModuleType,
    said: dict[str, Any],
    embeddings: float,
    keys: float,
    head: float,
) -> None:
    tensors = cs_tensors(module)
    untied = {**MODELS[module], "share_embedding_weights": False}
    plain = module.Config.from_cs({"model": untied})
    config = module.Config.from_cs({"model": {**untied, **said}})
    found = dict(module.to_hf(tensors, config))
    expected = dict(module.to_hf(scaled(tensors, embeddings, keys, head), plain))
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-6, atol=0)
    for name, tensor in module.to_cs(found, config):
        torch.testing.assert_close(tensor, tensors[name], rtol=1e-6, atol=0)


@every_model
@pytest.mark.parametrize("said, embeddings, keys, head", SCALES)
def test_a_head_that_is_scaled_otherwise_is_its_own(
    module: ModuleType,
    said: dict[str, Any],
    embeddings: float,
    keys: float,
    head: float,
) -> None:
    model = {**MODELS[module], "share_embedding_weights": True, **said}
    tied = module.Config.from_cs({"model": model}).to_hf()["tie_word_embeddings"]
    assert tied == (embeddings == head == 1)


@every_model
def test_keys_of_two_releases_are_refused(module: ModuleType) -> None:
    said = {"mup_base_hidden_size": 4, "output_logits_scale": 0.25}
    with pytest.raises(module.ConversionError, match="output_logits_scale=0.25"):
        module.Config.from_cs({"model": {**MODELS[module], **said}})


@pytest.mark.parametrize(
    "scaling",
    [
        {"rope_type": "yarn", "factor": 4.0, "beta_fast": 32, "beta_slow": 1},
        {
            "rope_type": "longrope",
            "factor": 4.0,
            "short_factor": [1.0],
            "long_factor": [2.0],
        },
    ],
    ids=["yarn", "longrope"],
)
def test_arguments_of_scaled_positions(scaling: dict[str, Any]) -> None:
    hf = llama.Config.from_cs({"model": MODELS[llama]}).to_hf()
    hf.pop("mapc", None)
    said = llama.Config.from_hf({**hf, "rope_scaling": scaling}).to_cs()["model"]
    assert said["pos_scaling_type"] == scaling["rope_type"]
    arguments = dict(list(scaling.items())[2:])
    assert said["pos_scaling_extra_args"] == arguments
    assert llama.Config.from_cs({"model": said}).to_hf()["rope_scaling"] == scaling
