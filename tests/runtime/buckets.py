"""What a receiver makes of buckets."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from .toy import load_toy


def copied(buckets: Iterable[Any]) -> Iterator[Any]:
    """What a receiver has of each bucket: the first four, and the bytes in memory of its own."""
    for bucket in buckets:
        described = pickle.loads(pickle.dumps(tuple(bucket[:4])))
        yield load_toy().Bucket(*described, bucket.buffer.clone())


def filled(stream: Any, given: Iterable[Any]) -> list[Any]:
    """All buckets of a stream, as a receiver has them."""
    found = [bucket for one in given for bucket in copied(stream.feed(*one))]
    return found + list(copied(stream.close()))


def together(buckets: list[Any]) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for bucket in buckets:
        tensors = bucket.tensors()
        assert not tensors.keys() & found.keys()
        found |= tensors
    return found


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """The same tensors, bit for bit: what is no number is equal to itself."""
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        assert bits(found[name]) == bits(tensor), name


def bits(tensor: torch.Tensor) -> bytes:
    flat = tensor.cpu().contiguous().view(-1).view(torch.uint8)
    return bytes(flat.numpy())
