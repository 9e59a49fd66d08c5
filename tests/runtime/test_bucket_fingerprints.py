"""The fingerprint of a bucket is that of a checkpoint of its tensors."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from .buckets import copied
from .test_feeding import config, mcore, shuffled
from .toy import load, load_toy
from .toy_checkpoint import write_hf


def test_fingerprint(tmp_path: Path) -> None:
    """It is that of a checkpoint of these tensors, a receiver has the same, and whatever is changed changes it."""
    toy, mesh, parts = load_toy(), load_toy().Mesh(2, 1), mcore(2, 1)
    stream = toy.BucketStream("to_hf", config(), mesh, bucket_bytes=2**20)
    for name, tensor, rank in shuffled(parts, 1):
        assert list(stream.feed(name, tensor, rank)) == []
    (bucket,) = stream.close()
    said = bucket.fingerprint()
    stored = toy.fingerprint_checkpoint(write_hf(tmp_path / "hf"), layout="hf")
    assert said == stored.sha256 and len(stored.tensors) == len(bucket.names)
    (received,) = copied([bucket])
    assert received.fingerprint() == said
    longer = torch.cat([received.buffer, torch.ones(7, dtype=torch.uint8)])
    assert received._replace(buffer=longer).fingerprint() == said
    first, *others = received.names
    q = received.names.index("layers.1.q.weight")
    shapes, dtypes = list(received.shapes), list(received.dtypes)
    shapes[q], dtypes[q] = shapes[q][::-1], torch.float16
    for changed in (
        {"names": (f"{first}.", *others)},
        {"shapes": tuple(shapes)},
        {"dtypes": tuple(dtypes)},
    ):
        assert received._replace(**changed).fingerprint() != said
    received.buffer[received.offsets[q] + 1] ^= 64
    assert received.fingerprint() != said


ANY = """
language 1
map any: a <-> b

tensors {
    ** <-> **
}
"""


def test_fingerprint_of_other_dtypes(tmp_path: Path) -> None:
    """Dtypes are named as in files, and lines are in the order of the names, whatever order the bucket has."""
    module = load(Path("any.map"), ANY)
    numbers = torch.arange(6 * 8, dtype=torch.uint8).view(6, 8)
    tensors = {
        "d": (numbers + 1).view(torch.float8_e5m2),
        "b": (numbers % 5 == 0),
        "c": (numbers + 2).view(torch.complex64),
        "a": (numbers + 3).view(torch.int64),
    }
    (tmp_path / "a").mkdir()
    save_file(tensors, tmp_path / "a" / "model.safetensors")
    (tmp_path / "a" / "config.json").write_text("{}")
    stream = module.BucketStream("to_b", module.Config(), bucket_bytes=2**20)
    for one in tensors.items():
        assert list(stream.feed(*one)) == []
    (bucket,) = stream.close()
    assert bucket.names == tuple("dbca")
    stored = module.fingerprint_checkpoint(tmp_path / "a", layout="a")
    assert bucket.fingerprint() == stored.sha256
