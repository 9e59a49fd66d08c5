"""The shipped converters as streams over the records: any order, any batches, the bytes of the whole.

What a stream is fed is a shuffled checkpoint, cut into batches; of a name that several ranks have, the shards come one
by one or as a list. Its outputs are asked for after each batch and not after each tensor, as a refit does.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from .megatron import configured, converter, every_case, mesh_of, ranks_of, variant
from .records import Case, Tensors, assert_same

FEW, MANY = 1, 200  # orders of each case
Given = tuple[Any, ...]  # the arguments of one `feed`
TOGETHER = ["gate_proj", "up_proj"], ["q_proj", "k_proj", "v_proj"]


@every_case
def test_orders(case: Case) -> None:
    in_any_order(case, FEW)


@pytest.mark.long
@every_case
def test_many_orders(case: Case) -> None:
    in_any_order(case, MANY)


def in_any_order(case: Case, orders: int) -> None:
    module, config = converter(case), configured(case, "from_hf", variant(case))
    mesh, ranks = mesh_of(module, case), ranks_of(module, case)
    for seed in range(orders):
        rng = random.Random(seed)
        stream = module.Stream("to_hf", config, mesh)
        assert_same(together(fed(stream, shards(ranks, rng), rng)), case.source)
        assert stream.pending == 0
        rank = rng.choice(mesh.ranks())
        stream = module.Stream("to_mcore", config, mesh, rank)
        whole = shuffled([(one, case.source[one]) for one in case.source], rng)
        assert_same(dict(fed(stream, whole, rng)), ranks[rank])
        assert stream.pending == 0


@every_case
def test_buckets(case: Case) -> None:
    """The same bytes; where a group is larger than a bucket the size that is said is enough for it."""
    module, config = converter(case), configured(case, "from_hf", variant(case))
    mesh, rng = mesh_of(module, case), random.Random(3)
    given = shards(ranks_of(module, case), rng)
    size = max(tensor.nbytes for tensor in case.source.values())
    while True:
        stream = module.BucketStream("to_hf", config, mesh, bucket_bytes=size)
        try:
            assert_same(together(unpacked(stream, given)), case.source)
            break
        except module.ConversionError as error:
            more = int(str(error).rpartition("bucket_bytes=")[2].split()[0])
            assert more > size
            size = more
    assert stream.pending == 0


def unpacked(stream: Any, given: list[Given]) -> list[Any]:
    """What is in the buckets, in order; their memory is filled again."""
    return [
        (name, tensor.clone())
        for bucket in one_by_one(stream, given)
        for name, tensor in bucket.tensors().items()
    ]


def shuffled(given: list[Given], rng: random.Random) -> list[Given]:
    return rng.sample(given, len(given))


def shards(ranks: dict[Any, Tensors], rng: random.Random) -> list[Given]:
    """What is fed of all ranks; of a third of the names all shards at once, in any order."""
    owners: dict[str, list[Any]] = {}
    for rank, tensors in ranks.items():
        for name in tensors:
            owners.setdefault(name, []).append(rank)
    given: list[Given] = []
    for name, own in owners.items():
        if rng.random() < 1 / 3:
            own = rng.sample(own, len(own))
            given.append((name, [ranks[rank][name] for rank in own], own))
        else:
            given += [(name, ranks[rank][name], rank) for rank in own]
    return shuffled(given, rng)


def fed(stream: Any, given: list[Given], rng: random.Random) -> list[Any]:
    """What comes out, in order, of batches of 1 to 9 arguments."""
    found, at = [], 0
    while at < len(given):
        size = rng.randint(1, 9)
        made = [stream.feed(*one) for one in given[at : at + size]]
        found += [pair for pairs in made for pair in pairs]
        at += size
    return found + list(stream.close())


def together(pairs: list[Any]) -> Tensors:
    """The tensors, each name once; what one statement makes of a layer has come in one go."""
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names)
    for parts in TOGETHER:
        for at, name in enumerate(names):
            if f".{parts[0]}." in name:
                one_statement = [name.replace(parts[0], part) for part in parts]
                if set(one_statement) <= set(names):
                    assert names[at : at + len(parts)] == one_statement
    return dict(pairs)


@every_case
def test_what_waits_is_counted_and_bounded(case: Case) -> None:
    """A stream may hold what it says that it holds, and not a byte less."""
    module, config = converter(case), configured(case, "from_hf", variant(case))
    mesh = mesh_of(module, case)
    rank = mesh.ranks()[0]
    given = shuffled([*case.source.items()], random.Random(0))
    stream, found, waited = module.Stream("to_mcore", config, mesh, rank), [], 0
    for one in given:
        found += stream.feed(*one)
        waited = max(waited, stream.pending)
    assert_same(dict([*found, *stream.close()]), ranks_of(module, case)[rank])
    assert 0 < waited <= stream.most_pending
    within = module.Stream("to_mcore", config, mesh, rank, max_pending=waited)
    assert len(list(one_by_one(within, given))) == len(ranks_of(module, case)[rank])
    beyond = module.Stream("to_mcore", config, mesh, rank, max_pending=waited - 1)
    with pytest.raises(
        module.ConversionError,
        match=f" waits for .* with {waited} bytes, more than the {waited - 1} of max_pending$",
    ):
        list(one_by_one(beyond, given))


def one_by_one(stream: Any, given: list[Given]) -> Iterator[Any]:
    for one in given:
        yield from stream.feed(*one)
    yield from stream.close()


@every_case
def test_what_never_came_is_named(case: Case) -> None:
    module, config = converter(case), configured(case, "from_hf", variant(case))
    mesh = mesh_of(module, case)
    name = "model.norm.weight"
    stream = module.Stream("to_mcore", config, mesh, mesh.ranks()[-1])
    rest = [(one, tensor) for one, tensor in case.source.items() if one != name]
    with pytest.raises(module.ConversionError) as caught:
        list(one_by_one(stream, rest))
    assert str(caught.value) == (
        f"{name}: missing when the stream was closed; 0 bytes wait for it"
    )
