"""Buckets that cannot be made, and streams of them that are used wrongly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from .test_feeding import config, hf, mcore, refused
from .toy import load_toy


def test_a_buffer_that_is_too_short() -> None:
    dtypes, shapes = (torch.bfloat16,) * 2, ((5, 7), (2,))
    short = torch.zeros(515, dtype=torch.uint8)
    bucket = load_toy().Bucket(("a", "b"), dtypes, shapes, (0, 512), short)
    for ask in (bucket.tensors, bucket.fingerprint):
        with pytest.raises(
            ValueError, match="^expected a buffer of 516 bytes, found 515$"
        ):
            ask()


def test_what_is_wrong() -> None:
    toy, tensors = load_toy(), hf()
    q, k = "layers.0.q.weight", "layers.0.k.weight"

    def stream(**how: Any) -> Any:
        how.setdefault("bucket_bytes", 2**20)
        return toy.BucketStream("to_mcore", config(), **how)

    assert refused(stream(), (q, tensors[q]), (q, tensors[q])) == (
        f"{q}: expected once, found again"
    )
    assert refused(stream(max_pending=400), (q, tensors[q]), (k, tensors[k])) == (
        f"{q}: waits for layers.0.v.weight; 2 tensors wait with 480 bytes, more than the 400 of max_pending"
    )
    assert refused(stream(), (q, tensors[q]), (k, tensors[k])) == (
        "embed.weight: missing when the stream was closed (and 23 more); 480 bytes wait for it"
    )
    for wrong in (0, -1, 2.0**20, True, None):
        with pytest.raises(
            ValueError,
            match=f"^bucket_bytes: expected 1 or more, not {re.escape(repr(wrong))}$",
        ):
            stream(bucket_bytes=wrong)
    with pytest.raises(TypeError, match="unexpected keyword argument 'out'"):
        stream(out=torch.empty)


def test_a_group_that_is_larger_than_a_bucket() -> None:
    """It is refused before anything of it is made, whenever the stream is asked, and what is said is enough for it."""
    toy, mesh, parts = load_toy(), load_toy().Mesh(2, 1), mcore(2, 1)
    name, ranks = "decoder.0.qkv.weight", mesh.ranks()
    shards = [parts[rank][name] for rank in ranks]
    stream = toy.BucketStream("to_hf", config(), mesh, bucket_bytes=1143)
    text = (
        "layers.0.q.weight and 2 more: expected at most the 1143 bytes of a bucket, found 1144, which come in one bucket "
        "(toy.map:30); bucket_bytes=1144 is enough for them"
    )
    asked = stream.feed(name, shards, ranks)
    for again in (asked, stream.feed("decoder.0.fc2.weight", shards, ranks)):
        with pytest.raises(toy.ConversionError, match=f"^{re.escape(text)}$"):
            next(again)
    assert stream.buffer_bytes == 0
    stream = toy.BucketStream("to_hf", config(), mesh, bucket_bytes=1144)
    norm = "decoder.0.norm.weight"
    assert list(stream.feed(norm, parts[ranks[0]][norm], ranks[0])) == []
    ((names, *_),) = stream.feed(name, shards, ranks)
    assert names == ("layers.0.norm.weight",)
    stream = toy.BucketStream("to_mcore", config(), bucket_bytes=9)
    text = (
        "decoder.0.norm.weight: expected at most the 9 bytes of a bucket, found 10, which come in one bucket "
        "(toy.map:29); bucket_bytes=10 is enough for them"
    )
    assert text == refused(
        stream, ("layers.0.norm.weight", hf()["layers.0.norm.weight"])
    )


def test_what_cannot_be_made_is_in_no_bucket() -> None:
    """Nor is what was made of its group, and the stream does not go on without it."""
    toy, tensors = load_toy(), hf(tied=True)
    stream = toy.BucketStream("to_mcore", config(tied=True), bucket_bytes=2**20)
    stream.feed("embed.weight", tensors["embed.weight"])
    text = "embed.weight and lm_head.weight are one tensor in this map, but their values differ"
    others = [
        one
        for one in tensors.items()
        if one[0] not in ("embed.weight", "lm_head.weight")
    ]
    for one in (("lm_head.weight", tensors["embed.weight"] + 1), *others):
        assert refused_once(stream.feed(*one)) == text
    assert refused_once(stream.close()) == text


def refused_once(asked: Iterator[Any]) -> str:
    with pytest.raises(load_toy().ConversionError) as caught:
        list(asked)
    return str(caught.value)
