"""Values that a config computes, and those that it cannot: each refusal with its whole message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .generated import of_file, of_text

FORMULAS = Path(__file__).parent / "maps" / "config_formulas.map"
HF = {"num_hidden_layers": 4, "first_k_dense_replace": 1, "hidden": 3}
HF |= {"per_group": 2, "num_groups": 3}
MCORE = {"num_layers": 4, "moe_layer_freq": [0, 0, 1, 1], "hidden": 3}
MCORE |= {"kv_heads": 6, "per_group": 2, "num_groups": 3}
LISTS = """language 1
map m: hf <-> mcore

layout mcore {
    mesh  tp
    files "{tp}.safetensors"
}
config {
    L:     L     <-> L
    n:     n     <-> n
    types: types <-> types
    e:     e     <-> e
}

let h = e / n
let odd = L % n

tensors {
    for i in L where types[i] == 1 and i % n == 0 {
        layers.{i}[e] <-> layers.{i}[e]
    }
    head.{odd}[h] <-> head.{odd}[h]
}
"""


def test_both_sides_say_the_same() -> None:
    m = of_file(FORMULAS)
    config = m.Config.from_mcore(MCORE)
    assert (config.K, config.freq, config.k) == (2, [0, 0, 1, 1], 6)
    assert config.to_hf() == HF | {"first_k_dense_replace": 2}
    assert m.Config.from_hf(HF).to_mcore() == MCORE | {"moe_layer_freq": [0, 1, 1, 1]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"moe_layer_freq": [0, 1, 0, 1]},
            "freq: expected [0, 0, 1, 1], as the other values of a hf config say, found [0, 1, 0, 1]",
        ),
        (
            {"moe_layer_freq": [0, 0]},
            "freq: expected [0, 0, 1, 1], as the other values of a hf config say, found [0, 0]",
        ),
        (
            {"kv_heads": 5},
            "k: expected 6, as the other values of a hf config say, found 5",
        ),
        (
            {"moe_layer_freq": 3},
            "mcore config: K: cannot be computed, 'int' object has no attribute 'count'",
        ),
        (
            {"moe_layer_freq": None},
            "mcore config: expected moe_layer_freq (K), found none",
        ),
    ],
)
def test_what_the_other_side_cannot_say(changes: Any, message: str) -> None:
    m = of_file(FORMULAS)
    with pytest.raises(m.ConversionError) as error:
        m.Config.from_mcore(MCORE | changes)
    assert str(error.value) == message


def test_a_key_that_a_computed_side_lacks() -> None:
    m = of_file(FORMULAS)
    with pytest.raises(m.ConversionError) as error:
        m.Config.from_hf(HF | {"per_group": None})
    assert str(error.value) == "hf config: expected per_group (k), found none"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"types": [1]}, "types[i]: expected an index below 1, found 1"),
        ({"types": [0, 1, 0]}, "types[i]: expected an index below 3, found 3"),
        ({"n": 0, "e": 0}, "e=0 is not a multiple of n=0"),
        ({"types": 1111}, "types[i]: expected a list or a text, found 1111"),
    ],
)
def test_values_that_are_not_there(changes: Any, message: str) -> None:
    m = of_text(LISTS)
    given = {"L": 4, "n": 3, "types": [0, 1, 0, 1], "e": 6} | changes
    with pytest.raises(m.ConversionError) as error:
        m.expected_mcore(m.Config.from_hf(given))
    assert str(error.value) == message


def test_a_remainder_of_nothing() -> None:
    m = of_text(LISTS.replace("let h = e / n\n", "").replace("[h]", "[e]"))
    with pytest.raises(m.ConversionError) as error:
        m.Config.from_hf({"L": 4, "n": 0, "types": [0, 0, 0, 0], "e": 6})
    assert (
        str(error.value)
        == "L % n: expected another number than 0 on the right, found 0"
    )


def test_more_ranks_than_anyone_has() -> None:
    m = of_text(LISTS)
    config = m.Config.from_hf({"L": 4, "n": 3, "types": [0, 1, 0, 1], "e": 6})
    mesh = m.Mesh(tp=10_000_000)
    with pytest.raises(m.ConversionError) as error:
        m.expected_mcore(config, mesh)
    assert str(error.value) == (
        "tp=10000000: expected at most 65536 ranks, found 10000000"
    )


def test_a_size_that_the_config_leaves_out() -> None:
    """It may, as long as no tensor has it."""
    text = LISTS.replace("e:     e     <-> e", "e:     e ?? none <-> e ?? none")
    m = of_text(text.replace("let h = e / n\n", "").replace("[h]", "[e]"))
    config = m.Config.from_hf({"L": 4, "n": 3, "types": [0, 0, 0, 0]})
    with pytest.raises(m.ConversionError) as error:
        m.expected_mcore(config)
    assert str(error.value) == "m.map:21: e: expected a size, found none in the config"


def test_the_length_of_a_number() -> None:
    told = 'require len(types) == L, "types do not say what each layer is"\n'
    m = of_text(LISTS.replace("let h", f"{told}\nlet h"))
    given = {"L": 4, "n": 3, "e": 6}
    for types, message in (
        (1111, "types: expected a list or a text, found 1111"),
        ([0, 1, 0], "types do not say what each layer is"),
    ):
        with pytest.raises(m.ConversionError) as error:
            m.Config.from_hf({**given, "types": types})
        assert str(error.value) == message
    assert m.Config.from_hf({**given, "types": "0101"}).L == 4
