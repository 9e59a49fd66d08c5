"""Kinds of hostile checkpoints: directories that hold other things than files, and indexes that name other files."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

from ..runtime.files import read, write
from .breaking import (
    CONFIG,
    INDEX,
    MODEL,
    Kind,
    content,
    deep,
    document,
    every,
    gone,
    holding,
    instead,
    linked,
    moved_out,
    shard_of,
    sparse,
    stored,
    tensors,
)

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def sharded(path: Path) -> None:
    """The file of a checkpoint as two shards with an index."""
    found = read(path / MODEL)
    (path / MODEL).unlink()
    names = list(found)
    parts = dict(zip(SHARDS, (names[:9], names[9:])))
    for file, part in parts.items():
        write(path / file, {name: found[name] for name in part})
    weight_map = {name: file for file, part in parts.items() for name in part}
    (path / INDEX).write_text(json.dumps({"weight_map": weight_map}))


def listening(path: Path) -> None:
    """A socket; its name may be no longer than 100 characters."""
    here = os.getcwd()
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(here)


def twice(data: bytes) -> bytes:
    """An index that says the file of a tensor twice."""
    return data.replace(b'"weight_map": {', b'"weight_map": {"final.weight": "x", ')


FILES = [
    Kind(
        "no config",
        gone(CONFIG),
        "SOURCE: expected a config.json, found none; it says what the tensors are",
    ),
    Kind(
        "a directory for the config",
        instead(CONFIG, Path.mkdir),
        "SOURCE: expected a config.json, found a directory; it says what the tensors are",
    ),
    Kind(
        "a FIFO for the config",
        instead(CONFIG, os.mkfifo),
        "SOURCE: expected a config.json, found a FIFO; it says what the tensors are",
    ),
    Kind(
        "a config that is a link to another",
        moved_out(CONFIG, "../elsewhere/config.json"),
        "SOURCE/config.json: expected a file in this directory, found a link to OUTSIDE/elsewhere/config.json; --follow-links reads what is there",
    ),
    Kind(
        "a config that is a link to a secret",
        linked(CONFIG, "/etc/passwd"),
        "SOURCE/config.json: expected a file in this directory, found a link to /etc/passwd; --follow-links reads what is there",
    ),
    Kind(
        "no weights",
        gone(MODEL),
        "SOURCE: expected model.safetensors or pytorch_model.bin, or shards with an index, found none of them",
    ),
    Kind(
        "a directory for the weights",
        instead(MODEL, Path.mkdir),
        "SOURCE/model.safetensors: expected a file of tensors, found a directory",
    ),
    Kind(
        "a FIFO for the weights",
        instead(MODEL, os.mkfifo),
        "SOURCE/model.safetensors: expected a file of tensors, found a FIFO",
    ),
    Kind(
        "a socket for the weights",
        instead(MODEL, listening),
        "SOURCE/model.safetensors: expected a file of tensors, found a device or a socket",
    ),
    Kind(
        "a link to a device",
        linked(MODEL, "/dev/zero"),
        "SOURCE/model.safetensors: expected a file in this directory, found a link to /dev/zero; --follow-links reads what is there",
    ),
    Kind(
        "a link to a device that is followed",
        linked(MODEL, "/dev/zero"),
        "SOURCE/model.safetensors: expected a file of tensors, found a device or a socket",
        arguments=("--follow-links",),
    ),
    Kind(
        "a link to a FIFO",
        every(instead("pipe", os.mkfifo), linked(MODEL, "pipe")),
        "SOURCE/model.safetensors: expected a file of tensors, found a FIFO",
    ),
    Kind(
        "a link out of the directory",
        moved_out(MODEL, "../elsewhere/model.safetensors"),
        "SOURCE/model.safetensors: expected a file in this directory, found a link to OUTSIDE/elsewhere/model.safetensors; --follow-links reads what is there",
    ),
    Kind(
        "an absolute link",
        every(
            moved_out(MODEL, "../elsewhere/model.safetensors"),
            linked(MODEL, "OUTSIDE/elsewhere/model.safetensors"),
        ),
        "SOURCE/model.safetensors: expected a file in this directory, found a link to OUTSIDE/elsewhere/model.safetensors; --follow-links reads what is there",
    ),
    Kind(
        "a link into the blobs of nothing",
        moved_out(MODEL, "../blobs/0123"),
        "SOURCE/model.safetensors: expected a file in this directory, found a link to OUTSIDE/blobs/0123; --follow-links reads what is there",
    ),
    Kind(
        "a link to nowhere",
        linked(MODEL, "gone.safetensors"),
        "SOURCE/model.safetensors: expected a file of tensors, found a link that leads nowhere",
    ),
    Kind(
        "a link to itself",
        linked(MODEL, MODEL),
        "SOURCE/model.safetensors: expected a file of tensors, found a link that leads nowhere",
    ),
    Kind(
        "a tokenizer that is a link to a secret",
        linked("tokenizer.json", "/etc/passwd"),
        "SOURCE/tokenizer.json: expected a file in this directory, found a link to /etc/passwd; --follow-links reads what is there",
    ),
    Kind(
        "a licence that is a link out of the directory",
        every(holding("LICENSE", b"free"), moved_out("LICENSE", "../LICENSE")),
        "SOURCE/LICENSE: expected a file in this directory, found a link to OUTSIDE/LICENSE; --follow-links reads what is there",
    ),
    Kind(
        "shards without an index",
        every(sharded, gone(INDEX)),
        "SOURCE: model-00001-of-00002.safetensors: expected model.safetensors.index.json to say which shards there are, found none",
    ),
]
INDEXES = [
    Kind(
        "an index that is no JSON",
        every(sharded, holding(INDEX, b"weight_map")),
        "SOURCE/model.safetensors.index.json: expected JSON, found a mistake: Expecting value: line 1 column 1 (char 0)",
    ),
    Kind(
        "a list for an index",
        every(sharded, holding(INDEX, b"[]")),
        "SOURCE/model.safetensors.index.json: expected a JSON object, found a list at the top",
    ),
    Kind(
        "an index without files",
        every(sharded, document(INDEX, {"weight_map": ...})),
        "SOURCE/model.safetensors.index.json: expected a weight_map of tensor names and files, found None",
    ),
    Kind(
        "a list for the files of an index",
        every(sharded, document(INDEX, {"weight_map": ["a"]})),
        "SOURCE/model.safetensors.index.json: expected a weight_map of tensor names and files, found ['a']",
    ),
    Kind(
        "a tensor twice in an index",
        every(sharded, content(INDEX, twice)),
        "SOURCE/model.safetensors.index.json: expected JSON, found a mistake: `final.weight` stands there twice",
    ),
    Kind(
        "a deep index",
        every(sharded, holding(INDEX, f'{{"weight_map":{deep(300)}}}'.encode())),
        "SOURCE/model.safetensors.index.json: expected JSON, found it nested too deeply",
    ),
    Kind(
        "an index of 100 MB",
        every(sharded, sparse(INDEX, b"{", 100_000_001)),
        "SOURCE/model.safetensors.index.json: expected at most 100000000 bytes of JSON, found 100000001",
    ),
    Kind(
        "a FIFO for an index",
        every(sharded, instead(INDEX, os.mkfifo)),
        "SOURCE: model-00001-of-00002.safetensors: expected model.safetensors.index.json to say which shards there are, found a FIFO",
    ),
    Kind(
        "an index that is a link out of the directory",
        every(sharded, moved_out(INDEX, "../elsewhere/index.json")),
        "SOURCE/model.safetensors.index.json: expected a file in this directory, found a link to OUTSIDE/elsewhere/index.json; --follow-links reads what is there",
    ),
    Kind(
        "a shard that is missing",
        every(sharded, gone(SHARDS[1])),
        "SOURCE/model-00002-of-00002.safetensors: expected a file of tensors, found none",
    ),
    Kind(
        "a shard too many",
        every(sharded, holding("model-00003-of-00003.safetensors", b"")),
        "SOURCE/model-00003-of-00003.safetensors: no tensor of model.safetensors.index.json is in it; remove it or mend the index",
    ),
    Kind(
        "shards and the whole",
        every(
            lambda path: holding("m", (path / MODEL).read_bytes())(path),
            sharded,
            lambda path: (path / "m").rename(path / MODEL),
        ),
        "SOURCE/model.safetensors: no tensor of model.safetensors.index.json is in it; remove it or mend the index",
    ),
    Kind(
        "a path for a shard",
        every(sharded, shard_of(final_weight="../../etc/passwd")),
        "SOURCE/model.safetensors.index.json: final.weight: expected the name of a file beside the index, found '../../etc/passwd'",
    ),
    Kind(
        "an absolute path for a shard",
        every(sharded, shard_of(final_weight="/etc/passwd")),
        "SOURCE/model.safetensors.index.json: final.weight: expected the name of a file beside the index, found '/etc/passwd'",
    ),
    Kind(
        "a folder for a shard",
        every(sharded, shard_of(final_weight="below/model.safetensors")),
        "SOURCE/model.safetensors.index.json: final.weight: expected the name of a file beside the index, found 'below/model.safetensors'",
    ),
    Kind(
        "the directory for a shard",
        every(sharded, shard_of(final_weight=".")),
        "SOURCE/model.safetensors.index.json: final.weight: expected the name of a file beside the index, found '.'",
    ),
    Kind(
        "nothing for a shard",
        every(sharded, shard_of(final_weight="")),
        "SOURCE/model.safetensors.index.json: final.weight: expected the name of a file beside the index, found ''",
    ),
    Kind(
        "a shard with NUL",
        every(sharded, shard_of(final_weight="model\0.safetensors")),
        "SOURCE/model.safetensors.index.json: final.weight: expected the name of a file beside the index, found 'model\\x00.safetensors'",
    ),
    Kind(
        "a shard that runs backwards",
        every(sharded, shard_of(final_weight="\u202esrosnetefas.safetensors")),
        "SOURCE/model.safetensors.index.json: final.weight: expected the name of a file beside the index, found '\\u202esrosnetefas.safetensors'",
    ),
    Kind(
        "a shard with half a character",
        every(sharded, shard_of(final_weight="\ud800.safetensors")),
        "SOURCE/model.safetensors.index.json: final.weight: expected the name of a file beside the index, found '\\ud800.safetensors'",
    ),
    Kind(
        "a number for a shard",
        every(sharded, shard_of(final_weight=3)),
        "SOURCE/model.safetensors.index.json: final.weight: expected the name of a file beside the index, found 3",
    ),
    Kind(
        "a shard with a name of 64 KB",
        every(sharded, shard_of(final_weight="s" * 65536)),
        "SOURCE/model-00002-of-00002.safetensors: final.weight: expected in ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss... (65376 characters) ...ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss by model.safetensors.index.json, found here; mend the index",
    ),
    Kind(
        "the config for a shard",
        every(sharded, shard_of(final_weight=CONFIG)),
        "SOURCE/config.json: expected a zip file of plain tensors, as torch.save writes it, found a file that begins with b'{\"hf_lay'",
    ),
    Kind(
        "a shard that is a link out of the directory",
        every(sharded, moved_out(SHARDS[0], "../elsewhere/shard")),
        "SOURCE/model-00001-of-00002.safetensors: expected a file in this directory, found a link to OUTSIDE/elsewhere/shard; --follow-links reads what is there",
    ),
    Kind(
        "a shard that is a directory",
        every(sharded, instead(SHARDS[0], Path.mkdir)),
        "SOURCE/model-00001-of-00002.safetensors: expected a file of tensors, found a directory",
    ),
    Kind(
        "a tensor in another shard",
        every(sharded, shard_of(embed_weight=SHARDS[1])),
        "SOURCE/model-00001-of-00002.safetensors: embed.weight: expected in model-00002-of-00002.safetensors by model.safetensors.index.json, found here; mend the index",
    ),
    Kind(
        "a tensor in two shards",
        every(
            sharded,
            lambda path: stored(
                "embed.weight", read(path / SHARDS[0])["embed.weight"], SHARDS[1]
            )(path),
        ),
        "SOURCE/model-00002-of-00002.safetensors: embed.weight: expected in model-00001-of-00002.safetensors by model.safetensors.index.json, found here; mend the index",
    ),
    Kind(
        "a tensor that the index does not know",
        every(sharded, shard_of(final_weight=...)),
        "SOURCE/model-00002-of-00002.safetensors: final.weight: not in model.safetensors.index.json; mend the index",
    ),
    Kind(
        "a tensor that is nowhere",
        every(sharded, shard_of(other_weight=SHARDS[0])),
        "SOURCE/model-00001-of-00002.safetensors: other.weight: expected here by model.safetensors.index.json, found nowhere",
    ),
    Kind(
        "a tensor that neither a shard nor the index has",
        every(
            sharded,
            shard_of(final_weight=...),
            tensors(lambda found: found.pop("final.weight"), SHARDS[1]),
        ),
        "SOURCE/model.safetensors.index.json: final.weight: missing; toy.map:38 reads it as [e], expected [5] (e=5)",
    ),
    Kind(
        "a shard that has lost a tensor",
        every(sharded, tensors(lambda found: found.pop("final.weight"), SHARDS[1])),
        "SOURCE/model-00002-of-00002.safetensors: final.weight: expected here by model.safetensors.index.json, found nowhere",
    ),
]
KINDS = [*FILES, *INDEXES]
