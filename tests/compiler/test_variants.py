"""Variants are read off the names of a source, then off its shapes; where neither tells, the caller has to say."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch

from .generated import of_text

HEAD = """language 1
map m: hf <-> mcore

config {
    g: g <-> g
    d: d <-> d
    e: e <-> e
    L: L <-> L
}

tensors {
"""
QKV = """    variant packing: grouped {
        {q,k,v}[(g d) e] <-> qkv[(g (1 + 1 + 1) d) e]
    } plain {
        {q,k,v}[(g d) e] <-> qkv[(g d + g d + g d) e]
    }
"""
SIZES = {"g": 2, "d": 3, "e": 5, "L": 1}
Tensors = dict[str, torch.Tensor]


def module(body: str) -> ModuleType:
    return of_text(f"{HEAD}{body}}}\n")


def numbers(**shapes: tuple[int, ...]) -> Tensors:
    made, start = {}, 1
    for name, shape in shapes.items():
        count = torch.Size(shape).numel()
        made[name] = torch.arange(start, start + count).view(shape)
        start += count
    return made


def refused(m: Any, to: str, tensors: Tensors, **options: Any) -> str:
    with pytest.raises(m.ConversionError) as error:
        getattr(m, f"to_{to}")(tensors, m.Config.from_hf(SIZES, **options))
    return str(error.value)


def test_nothing_is_chosen_at_first() -> None:
    assert module(QKV).Config.from_hf(SIZES).packing is None


def test_a_target_is_written_the_first_way() -> None:
    m = module(QKV)
    source = numbers(q=(6, 5), k=(6, 5), v=(6, 5))
    first = dict(m.to_mcore(source, m.Config.from_hf(SIZES)))
    chosen = dict(m.to_mcore(source, m.Config.from_hf(SIZES, packing="grouped")))
    plain = dict(m.to_mcore(source, m.Config.from_hf(SIZES, packing="plain")))
    assert torch.equal(first["qkv"], chosen["qkv"])
    assert torch.equal(plain["qkv"], torch.cat(list(source.values())))
    assert not torch.equal(first["qkv"], plain["qkv"])


def test_what_nothing_tells_apart_is_asked_for() -> None:
    m = module(QKV)
    assert refused(m, "hf", numbers(qkv=(18, 5))) == (
        "packing: grouped and plain take other elements of the source to k, and neither names nor shapes tell "
        "which it is; say packing=grouped or packing=plain"
    )
    for packing in ("grouped", "plain"):
        config = m.Config.from_hf(SIZES, packing=packing)
        source = numbers(q=(6, 5), k=(6, 5), v=(6, 5))
        there = dict(m.to_mcore(source, config))
        back = dict(m.to_hf(there, config))
        assert all(torch.equal(back[name], source[name]) for name in source)


def test_a_missing_tensor_is_missing() -> None:
    assert refused(module(QKV), "hf", numbers(other=(1,))).startswith("qkv: missing; ")


def test_parts_in_another_order() -> None:
    m = module(
        "    variant order: one { {a,b}[e] <-> ab[(e + e)] } two { {b,a}[e] <-> ab[(e + e)] }\n"
    )
    assert refused(m, "hf", numbers(ab=(10,))).startswith("order: one and two take ")


def test_arithmetic_tells_nothing() -> None:
    m = module("    variant norm: plus { a[e] + 1 <-> b[e] } plain { a[e] <-> b[e] }\n")
    given = {"a": torch.ones(5)}
    assert refused(m, "mcore", given).startswith("norm: plus and plain take other ")
    found = dict(m.to_mcore(given, m.Config.from_hf(SIZES, norm="plus")))
    assert found["b"].tolist() == [2.0] * 5


@pytest.mark.parametrize("axes", ["[d e]", "[e d]"])
def test_shapes_tell(axes: str) -> None:
    m = module(
        "    variant turned: no { a[d e] <-> b[d e] } yes { a[d e] <-> b[e d] }\n"
    )
    source = numbers(a=(3, 5))
    stored = source["a"] if axes == "[d e]" else source["a"].T.contiguous()
    found = dict(m.to_hf({"b": stored}, m.Config.from_hf(SIZES)))
    assert torch.equal(found["a"], source["a"])


def test_square_shapes_do_not_tell() -> None:
    m = module(
        "    variant turned: no { a[d e] <-> b[d e] } yes { a[d e] <-> b[e d] }\n"
    )
    with pytest.raises(m.ConversionError, match="turned: no and yes take other"):
        m.to_hf(numbers(b=(5, 5)), m.Config.from_hf({**SIZES, "d": 5}))


def test_shapes_of_one_layer_tell() -> None:
    m = module(
        "    for i in L: x.{i} <-> y.{i} {\n"
        "        variant v: one { a[d] <-> a[d] } two { a[(d + e)] <-> a[(d + e)] }\n"
        "    }\n    b[e] <-> c[e]\n"
    )
    config = m.Config.from_hf({**SIZES, "L": 2})
    for size in (3, 8):
        given = {"x.0.a": torch.arange(size), "x.1.a": torch.arange(size)}
        found = dict(m.to_mcore({**given, "b": torch.zeros(5)}, config))
        assert found["y.1.a"].tolist() == list(range(size))


def test_shapes_that_fit_none() -> None:
    m = module(
        "    variant turned: no { a[d e] <-> b[d e] } yes { a[d e] <-> b[e d] }\n"
    )
    assert refused(m, "hf", numbers(b=(4, 5))) == (
        "b [d e]: expected [3, 5] (d=3 e=5), found [4, 5] (m.map:12)"
    )


def test_names_overrule_a_choice() -> None:
    m = module("    variant v: one { a[e] <-> b[e] } two { a[e] <-> c[e] }\n")
    config = m.Config.from_hf(SIZES, v="two")
    assert list(dict(m.to_mcore({"a": torch.zeros(5)}, config))) == ["c"]
    assert list(dict(m.to_hf({"b": torch.zeros(5)}, config))) == ["a"]


def test_tails_tell() -> None:
    m = module(
        "    variant v: one { x.** <-> p.** } two { y.** <-> q.** }\n    drop right **.state\n"
    )
    for x, p in ("xp", "yq"):
        given = {f"{x}.a.b": torch.arange(3)}
        assert list(dict(m.to_mcore(given, m.Config.from_hf(SIZES)))) == [f"{p}.a.b"]
        given = {f"{p}.a.b": torch.arange(3), "p.state": torch.zeros(1)}
        assert list(dict(m.to_hf(given, m.Config.from_hf(SIZES)))) == [f"{x}.a.b"]


def test_what_an_alternative_makes_tells() -> None:
    m = module(
        "    variant v: one { a[e] <-> b[e] } two {\n"
        "        a[e] + 1 <-> b[e]\n        make right c[e] = ones as f32\n    }\n"
    )
    given = {"b": torch.ones(5), "c": torch.ones(5)}
    assert dict(m.to_hf(given, m.Config.from_hf(SIZES)))["a"].tolist() == [0] * 5


SCALED = """    variant v: plain {
        x.** <-> p.**
    } doubled {
        x.** <-> p.** * 2
    }
"""


def test_arithmetic_on_tails_tells_nothing() -> None:
    """Reading p, the two give other numbers under the same names; reading x, the choice is how p is written."""
    m = module(SCALED)
    source = {"p.w": torch.ones(3, 5)}
    with pytest.raises(m.ConversionError) as error:
        m.to_hf(source, m.Config.from_hf(SIZES))
    assert str(error.value) == (
        "v: plain and doubled take other elements of the source to x.**, and neither names nor shapes tell which it is; "
        "say v=plain or v=doubled"
    )
    said = dict(m.to_hf(source, m.Config.from_hf(SIZES, v="doubled")))
    assert torch.equal(said["x.w"], torch.full((3, 5), 2.0))
    written = dict(m.to_mcore({"x.w": torch.ones(3, 5)}, m.Config.from_hf(SIZES)))
    assert torch.equal(written["p.w"], torch.ones(3, 5))


def test_tails_that_take_nothing_are_not_asked_about() -> None:
    m = module(f"    e.weight[e] <-> f.weight[e]\n{SCALED}")
    assert list(
        dict(m.to_hf({"f.weight": torch.ones(5)}, m.Config.from_hf(SIZES)))
    ) == ["e.weight"]
