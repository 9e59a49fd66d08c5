"""A refit over torch.distributed: trainers at tp=2 hold Megatron's tensors, an engine gets those of Hugging Face.

`python refit.py` starts the three processes, in a folder with a checkpoint in `hf/` and its converter beside this file.
The engine leaves what it has received in `received.safetensors`.
"""

from __future__ import annotations

import json
import tempfile
from collections import deque
from datetime import timedelta
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from llama_hf_mcore import (
    Bucket,
    BucketStream,
    Config,
    ConversionError,
    Mesh,
    Rank,
    expected_hf,
    to_mcore,
)
from safetensors.torch import load_file, save_file

BACKEND, DEVICE = "gloo", "cpu"  # on GPUs "nccl" and "cuda"
MESH = Mesh(tp=2)
ENGINE = 2  # the process behind the trainers, 0 and 1
BUCKET = 2**17  # bytes; the embedding has to fit
CHECKED = True  # compare fingerprints, for which each bucket is copied to the CPU
TIMEOUT = timedelta(seconds=60)


class Links(NamedTuple):
    """Who talks to whom: trainers about shards, trainer 0 with the engine in words and in buckets."""

    trainers: Any
    words: Any
    buckets: Any


def connected(rank: int, meeting: str) -> Links:
    world, pair = ENGINE + 1, [0, ENGINE]
    if DEVICE == "cuda":
        torch.cuda.set_device(rank)
    dist.init_process_group(BACKEND, f"file://{meeting}", TIMEOUT, world, rank)
    words = dist.new_group(pair, backend="gloo")  # so that no GPU waits for words
    return Links(dist.new_group([*range(MESH.tp)]), words, dist.new_group(pair))


def model_config() -> Config:
    with open("hf/config.json") as file:
        return Config.from_hf(json.load(file), norms="fused")


# ---- the trainers -----------------------------------------------------------------------------


def train(rank: int, links: Links) -> None:
    """What Megatron's `model.state_dict()` would say is made of the checkpoint here."""
    whole, config = load_file("hf/model.safetensors"), model_config()
    state = dict(to_mcore(whole, config, MESH, Rank(tp=rank)))
    refit({name: one.to(DEVICE) for name, one in state.items()}, rank, config, links)


def refit(state: dict[str, Any], rank: int, config: Config, links: Links) -> None:
    stream, sent = BucketStream("to_hf", config, MESH, bucket_bytes=BUCKET), deque()
    try:
        for name, shard in state.items():
            shards = gathered(shard, links)
            if rank == 0:
                send(stream.feed(name, shards, MESH.ranks()), sent, links)
        if rank == 0:
            send(stream.close(), sent, links)
    except ConversionError as error:
        say((None, None, str(error)), links)
        raise
    for work in sent:
        work.wait()
    if rank == 0:
        say(None, links)


def gathered(shard: torch.Tensor, links: Links) -> list[torch.Tensor]:
    """The shards of all trainers, as bytes on their way: no backend has all dtypes."""
    flat = shard.contiguous().view(-1).view(torch.uint8)
    found = [torch.empty_like(flat) for _ in MESH.ranks()]
    dist.all_gather(found, flat, group=links.trainers)
    return [one.view(shard.dtype).view(shard.shape) for one in found]


def send(buckets: Any, sent: deque[Any], links: Links) -> None:
    """Send one bucket while the next one is filled."""
    for bucket in buckets:
        fingerprint = bucket.fingerprint() if CHECKED else None
        say((bucket[:4], fingerprint, None), links)
        work = dist.broadcast(bucket.buffer, 0, group=links.buckets, async_op=True)
        sent.append(work)
        if len(sent) == 2:
            sent.popleft().wait()  # for its buffer is filled now


def say(words: Any, links: Links) -> None:
    dist.broadcast_object_list([words], 0, group=links.words)


# ---- the engine -------------------------------------------------------------------------------


def serve(links: Links) -> None:
    """Between the first bucket and the last word the weights are of no use."""
    expected = expected_hf(model_config(), MESH)
    weights = {
        name: torch.empty(shape, dtype=torch.bfloat16, device=DEVICE)
        for name, (shape, _) in expected.items()
    }
    missing, count = set(weights), 0
    room = torch.empty(BUCKET, dtype=torch.uint8, device=DEVICE)
    while (words := heard(links)) is not None:
        described, fingerprint, refusal = words
        if refusal:
            raise RuntimeError(f"the trainers gave up: {refusal}")
        bucket = Bucket(*described, room)
        dist.broadcast(room[: bucket.end], 0, group=links.buckets)
        if fingerprint and bucket.fingerprint() != fingerprint:
            raise RuntimeError(f"bucket {count} is not what was sent")
        load(bucket.tensors(), weights, missing)
        count += 1
    if missing:
        raise RuntimeError(f"not received: {', '.join(sorted(missing))}")
    print(f"{len(weights)} tensors in {count} buckets of at most {BUCKET} bytes")
    save_file(weights, "received.safetensors")


def load(tensors: dict[str, Any], weights: dict[str, Any], missing: set[str]) -> None:
    """Copy what has come, views of a buffer, to where the model has it."""
    for name, tensor in tensors.items():
        own = weights[name]
        if (tensor.shape, tensor.dtype) != (own.shape, own.dtype):
            raise RuntimeError(f"{name}: not of the shape and dtype of the model")
        own.copy_(tensor)
        missing.remove(name)


def heard(links: Links) -> Any:
    words = [None]
    dist.broadcast_object_list(words, 0, group=links.words)
    return words[0]


# ---- both -------------------------------------------------------------------------------------


def run(rank: int, meeting: str) -> None:
    links = connected(rank, meeting)
    serve(links) if rank == ENGINE else train(rank, links)
    dist.destroy_process_group()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(run, (f"{folder}/meeting",), ENGINE + 1)
