"""Configs as the hub has them: sections or none, what is tied said at the top, in a section, or nowhere."""

from __future__ import annotations

from typing import Any

import pytest
from mapc.generated import mistral3_hf_mcore, qwen2_5_vl_hf_mcore

TEXT = {
    "num_hidden_layers": 3,
    "hidden_size": 24,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 40,
    "vocab_size": 91,
    "rope_theta": 1e6,
}


@pytest.mark.parametrize(
    ("top", "text", "tied"),
    [
        ({}, {}, False),
        ({}, {"tie_word_embeddings": True}, True),
        ({"tie_word_embeddings": False}, {"tie_word_embeddings": True}, False),
        ({"tie_word_embeddings": True}, {"tie_word_embeddings": False}, True),
        ({"tie_word_embeddings": True}, {}, True),
    ],
)
def test_what_is_tied(top: Any, text: Any, tied: bool) -> None:
    """The top has the say where it says anything."""
    m = mistral3_hf_mcore
    said = {**top, "text_config": {**TEXT, **text}}
    config = m.Config.from_hf(said)
    there = config.to_mcore()
    assert (config.tied, there["share_embeddings_and_output_weights"]) == (tied, tied)
    assert m.Config.from_mcore(there).to_hf() == said
    del there["mapc"], there["hf_text_tie_word_embeddings"]
    again = m.Config.from_mcore(there).to_hf()
    assert again["tie_word_embeddings"] is tied
    assert again["text_config"]["tie_word_embeddings"] is tied


def test_the_decoder_at_the_top() -> None:
    m = qwen2_5_vl_hf_mcore
    sections = {"text_config": TEXT, "vision_config": {"depth": 2}}
    flat = {**TEXT, "vision_config": {"depth": 2}}
    one, other = m.Config.from_hf(sections), m.Config.from_hf(flat)
    assert m.expected_mcore(one) == m.expected_mcore(other)
    for config, said in ((one, sections), (other, flat)):
        assert m.Config.from_mcore(config.to_mcore()).to_hf() == said
