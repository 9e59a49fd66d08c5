"""What stands in a config.json that people really have, or have broken: read whole, written back, or refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mapc.compiler import compile_text
from mapc.generated import llama_hf_mcore as m

from ..compiler.generated import of_text

HF: dict[str, Any] = {
    "num_hidden_layers": 4,
    "hidden_size": 10,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "head_dim": 7,
    "intermediate_size": 22,
    "vocab_size": 31,
    "rms_norm_eps": 1e-05,
}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"rope_theta": 7.0},
        {"rope_parameters": None, "rope_theta": 7.0},
        {"rope_parameters": {"rope_theta": 7.0}, "rope_theta": 7.0},
        {"rope_parameters": {"rope_type": "default"}, "rope_theta": 7.0},
        {"head_dim": None, "hidden_size": 42, "torch_dtype": "bfloat16"},
    ],
)
def test_a_config_comes_back_as_it_was(more: dict[str, Any]) -> None:
    """Nothing is lost and nothing is added: neither the default of a key, nor another spelling, nor a null."""
    hf = {**HF, **more}
    config = m.Config.from_hf(hf, vocab_divisor=4)
    assert config.to_hf() == hf
    mcore = config.to_mcore()
    assert m.Config.from_mcore(mcore).to_hf() == hf
    assert m.Config.from_hf(m.Config.from_mcore(mcore).to_hf()).to_hf() == hf
    assert (mcore["kv_channels"], mcore["num_query_groups"]) == (7, 3)


def test_a_config_that_says_everything_comes_back_as_it_was() -> None:
    """The options are the caller's word there too, though no key was absent that could tell where it came from."""
    mcore = m.Config.from_hf({**HF, "rope_theta": 7.0}).to_mcore()
    del mcore["mapc"]
    hf = m.Config.from_mcore(mcore).to_hf()
    del hf["mapc"]
    assert m.Config.from_mcore(m.Config.from_hf(hf).to_mcore()).to_hf() == hf


def test_a_config_of_the_other_side_comes_back_as_it_was() -> None:
    mcore = m.Config.from_hf(HF).to_mcore()
    for key in ("mapc", "normalization", "add_qkv_bias", "hf_model_type"):
        del mcore[key]
    hf = m.Config.from_mcore(mcore).to_hf()
    assert (hf["attention_bias"], hf["model_type"]) == (False, "llama")
    assert m.Config.from_hf(hf).to_mcore() == mcore


def test_what_was_changed_on_the_way_is_written() -> None:
    """A key that was not there is left out while it says what its absence said."""
    mcore = m.Config.from_hf({**HF, "rope_theta": 7.0}).to_mcore()
    changed = {**mcore, "add_qkv_bias": True, "rotary_base": 8.0}
    expected = {**HF, "rope_theta": 8.0, "rope_parameters": {"rope_theta": 8.0}}
    again = m.Config.from_mcore(changed).to_hf()
    assert again == {**expected, "attention_bias": True}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"rope_parameters": "x"},
            "hf config: rope_parameters: expected an object, found 'x'",
        ),
        ({"mapc": 5}, "hf config: mapc: expected an object, found 5"),
        ({"mapc": {"mcore": 5}}, "hf config: mapc.mcore: expected an object, found 5"),
        (
            {"num_hidden_layers": "4"},
            "hf config: num_hidden_layers: expected int, found '4'",
        ),
        ({"rope_parameters": {"rope_theta": 1.0}, "rope_theta": 2.0}, None),
    ],
)
def test_refused(more: dict[str, Any], message: str | None) -> None:
    with pytest.raises(m.ConversionError) as error:
        m.Config.from_hf({**HF, **more})
    assert str(error.value) == (
        message
        or "hf config: rope_parameters.rope_theta=1.0 and rope_theta=2.0 differ; keep one of them"
    )


def test_a_padding_of_nothing_is_refused() -> None:
    config = m.Config.from_hf(HF, vocab_divisor=0)
    with pytest.raises(
        m.ConversionError, match="roundup to a multiple of 0: expected 1 or more"
    ):
        m.expected_mcore(config)


def test_a_config_made_by_hand_is_checked() -> None:
    fields = {"L": 4, "e": 10, "n": 6, "g": 3, "d": 7, "f": 22, "v": 31, "tied": False}
    fields["bias"] = False
    with pytest.raises(m.ConversionError, match="e: expected int, found '10'"):
        m.Config(**{**fields, "e": "10"})
    with pytest.raises(m.ConversionError, match="L: expected int, found None"):
        m.Config(**{**fields, "L": None})
    with pytest.raises(
        ValueError, match="norms: expected one of fused, local, not 'x'"
    ):
        m.Config(**fields, norms="x")


def test_a_copy_of_another_dtype_is_refused() -> None:
    config, mesh = m.Config.from_hf(HF, pad_vocab=False), m.Mesh(pp=2)
    names = m.expected_hf(config, mesh)
    tensors = {name: torch.zeros(shape) for name, (shape, _) in names.items()}
    mesh = m.Mesh(tp=1, pp=2)
    parts = {
        rank: dict(m.to_mcore(tensors, config, mesh, rank)) for rank in mesh.ranks()
    }
    assert set(dict(m.to_hf(parts, config, mesh))) == set(names)
    wide = of_text(
        'language 1\nmap w: a <-> b\nlayout b {\n    mesh  tp\n    files "{tp}.safetensors"\n}\n'
        "config {\n    e: e <-> e\n}\ntensors {\n    x[e] <-> y[e]\n}\n"
    )
    copies = {
        wide.Rank(0): {"y": torch.zeros(3)},
        wide.Rank(1): {"y": torch.zeros(3).half()},
    }
    with pytest.raises(wide.ConversionError) as error:
        wide.to_a(copies, wide.Config(e=3), wide.Mesh(tp=2))
    assert str(error.value) == (
        "y (rank tp=1): expected torch.float32 as y (rank tp=0) has, found torch.float16 (w.map:11)"
    )


def test_names_that_alternatives_share_leave_the_choice() -> None:
    v = of_text(
        "language 1\nmap v: a <-> b\nconfig {\n    e: e <-> e\n    f: f <-> f\n}\ntensors {\n"
        "    variant how: one {\n        x[e f] <-> x[e f]\n    } two {\n        y[e f] <-> x[f e]\n"
        "    } three {\n        x[e f] <-> z[f e]\n    }\n}\n"
    )
    tensor = torch.arange(6).view(2, 3)
    for how, name in (("one", "x"), ("three", "z")):
        config = v.Config(e=2, f=3, how=how)
        found = dict(v.to_b({"x": tensor}, config))
        assert set(found) == {name}
        assert torch.equal(dict(v.to_a(found, config))["x"], tensor)


def test_compile_text_gives_both_texts() -> None:
    made = compile_text(
        "language 1\nmap c: a <-> b\nconfig {\n    e: e <-> e\n}\ntensors {\n    x[e] <-> y[e]\n}\n"
    )
    assert made.stem == "c"
    assert made.module.startswith("# Code generated by mapc")
    assert "def test_round_trip" in made.test


def test_whole_numbers_of_a_config_divide_or_are_refused() -> None:
    module = of_text(
        "language 1\nmap a: hf <-> cs\nconfig {\n    shared <-> total / each\n    e: each <-> each\n"
        "    all: shared * each <-> total\n}\ntensors {\n    w[e] <-> w[e]\n}\n"
    )
    config = module.Config.from_cs({"total": 6, "each": 3})
    assert repr(config.shared) == "2"
    with pytest.raises(module.ConversionError) as refused:
        module.Config.from_cs({"total": 7, "each": 3})
    assert str(refused.value) == "total=7 is not a multiple of each=3"
