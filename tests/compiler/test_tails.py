"""Sources that tails refuse, each with the whole message; and how long a plan of many tails takes."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import SimpleNamespace

import pytest
import torch

from .generated import of_text

HEAD = """language 1
map m: hf <-> mcore

config {
    L: L <-> L
    X: X <-> X
    f: f <-> f
}

tensors {
    named.weight[f] <-> named.w[f]
"""


def refused(body: str, names: Iterable[str], to: str = "mcore") -> str:
    """What a converter says of tensors with these names."""
    m = of_text(f"{HEAD}{body}}}\n")
    config = m.Config.from_hf({"L": 2, "X": 2, "f": 3})
    given = {name: torch.zeros(3) for name in names}
    with pytest.raises(m.ConversionError) as error:
        getattr(m, f"to_{to}")(given, config)
    return str(error.value)


def test_two_tails_alike() -> None:
    body = "    a.**.c <-> x.**\n    a.b.** <-> y.**\n"
    assert refused(body, ["named.weight", "a.b.c"]) == (
        "a.b.c: m.map:12 and m.map:13 take it alike; the tail with more literal text in its name would"
    )


def test_a_name_that_a_statement_writes() -> None:
    body = "    ** <-> **\n"
    assert refused(body, ["named.weight", "named.w"]) == (
        "named.w: m.map:12 takes it to named.w, which m.map:11 writes"
    )


def test_a_name_that_an_absent_optional_statement_writes() -> None:
    body = "    ** <-> **\n    a[f]? <-> b[f]?\n"
    assert refused(body, ["named.weight", "b"]) == (
        "b: m.map:12 takes it to b, which m.map:13 writes"
    )


def test_a_name_that_is_left_behind() -> None:
    body = "    a.** <-> b.**\n    drop right **.state\n"
    assert refused(body, ["named.weight", "a.c.state"]) == (
        "a.c.state: m.map:12 takes it to b.c.state, which m.map:13 leaves behind coming back"
    )


def test_a_name_that_another_tail_takes() -> None:
    body = "    ** <-> x.**\n    a.** <-> x.y.**\n"
    assert refused(body, ["named.weight", "y.z"]) == (
        "y.z: m.map:12 takes it to x.y.z, which m.map:13 takes coming back"
    )


def test_no_name() -> None:
    body = "    a.** <-> **\n"
    assert refused(body, ["named.weight", "a"]) == (
        "a: m.map:12 takes it to , which no tail takes coming back"
    )


def test_a_tail_takes_whole_components() -> None:
    body = "    a.** <-> b.**\n"
    for name in ("ab", "a.", "xa.b", ".a.b"):
        assert refused(body, ["named.weight", name]).startswith(
            f"{name}: no statement of m reads it; "
        )


def test_a_copy_that_is_missing() -> None:
    meshed = HEAD.replace(
        "config", 'layout mcore {\n mesh tp\n files "{tp}"\n}\nconfig'
    )
    m = of_text(f"{meshed}    a.** <-> b.**\n}}\n")
    ranks = m.Mesh(tp=2).ranks()
    given = {rank: {"named.w": torch.zeros(3)} for rank in ranks}
    given[ranks[1]]["b.x"] = torch.zeros(3)
    with pytest.raises(m.ConversionError) as error:
        m.to_hf(given, m.Config.from_hf({"L": 2, "X": 2, "f": 3}), m.Mesh(tp=2))
    assert (
        str(error.value) == "b.x (rank tp=0): missing; m.map:16 reads it, expected [3]"
    )


def test_many_tails_are_planned_quickly() -> None:
    body = """    for i in L: layers.{i} <-> h.{i} {
        for x in X: experts.{x} <-> e.{x} { ** <-> ** }
        drop left **.cache
        drop right **.cache
    }
"""
    m = of_text(f"{HEAD}{body}}}\n")
    config = m.Config.from_hf({"L": 40, "X": 50, "f": 3})
    tensor = SimpleNamespace(shape=(3,), dtype="F32")
    names = [f"experts.{x}.{n}.weight" for x in range(50) for n in "abcde"]
    given = {f"layers.{i}.{n}": tensor for i in range(40) for n in (*names, "a.cache")}
    began = time.monotonic()
    plan = m.make_plan(
        m.converter(), "mcore", config, None, {None: {"named.weight": tensor, **given}}
    )
    assert time.monotonic() - began < 10
    assert len(list(plan.transfers(None))) == 40 * 50 * 5 + 1
    assert plan.drops == {"m.map:14": 40}
