"""Streams: in any order and any batches the same tensors come out, soon, and what is wrong is said."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from .toy import load, load_toy
from .toy_checkpoint import LAYERS, SIZES, hf_tensors

MESHES = [(1, 1), (2, 1), (1, 2), (2, 2), (1, 4), (2, 4)]


def config(**changes: Any) -> Any:
    sizes = {f"hf_{name}": size for name, size in SIZES.items()}
    return load_toy().Config.from_hf(sizes | changes, vocab_multiple=8)


def hf(tied: bool = False) -> dict[str, torch.Tensor]:
    return {
        name: torch.frombuffer(bytearray(data), dtype=torch.bfloat16).view(shape)
        for name, (_, shape, data) in hf_tensors(tied=tied).items()
    }


def mcore(tp: int, pp: int, **changes: Any) -> dict[Any, dict[str, torch.Tensor]]:
    toy, mesh = load_toy(), load_toy().Mesh(tp, pp)
    tensors = hf(bool(changes.get("tied")))
    return {
        rank: dict(toy.to_mcore(tensors, config(**changes), mesh, rank))
        for rank in mesh.ranks()
    }


def shuffled(parts: dict[Any, dict[str, torch.Tensor]], seed: int) -> list[Any]:
    """What is fed, some of it in lists: name, tensor and rank."""
    rng = random.Random(seed)
    given: list[Any] = [
        (name, tensor, rank)
        for rank, part in parts.items()
        for name, tensor in part.items()
    ]
    rng.shuffle(given)
    names = sorted({name for name, _, _ in given})
    for name in rng.sample(names, len(names) // 3):
        alike = [one for one in given if one[0] == name]
        given = [one for one in given if one[0] != name]
        listed = name, [tensor for _, tensor, _ in alike], [rank for *_, rank in alike]
        given.insert(rng.randrange(len(given) + 1), listed)
    return given


def collected(steps: Iterator[Iterator[Any]]) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for step in steps:
        for name, tensor in step:
            assert name not in found
            found[name] = tensor
    return found


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("tp, pp", MESHES)
def test_any_order(tp: int, pp: int, tied: bool) -> None:
    """100 orders and batches there and 100 back, over all meshes."""
    toy, mesh = load_toy(), load_toy().Mesh(tp, pp)
    parts, tensors = mcore(tp, pp, tied=tied), hf(tied)
    for seed in range(9):
        stream = toy.Stream("to_hf", config(tied=tied), mesh)
        given = shuffled(parts, seed)
        steps = (stream.feed(*one) for one in given)
        assert_same(collected(chained(steps, stream)), tensors)
        assert stream.pending == 0
        rank = mesh.ranks()[seed % len(parts)]
        stream = toy.Stream("to_mcore", config(tied=tied), mesh, rank)
        names = random.Random(seed).sample(sorted(tensors), len(tensors))
        steps = (stream.feed(name, tensors[name]) for name in names)
        assert_same(collected(chained(steps, stream)), parts[rank])
        assert stream.pending == 0


def chained(steps: Iterator[Any], stream: Any) -> Iterator[Any]:
    """The steps, and then that the stream is closed."""
    yield from steps
    yield stream.close()


def test_a_target_comes_with_the_last_tensor_that_it_needs() -> None:
    """What belongs together comes together, and what nothing waits for is not held."""
    toy, tensors = load_toy(), hf()
    stream = toy.Stream("to_mcore", config())
    q, k, v = (f"layers.2.{name}.weight" for name in "qkv")
    assert list(stream.feed(v, tensors[v])) == []
    assert list(stream.feed(q, tensors[q])) == []
    assert stream.pending == tensors[v].nbytes + tensors[q].nbytes
    ((name, fused),) = stream.feed(k, tensors[k])
    assert name == "decoder.2.qkv.weight"
    assert fused.shape[0] == sum(tensors[one].shape[0] for one in (q, k, v))
    assert stream.pending == 0
    assert stream.most_pending == sum(tensors[one].nbytes for one in (q, k, v))
    ((name, norm),) = stream.feed(
        "layers.0.norm.weight", tensors["layers.0.norm.weight"]
    )
    assert norm.data_ptr() == tensors["layers.0.norm.weight"].data_ptr()


def test_shards_are_put_together_from_the_ranks() -> None:
    toy, mesh, parts = load_toy(), load_toy().Mesh(2, 1), mcore(2, 1)
    stream, name = toy.Stream("to_hf", config(), mesh), "decoder.1.fc2.weight"
    first, second = mesh.ranks()
    assert list(stream.feed(name, parts[second][name], second)) == []
    ((made, down),) = stream.feed(name, parts[first][name], first)
    assert made == "layers.1.down.weight" and torch.equal(down, hf()[made])
    name = "decoder.2.fc2.weight"
    shards = [parts[rank][name] for rank in (second, first)]
    ((made, down),) = stream.feed(name, shards, [second, first])
    assert made == "layers.2.down.weight" and torch.equal(down, hf()[made])


def test_one_of_several_copies_is_enough() -> None:
    toy, mesh, parts = load_toy(), load_toy().Mesh(2, 1), mcore(2, 1)
    stream, name = toy.Stream("to_hf", config(), mesh), "decoder.3.norm.weight"
    for number, rank in enumerate(mesh.ranks()):
        found = [made for made, _ in stream.feed(name, parts[rank][name], rank)]
        assert found == (["layers.3.norm.weight"] if number == 0 else [])
    assert stream.pending == 0


def test_a_rank_holds_nothing_of_other_stages() -> None:
    toy, mesh, tensors = load_toy(), load_toy().Mesh(1, 2), hf()
    stream = toy.Stream("to_mcore", config(), mesh, mesh.ranks()[1])
    for name in (f"layers.{i}.{what}.weight" for i in (0, 1) for what in "qk"):
        assert list(stream.feed(name, tensors[name])) == []
    assert stream.pending == 0 and LAYERS == 4


def test_tied_names_must_hold_the_same() -> None:
    toy, tensors = load_toy(), hf(tied=True)
    stream = toy.Stream("to_mcore", config(tied=True))
    assert list(stream.feed("embed.weight", tensors["embed.weight"])) == []
    with pytest.raises(
        toy.ConversionError,
        match="^embed.weight and lm_head.weight are one tensor in this map, but their values differ$",
    ):
        list(stream.feed("lm_head.weight", tensors["embed.weight"] + 1))


def test_streams_share_nothing() -> None:
    toy, tensors = load_toy(), hf()
    one, other = (toy.Stream("to_mcore", config()) for _ in range(2))
    for name, tensor in tensors.items():
        list(one.feed(name, tensor))
    assert list(one.close()) == []
    with pytest.raises(toy.ConversionError, match="^embed.weight: missing when"):
        other.close()


TAILS = """
language 1
map tails: a <-> b

layout b {
    mesh  tp
    files "rank_{tp}.safetensors"
}

tensors {
    ** <-> **
}
"""


def test_tensors_that_only_tails_take() -> None:
    """Where no statement reads anything a tail is found all the same."""
    module = load(Path("tails.map"), TAILS)
    tensors = {name: torch.arange(5.0) + n for n, name in enumerate(("x", "own.y"))}
    stream = module.Stream("to_b", module.Config(), module.Mesh(2), module.Rank(1))
    found = collected(stream.feed(*one) for one in tensors.items())
    assert_same(found | dict(stream.close()), tensors)
    stream = module.Stream("to_a", module.Config(), module.Mesh(2))
    for name, tensor in tensors.items():
        ((made, one),) = stream.feed(name, tensor, module.Rank(1))
        assert made == name and torch.equal(one, tensor)
    assert list(stream.close()) == []


def test_out_supplies_the_memory() -> None:
    toy, tensors, made = load_toy(), hf(), dict[str, torch.Tensor]()

    def out(name: str, shape: tuple[int, ...], dtype: Any) -> torch.Tensor:
        return made.setdefault(name, torch.empty(shape, dtype=dtype))

    stream = toy.Stream("to_mcore", config(), out=out)
    steps = (stream.feed(*one) for one in tensors.items())
    found = collected(chained(steps, stream))
    assert found.keys() == made.keys()
    assert all(found[name].data_ptr() == made[name].data_ptr() for name in made)


def refused(stream: Any, *given: tuple[Any, ...]) -> str:
    with pytest.raises(load_toy().ConversionError) as caught:
        for one in given:
            list(stream.feed(*one))
        list(stream.close())
    return str(caught.value)


def test_what_is_wrong() -> None:
    toy, tensors = load_toy(), hf()
    q, k = "layers.0.q.weight", "layers.0.k.weight"

    def stream(**how: Any) -> Any:
        return toy.Stream("to_mcore", config(), **how)

    assert refused(stream(), (q, tensors[q]), (q, tensors[q])) == (
        f"{q}: expected once, found again"
    )
    assert refused(stream(), ("layers.0.p.weight", tensors[q])) == (
        "layers.0.p.weight: no statement of toy reads it; the nearest name is layers.0.up.weight (toy.map:34); "
        "a `drop` in the map leaves a tensor behind"
    )
    down = "layers.0.down.weight"
    assert refused(stream(), (down, tensors[down].T)) == (
        f"{down} [e f]: expected [5, 14] (e=5 f=14), found [14, 5] (toy.map:33)"
    )
    assert refused(stream(max_pending=400), (q, tensors[q]), (k, tensors[k])) == (
        f"{q}: waits for layers.0.v.weight; 2 tensors wait with 480 bytes, more than the 400 of max_pending"
    )
    rest = [one for one in tensors.items() if "v.weight" not in one[0]]
    assert refused(stream(), *rest) == (
        "layers.0.v.weight: missing when the stream was closed (and 3 more); 1920 bytes wait for it"
    )


def test_the_rank_of_a_tensor() -> None:
    toy, mesh, parts = load_toy(), load_toy().Mesh(2, 1), mcore(2, 1)
    stream, name = toy.Stream("to_hf", config(), mesh), "decoder.0.fc2.weight"
    first = mesh.ranks()[0]
    shard = parts[first][name]
    said = f"{name}: expected a tensor and its rank, or as many of both, found "
    for given, found in (
        ((shard,), "1 and None"),
        ((shard, toy.Rank(7, 0)), f"1 and {toy.Rank(7, 0)!r}"),
        (([shard, shard], first), f"2 and {first!r}"),
        (([shard, shard], [first]), f"2 and {[first]!r}"),
    ):
        with pytest.raises(
            ValueError, match=re.escape(f"{said}{found}; the source has 2 ranks")
        ):
            stream.feed(name, *given)
    with pytest.raises(ValueError, match="^the mesh has 2 ranks: say which one"):
        toy.Stream("to_mcore", config(), mesh)
    with pytest.raises(ValueError, match="^`to` must be one of"):
        toy.Stream("to_other", config(), mesh)
