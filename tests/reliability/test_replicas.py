"""--check-replicas: copies that differ, on other ranks and along an axis."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from ..runtime.files import coded, write
from ..runtime.toy import load

TEXT = """language 1
map copies: hf <-> mcore

layout mcore {
    mesh  tp
    files "rank_{tp}.safetensors"
}
config {
    e: e <-> e
    g: g <-> g
    m: m <-> m
}
replica r = m

tensors {
    k[(g e)]  <-> k[(r g e)@tp]
    n[e]      <-> n[e]
    both[e g] <-> both[g e@tp r]
}
"""
CASES = [
    (
        "n",
        1,
        [3],
        (
            "rank_0.safetensors: n (rank tp=0) and SOURCE/rank_1.safetensors: n (rank tp=1) are copies of one tensor: "
            "element [3]: expected the bytes d5 03 00 00, found d4 03 00 00"
        ),
    ),
    (
        "k",
        1,
        [7],
        (
            "rank_1.safetensors: k (rank tp=1): element [7]: expected the bytes 08 00 00 00, found 09 00 00 00; "
            "it is a copy of element [7] of k (rank tp=0) (copies.map:16)"
        ),
    ),
    (
        "k",
        0,
        [2],
        (
            "rank_0.safetensors: k (rank tp=0): element [14]: expected the bytes 02 00 00 00, found 03 00 00 00; "
            "it is a copy of element [2] of k (rank tp=0) (copies.map:16)"
        ),
    ),
    (
        "both",
        0,
        [1, 2, 2],
        (
            "rank_0.safetensors: both (rank tp=0): element [1, 2, 2]: expected the bytes a8 07 00 00, found a9 07 00 00; "
            "it is a copy of element [1, 2, 0] of both (rank tp=0) (copies.map:18)"
        ),
    ),
    (
        "both",
        1,
        [1, 2, 0],
        (
            "rank_1.safetensors: both (rank tp=1): element [1, 2, 1]: expected the bytes af 07 00 00, found ae 07 00 00; "
            "it is a copy of element [1, 2, 0] of both (rank tp=1) (copies.map:18)"
        ),
    ),
]


@pytest.mark.parametrize(("name", "rank", "element", "said"), CASES)
def test_a_copy_that_differs(
    name: str, rank: int, element: list[int], said: str, tmp_path: Path
) -> None:
    """The first copy is what is read; a bit of another is seen where it is asked for, and it says which."""
    m = load(tmp_path / "copies.map", TEXT)
    source, ranks = tmp_path / "hf", tmp_path / "ranks"
    shapes = {"k": (12,), "n": (6,), "both": (6, 2)}
    tensors = {
        n: coded(i, "I32", *shape) for i, (n, shape) in enumerate(shapes.items())
    }
    write(source / "model.safetensors", tensors)
    (source / "config.json").write_text(json.dumps({"e": 6, "g": 2, "m": 4}))
    m.convert_checkpoint(source, ranks, mesh=m.Mesh(tp=2), check_replicas=True)
    m.convert_checkpoint(ranks, tmp_path / "back", to="hf", check_replicas=True)
    path = ranks / f"rank_{rank}.safetensors"
    found = {n: tensor.clone() for n, tensor in load_file(path).items()}
    found[name][tuple(element)] ^= 1
    save_file(found, path, {"format": "pt"})
    m.convert_checkpoint(ranks, tmp_path / "unasked", to="hf")
    with pytest.raises(m.ConversionError) as caught:
        m.convert_checkpoint(ranks, tmp_path / "asked", to="hf", check_replicas=True)
    with pytest.raises(m.ConversionError) as again:
        m.reshard_checkpoint(ranks, tmp_path / "asked", check_replicas=True)
    assert str(again.value) == str(caught.value)
    assert str(caught.value).replace(str(ranks), "SOURCE") == f"SOURCE/{said}"
    assert not (tmp_path / "asked").exists()
