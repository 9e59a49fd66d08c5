"""Streams by kernels: the bytes that torch makes, a few launches a bucket."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from .loading import committed

qwen = committed("qwen3_moe_hf_mcore")
tests = committed("test_qwen3_moe_hf_mcore")
pytestmark = pytest.mark.usefixtures("interpreted")
CONFIG, MESH = tests.CONFIG, qwen.Mesh(tp=2)


def shuffled() -> list[tuple[str, list[torch.Tensor], list[Any]]]:
    """The tensors of both ranks, in some order."""
    source = tests.checkpoint(CONFIG, MESH)
    parts = {
        rank: dict(qwen.to_mcore(source, CONFIG, MESH, rank)) for rank in MESH.ranks()
    }
    ranks = list(parts)
    names = list(parts[ranks[0]])
    random.Random(5).shuffle(names)
    return [(name, [part[name] for part in parts.values()], ranks) for name in names]


def assert_whole(found: dict[str, torch.Tensor]) -> None:
    source = tests.checkpoint(CONFIG, MESH)
    assert found.keys() == source.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in source.items())


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many launches each table took."""
    counts: list[int] = []
    launch = qwen.MoveTable.launch

    def counted(table: Any) -> None:
        counts.append(table.launches)
        launch(table)

    monkeypatch.setattr(qwen.MoveTable, "launch", counted)
    return counts


def test_a_stream(launches: list[int]) -> None:
    given = shuffled()
    launches.clear()
    stream = qwen.Stream("to_hf", CONFIG, MESH)
    found = dict(target for one in given for target in stream.feed(*one))
    assert_whole(found | dict(stream.close()))
    assert launches and stream.pending == 0


def test_buckets(launches: list[int]) -> None:
    given = shuffled()
    launches.clear()
    stream = qwen.BucketStream("to_hf", CONFIG, MESH, bucket_bytes=1 << 14)
    found, buckets = {}, 0
    for one in [*(stream.feed(*one) for one in given), stream.close()]:
        for bucket in one:
            found |= {name: t.clone() for name, t in bucket.tensors().items()}
            buckets += 1
    assert_whole(found)
    assert len(launches) == buckets > 2 and max(launches) <= 3
    assert stream.pending == 0 and stream.buffer_bytes == 2 << 14


def test_a_bucket_does_not_keep_more_than_it_has(launches: list[int]) -> None:
    """A rank of two gets half of what it reads, so its buckets are filled in several launches."""
    source = tests.checkpoint(CONFIG, MESH)
    rank = MESH.ranks()[1]
    expected = dict(qwen.to_mcore(source, CONFIG, MESH, rank))
    launches.clear()
    size = 1 << 14
    stream = qwen.BucketStream("to_mcore", CONFIG, MESH, rank, bucket_bytes=size)
    found: dict[str, torch.Tensor] = {}
    buckets = 0
    for one in [*(stream.feed(*one) for one in source.items()), stream.close()]:
        for bucket in one:
            found |= {name: t.clone() for name, t in bucket.tensors().items()}
            buckets += 1
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert len(launches) > buckets


def test_what_kernels_have_still_to_read_waits(launches: list[int]) -> None:
    (name, tensors, ranks), *_ = (one for one in shuffled() if "linear_proj" in one[0])
    launches.clear()
    stream = qwen.BucketStream("to_hf", CONFIG, MESH, bucket_bytes=1 << 14)
    assert list(stream.feed(name, tensors, ranks)) == []
    assert stream.pending == sum(tensor.nbytes for tensor in tensors)
    for tensor in tensors:
        tensor.neg_()
    with pytest.raises(qwen.ConversionError):
        stream.close()
    assert launches == []
