"""Buckets: in any order and any batches the same tensors, in flat buffers of which one is sent and the other filled."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from .buckets import assert_same, copied, filled, together
from .test_feeding import MESHES, config, hf, mcore, shuffled
from .toy import load_toy
from .toy_checkpoint import LAYERS

SIZES = (1144, 1536, 4000, 2**20)  # the first is what q, k and v of a layer take


def assert_laid_out(bucket: Any, most: int) -> None:
    """Each tensor from a multiple of 512 bytes on, behind the one before, and all within a bucket."""
    end = 0
    assert bucket.names
    for tensor, offset in zip(bucket.tensors().values(), bucket.offsets):
        assert offset % 512 == 0 and end <= offset < end + 512
        assert tensor.is_contiguous()
        assert tensor.data_ptr() == bucket.buffer.data_ptr() + offset
        end = offset + tensor.nbytes
    assert bucket.buffer.dtype == torch.uint8
    assert bucket.buffer.shape == (end,) and end <= most


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tp, pp", MESHES)
def test_any_order(tp: int, pp: int, size: int) -> None:
    """Every target once and as it is in the whole, there and back, and what belongs together in one bucket."""
    toy, mesh = load_toy(), load_toy().Mesh(tp, pp)
    tied = size == 4000
    parts, tensors = mcore(tp, pp, tied=tied), hf(tied)
    for seed in range(2):
        stream = toy.BucketStream("to_hf", config(tied=tied), mesh, bucket_bytes=size)
        buckets = filled(stream, shuffled(parts, seed))
        assert_same(together(buckets), tensors)
        assert stream.pending == 0
        for bucket in buckets:
            assert_laid_out(bucket, size)
        owner = {name: n for n, bucket in enumerate(buckets) for name in bucket.names}
        for layer in range(LAYERS):
            assert len({owner[f"layers.{layer}.{n}.weight"] for n in "qkv"}) == 1
        assert not tied or owner["embed.weight"] == owner["lm_head.weight"]
        rank = mesh.ranks()[seed % len(parts)]
        stream = toy.BucketStream(
            "to_mcore", config(tied=tied), mesh, rank, bucket_bytes=size
        )
        names = random.Random(seed).sample(sorted(tensors), len(tensors))
        buckets = filled(stream, [(name, tensors[name]) for name in names])
        assert_same(together(buckets), parts[rank])


def in_lists(given: list[Any]) -> list[Any]:
    """The same in the same order, where neighbours have one name as one list."""
    found: list[Any] = []
    for name, tensor, rank in given:
        if found and found[-1][0] == name:
            found[-1][1].append(tensor)
            found[-1][2].append(rank)
        else:
            found.append((name, [tensor], [rank]))
    return found


def test_the_order_does_not_depend_on_batches() -> None:
    """Buffers are equal to the last byte, whatever is fed at once and whenever the stream is asked."""
    toy, mesh, parts = load_toy(), load_toy().Mesh(2, 2), mcore(2, 2)
    names = sorted({name for part in parts.values() for name in part})
    random.Random(7).shuffle(names)
    given = [
        (name, part[name], rank)
        for name in names
        for rank, part in parts.items()
        if name in part
    ]

    def stream() -> Any:
        return toy.BucketStream("to_hf", config(), mesh, bucket_bytes=2000)

    one_by_one = filled(stream(), given)
    assert len(one_by_one) > 4
    listed = filled(stream(), in_lists(given))
    seldom, late = stream(), stream()
    rarely = [
        bucket
        for n, one in enumerate(given)
        for asked in [seldom.feed(*one)]
        for bucket in (copied(asked) if n % 5 == 0 else ())
    ]
    rarely += copied(seldom.close())
    for one in given:
        late.feed(*one)
    for other in (listed, rarely, list(copied(late.close()))):
        assert [bucket[:4] for bucket in other] == [b[:4] for b in one_by_one]
        for bucket, expected in zip(other, one_by_one):
            assert torch.equal(bucket.buffer, expected.buffer)


def test_buffers_are_used_in_turn() -> None:
    """A bucket is as it was until, once the next has come, the stream is asked for more."""
    toy, tensors = load_toy(), hf()
    stream = toy.BucketStream("to_mcore", config(), bucket_bytes=1536)
    for one in tensors.items():
        stream.feed(*one)
    assert stream.buffer_bytes == 0
    asked = stream.close()
    given, was = [next(asked)], []
    assert stream.buffer_bytes == 1536
    for bucket in asked:
        was.append(given[-1].buffer.clone())
        given.append(bucket)
        assert torch.equal(given[-2].buffer, was[-1])
        assert stream.buffer_bytes == 2 * 1536
    assert len(given) > 4
    where = [bucket.buffer.data_ptr() for bucket in given]
    assert len({*where}) == 2 and where[2:] == where[:-2] and where[0] != where[1]
    assert not torch.equal(given[0].buffer[: was[0].numel()], was[0])


def test_nothing_is_lost_where_the_stream_is_not_asked_to_the_end() -> None:
    toy, tensors = load_toy(), hf()
    stream = toy.BucketStream("to_mcore", config(), bucket_bytes=1536)
    for one in tensors.items():
        stream.feed(*one)
    found = []
    while bucket := next(stream.close(), None):
        found += copied([bucket])
    assert_same(together(found), mcore(1, 1)[toy.Rank()])
    assert stream.pending == 0


class Storages(TorchDispatchMode):  # type: ignore[misc]
    """Which memory the operations give back, as (address, bytes)."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[int, int]] = set()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.found.add(memory(result))
        return result


def memory(tensor: torch.Tensor) -> tuple[int, int]:
    storage = tensor.untyped_storage()
    return storage.data_ptr(), storage.nbytes()


def test_targets_are_made_where_they_are_sent_from() -> None:
    """No memory but that of the sources, which are read in place, and of two buffers."""
    toy, mesh, parts = load_toy(), load_toy().Mesh(2, 1), mcore(2, 1)
    sources = {memory(tensor) for part in parts.values() for tensor in part.values()}
    stream = toy.BucketStream("to_hf", config(), mesh, bucket_bytes=2000)
    buffers = set()
    with Storages() as used:
        for rank, part in parts.items():
            for name, tensor in part.items():
                for bucket in stream.feed(name, tensor, rank):
                    buffers.add(memory(bucket.buffer))
        for bucket in stream.close():
            buffers.add(memory(bucket.buffer))
    assert [size for _, size in buffers] == [2000, 2000]
    assert used.found > buffers and used.found <= sources | buffers


def test_what_the_stream_holds() -> None:
    toy, tensors = load_toy(), hf()
    stream = toy.BucketStream("to_mcore", config(), bucket_bytes=1536)
    q, k, v = (f"layers.2.{name}.weight" for name in "qkv")
    assert (stream.most_bytes, stream.buffer_bytes) == (0, 0)
    for name in (q, k):
        assert list(stream.feed(name, tensors[name])) == []
    waiting = tensors[q].nbytes + tensors[k].nbytes
    assert (stream.pending, stream.buffer_bytes) == (waiting, 0)
    waiting += tensors[v].nbytes
    assert list(stream.feed(v, tensors[v])) == []
    assert (stream.pending, stream.buffer_bytes) == (0, 1536)
    assert (stream.most_pending, stream.most_bytes) == (waiting, waiting + 1536)
    down = "layers.0.down.weight"
    (bucket,) = [
        *stream.feed(down, tensors[down]),
        *stream.feed("layers.0.up.weight", tensors["layers.0.up.weight"]),
        *stream.feed("layers.1.down.weight", tensors["layers.1.down.weight"]),
    ]
    assert bucket.names == ("decoder.2.qkv.weight", "decoder.0.fc2.weight")
    assert stream.most_bytes == waiting + 2 * 1536


DTYPES = {
    "norm": torch.float64,
    "qkv": torch.float8_e4m3fn,
    "fc2": torch.complex64,
    "turned": torch.int16,
    "embedding": torch.uint8,
    "output": torch.uint8,
    "final_norm": torch.bool,
}


def test_mixed_dtypes() -> None:
    """Dtypes of 1, 2 and 8 bytes in a bucket: each is what it is, from a place that its views may have."""
    toy, mesh = load_toy(), load_toy().Mesh(2, 1)
    rng = torch.Generator().manual_seed(5)

    def recoded(name: str, tensor: torch.Tensor) -> torch.Tensor:
        (dtype,) = (one for key, one in DTYPES.items() if key in name.split("."))
        size = tensor.numel() * dtype.itemsize
        numbers = torch.randint(0, 256, (size,), dtype=torch.uint8, generator=rng)
        if dtype == torch.bool:
            numbers &= 1
        return numbers.view(dtype).view(tensor.shape)

    parts: dict[Any, Any] = {rank: {} for rank in mesh.ranks()}
    for rank, part in mcore(2, 1).items():
        for name, tensor in part.items():
            whole = "norm" in name or name.startswith("decoder") and "turned" in name
            again = parts[mesh.ranks()[0]].get(name) if whole else None
            parts[rank][name] = again if whole and rank.tp else recoded(name, tensor)
    for rows in (parts[rank]["embedding.weight"] for rank in mesh.ranks()[1:]):
        rows[-3:] = 0  # the padding
    expected = dict(toy.to_hf(parts, config(), mesh))
    given = shuffled(parts, 3)
    stream = toy.BucketStream("to_hf", config(), mesh, bucket_bytes=2**14)
    buckets = filled(stream, given)
    assert max(len({*bucket.dtypes}) for bucket in buckets) > 4
    assert_same(together(buckets), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_on_a_gpu_nothing_waits() -> None:
    """Buffers on the device of what is fed, the same bytes and fingerprints, and no operation that synchronises."""
    toy, mesh, parts = load_toy(), load_toy().Mesh(2, 2), mcore(2, 2)
    expected = filled(
        toy.BucketStream("to_hf", config(), mesh, bucket_bytes=2000),
        [(n, t, rank) for rank, part in parts.items() for n, t in part.items()],
    )
    stream = toy.BucketStream("to_hf", config(), mesh, bucket_bytes=2000)
    given = [(n, t.cuda(), r) for r, part in parts.items() for n, t in part.items()]
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = filled(stream, given)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert [bucket[:4] for bucket in found] == [bucket[:4] for bucket in expected]
    for bucket, one in zip(found, expected):
        assert bucket.buffer.is_cuda and torch.equal(bucket.buffer.cpu(), one.buffer)
        assert bucket.fingerprint() == one.fingerprint()
