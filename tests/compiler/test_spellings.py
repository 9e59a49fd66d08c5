"""Names that a source spells in its own way: each spelling is read, and what does not fit together is refused."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from .generated import of_file, of_text

MAP = Path(__file__).parent / "maps" / "spellings.map"
CONFIG = {"L": 1, "f": 4, "e": 3, "t": 1}
FIRST = {
    "wte.weight": torch.arange(12.0).view(4, 3),
    "vision.a": torch.arange(2.0),
    "h.0.q.weight": torch.arange(12.0, 24.0).view(4, 3),
    "h.0.k.weight": torch.arange(24.0, 36.0).view(4, 3),
    "h.0.norm.weight": torch.arange(4.0).view(2, 2),
}
OTHERS = {
    "wte.weight": "embed.tokens.weight",
    "vision.a": "vis.a",
    "h.0.q.weight": "layers.0.q.weight",
    "h.0.k.weight": "h.0.k.kernel",
    "h.0.norm.weight": "layers.0.norm.gamma",
}
Tensors = dict[str, torch.Tensor]


def converted(tensors: Tensors) -> Tensors:
    m: ModuleType = of_file(MAP)
    return dict(m.to_mcore(tensors, m.Config.from_hf(CONFIG)))


def refused(tensors: Tensors) -> str:
    with pytest.raises(of_file(MAP).ConversionError) as error:
        converted(tensors)
    return str(error.value)


def same(one: Tensors, other: Tensors) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[n], other[n]) for n in one
    )


@pytest.mark.parametrize("name", OTHERS)
def test_each_name_by_itself(name: str) -> None:
    given = {OTHERS[n] if n == name else n: tensor for n, tensor in FIRST.items()}
    assert same(converted(given), converted(FIRST))


@pytest.mark.parametrize("prefix", ["", "model."])
def test_all_names_at_once(prefix: str) -> None:
    given = {prefix + OTHERS[name]: tensor for name, tensor in FIRST.items()}
    assert same(converted(given), converted(FIRST))


@pytest.mark.parametrize("prefix", ["module.", "m.", ""])
def test_what_comes_back_has_the_first_names(prefix: str) -> None:
    m: Any = of_file(MAP)
    there = converted(FIRST)
    given = {prefix + n.removeprefix("module."): t for n, t in there.items()}
    back = dict(m.to_hf(given, m.Config.from_hf({**CONFIG, "t": 0})))
    assert same(back, FIRST)


def test_two_spellings_of_one_tensor() -> None:
    tensor = FIRST["h.0.norm.weight"]
    assert refused({**FIRST, "layers.0.norm.gamma": tensor}) == (
        "h.0.norm.weight and layers.0.norm.gamma are two spellings of one tensor (spellings.map:25); "
        "keep one of them"
    )


def test_two_spellings_in_a_tail() -> None:
    assert refused({**FIRST, "vis.a": FIRST["vision.a"]}) == (
        "vision.a and vis.a are two spellings of one tensor (spellings.map:21); keep one of them"
    )


def test_missing_in_every_spelling() -> None:
    given = {name: tensor for name, tensor in FIRST.items() if "norm" not in name}
    assert refused(given) == (
        "h.0.norm.weight: missing; spellings.map:25 reads it, "
        "also under h.0.norm.gamma or layers.0.norm.weight or layers.0.norm.gamma; "
        "the nearest name is h.0.q.weight"
    )


def test_a_name_without_the_prefix() -> None:
    given = {f"model.{name}": tensor for name, tensor in FIRST.items()}
    assert refused({**given, "odd": torch.zeros(1)}).startswith("wte.weight: missing; ")
    text = MAP.read_text(encoding="utf-8").replace('prefix "" |', 'prefix "hf." |')
    m = of_text(text)
    with pytest.raises(m.ConversionError) as error:
        m.to_mcore({**given, "odd": torch.zeros(1)}, m.Config.from_hf(CONFIG))
    assert str(error.value) == (
        "odd: expected all names of hf to begin with hf. or model.; 5 of 6 begin with model."
    )
