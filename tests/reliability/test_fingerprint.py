"""One digest for the same weights in every layout of a map, and another for any other weights."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from ..runtime import test_fills, test_values
from ..runtime.files import coded, read, write
from ..runtime.toy import load, load_toy
from ..runtime.toy_checkpoint import (
    hf_tensors,
    mcore_tensors,
    rank_file,
    to_hf,
    write_hf,
    write_mcore,
)
from .commands import everything_below, run
from .shipped import Shipped, every_case


def digest_by_hand(tensors: dict[str, torch.Tensor]) -> str:
    """What the documents say that a fingerprint is."""
    codes = {torch.int64: "I64", torch.float32: "F32", torch.float64: "F64"}
    codes |= {torch.bfloat16: "BF16", torch.float16: "F16", torch.int32: "I32"}
    whole = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        data = tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        entry = [name, codes[tensor.dtype], list(tensor.shape), sha(data)]
        whole.update(f"{json.dumps(entry)}\n".encode())
    return whole.hexdigest()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# ---- every shipped map


@pytest.mark.parametrize("case", every_case(5))
def test_the_same_in_every_layout(case: Shipped, tmp_path: Path) -> None:
    """What is told of the options and variants is what the conversion was told."""
    source = case.write(tmp_path / "source")
    there = case.convert(source, tmp_path / "there")
    module, (here, other) = case.module, case.layouts
    one = module.fingerprint_checkpoint(source, layout=here, **case.choices)
    assert (one.directory, one.layout, one.of) == (str(source), here, here)
    assert one.sha256 == digest_by_hand(case.tensors())
    found = module.fingerprint_checkpoint(there, layout=other, **case.choices)
    assert (found.layout, found.of, found.rounded) == (other, here, one.rounded)
    plain = {t.name: t for t in one.tensors if t.name not in one.rounded}
    assert plain == {t.name: t for t in found.tensors if t.name in plain}
    assert bool(one.rounded) == computes(case)
    if not one.rounded:
        assert found.sha256 == one.sha256


def computes(case: Shipped) -> bool:
    """Whether this is a muP checkpoint, which is scaled on the way, or has norms that are moved to be around zero."""
    if case.test.__name__.endswith("cs"):
        scales = case.config.mup_base, case.config.embeddings_scale
        return any(scale is not None for scale in scales)
    return any("linear_attn.norm." in name for name in case.tensors())


@pytest.mark.parametrize("case", every_case(7)[1::2])
def test_nothing_is_told(case: Shipped, tmp_path: Path) -> None:
    """Each directory says itself what it is, but for what no conversion could tell either; variants do not matter."""
    source = case.write(tmp_path / "source")
    there = case.convert(source, tmp_path / "there")
    with pytest.MonkeyPatch.context() as context:
        context.chdir(tmp_path)
        refused = outcome(
            case.module.convert_checkpoint, there, "back", case.layouts[0]
        )
    layouts = case.layouts if case.layouts[0] == "hub" else (None, None)
    if refused:
        found = outcome(
            case.module.fingerprint_checkpoint, there, layout=case.layouts[1]
        )
        assert found == refused
        return
    one, other = (
        case.module.fingerprint_checkpoint(path, layout=layout)
        for path, layout in zip((source, there), layouts)
    )
    assert (one.layout, other.layout) == case.layouts
    if not other.rounded:
        assert one.sha256 == other.sha256


def outcome(function: Any, *arguments: Any, **more: Any) -> str:
    """What a call is refused with; nothing where it is not."""
    try:
        function(*arguments, **more)
    except ValueError as error:
        return str(error)
    return ""


# ---- what is part of it, and what is not


def toy_digest(path: Path, **how: Any) -> Any:
    return load_toy().fingerprint_checkpoint(path, **how)


def test_any_mesh_and_any_files(tmp_path: Path) -> None:
    """Also ranks that no converter wrote, shards in any order, and a file of torch.save."""
    hf = hf_tensors()
    expected = toy_digest(write_hf(tmp_path / "hf")).sha256
    for number, (tp, pp) in enumerate(((1, 1), (2, 1), (2, 2), (1, 4))):
        ranks = write_mcore(tmp_path / f"mcore{number}", hf, tp, pp, recorded=False)
        found = toy_digest(ranks, threads=number + 1)
        assert (found.sha256, found.mesh) == (expected, {"tp": tp, "pp": pp})
    write_mcore(tmp_path / "mcore", hf, 2, 2)
    to_hf(tmp_path / "mcore", tmp_path / "shards", max_shard_size=700)
    assert toy_digest(tmp_path / "shards").sha256 == expected
    folder = write_hf(tmp_path / "bin")
    (folder / "model.safetensors").unlink()
    tensors = {
        name: torch.frombuffer(bytearray(t.data), dtype=torch.bfloat16).view(t.shape)
        for name, t in hf.items()
    }
    torch.save(dict(reversed(tensors.items())), folder / "pytorch_model.bin")
    assert toy_digest(folder).sha256 == expected
    write_hf(tmp_path / "turned", dict(reversed(hf.items())))
    assert toy_digest(tmp_path / "turned").sha256 == expected


@pytest.mark.parametrize("threads", [1, 3])
def test_every_tensor_counts(tmp_path: Path, threads: int) -> None:
    """A bit of a tensor changes its digest and that of the whole; so do a dtype and a shape."""
    hf = hf_tensors()
    before = toy_digest(write_hf(tmp_path / "hf"), threads=threads)
    for name in hf:
        data = bytearray(hf[name].data)
        data[len(data) // 2] ^= 4
        other = {**hf, name: hf[name]._replace(data=bytes(data))}
        source = write_mcore(tmp_path / name, other, 2, 2)
        after = toy_digest(source, threads=threads)
        differing = [t.name for t, u in zip(before.tensors, after.tensors) if t != u]
        assert differing == [name] and after.sha256 != before.sha256
    other = {**hf, "final.weight": hf["final.weight"]._replace(dtype="F16")}
    assert toy_digest(write_hf(tmp_path / "f16", other)).sha256 != before.sha256


def test_what_a_map_drops_and_pads(tmp_path: Path) -> None:
    hf = hf_tensors()
    expected = toy_digest(write_hf(tmp_path / "hf"))
    more = {**hf, "layers.1.inv_freq": coded(77, "F32", 5)}
    found = toy_digest(write_hf(tmp_path / "more", more))
    assert (found.sha256, found.dropped) == (expected.sha256, {"toy.map:35": 1})
    ranks = write_mcore(tmp_path / "mcore", hf, 2, 1)
    path = ranks / rank_file(1, 0)
    content = bytearray(path.read_bytes())
    end = content.index(mcore_tensors(hf, 2, 1, 1, 0)["embedding.weight"].data) + 160
    content[end - 1] = 1  # of the padding behind 29 rows
    path.write_bytes(content)
    found = toy_digest(ranks)
    assert found.sha256 == expected.sha256
    assert found.nonzero_padding == {"embedding.weight (rank tp=1 pp=0)": 1}
    assert str(found).splitlines()[-2] == (
        "not zero in the padding: 1 elements of 1 tensors, most of embedding.weight (rank tp=1 pp=0)"
    )


def test_what_is_tied_and_copied(tmp_path: Path) -> None:
    """Ties have to agree, and with --check-replicas copies do."""
    hf = hf_tensors(tied=True)
    expected = toy_digest(write_hf(tmp_path / "hf", hf, tied=True))
    assert {"embed.weight", "lm_head.weight"} < {t.name for t in expected.tensors}
    ranks = write_mcore(tmp_path / "mcore", hf, 2, 2, tied=True)
    assert toy_digest(ranks).sha256 == expected.sha256
    less = dict(hf)
    del less["lm_head.weight"]
    alone = toy_digest(write_hf(tmp_path / "alone", less, tied=True))
    assert alone.sha256 == expected.sha256
    other = {**hf, "lm_head.weight": coded(5, "BF16", 29, 5)}
    with pytest.raises(load_toy().ConversionError, match="embed.weight and lm_head"):
        toy_digest(write_hf(tmp_path / "other", other, tied=True))
    path = ranks / rank_file(1, 1)
    norm = mcore_tensors(hf, 2, 2, 1, 1)["decoder.0.norm.weight"].data
    path.write_bytes(path.read_bytes().replace(norm, norm[::-1]))
    assert toy_digest(ranks).sha256 == expected.sha256
    with pytest.raises(load_toy().ConversionError, match="are copies of one tensor"):
        toy_digest(ranks, check_replicas=True)


def test_what_is_made_and_what_has_a_default(tmp_path: Path) -> None:
    """Made tensors are no weights, whether they are there or not; absent ones are as the map says."""
    module = load(test_fills.PATH)
    source = test_fills.write_hf(tmp_path / "hf", test_fills.given())
    expected = module.fingerprint_checkpoint(source)
    names = {t.name for t in expected.tensors}
    assert names == {*test_fills.given(), *test_fills.NAMES}
    for tp in (1, 2):
        there = tmp_path / f"mcore{tp}"
        module.convert_checkpoint(source, there, mesh=module.Mesh(tp))
        found = module.fingerprint_checkpoint(there)
        exact = [t for t in expected.tensors if t.name not in expected.rounded]
        assert expected.rounded == found.rounded == ("spread", "a", "weight_b")
        assert exact == [t for t in found.tensors if t.name not in found.rounded]
    module.convert_checkpoint(tmp_path / "mcore1", tmp_path / "back", "hf")
    assert {"counts", "slopes"} < set(read(tmp_path / "back/model.safetensors"))
    again = module.fingerprint_checkpoint(tmp_path / "back")
    assert [t for t in again.tensors if t in exact] == exact
    assert str(again).splitlines()[2] == (
        "3 tensors are rounded on the way between the layouts: their digests may differ"
    )


def test_another_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is put together by way of the other layout, also where that is turned, but not where it takes all memory."""
    text = """# Matrices in two ways
language 1
map ways: hf <-> other
config { e: e <-> e
         f: f <-> f }
tensors {
    variant way: plain { a.weight[e f] <-> a[f e] }
    turned { a.turned[f e] <-> a[f e] }
}
"""
    module = load(Path("ways.map"), text)
    matrix = torch.arange(1 << 20, dtype=torch.int32).view(512, 2048)
    for name, tensor in (("weight", matrix), ("turned", matrix.T.contiguous())):
        folder = tmp_path / name
        write(folder / "model.safetensors", test_values.stored({f"a.{name}": tensor}))
        (folder / "config.json").write_text('{"e": 512, "f": 2048}')
    module.convert_checkpoint(tmp_path / "weight", tmp_path / "there", "other")
    weight, turned, there = (
        module.fingerprint_checkpoint(tmp_path / name, layout=layout)
        for name, layout in (("weight", "hf"), ("turned", "hf"), ("there", "other"))
    )
    assert weight.sha256 == turned.sha256 == there.sha256
    assert [t.name for t in turned.tensors] == ["a.weight"]
    one = module.fingerprint_checkpoint(tmp_path / "turned", layout="hf", way="turned")
    assert [t.name for t in one.tensors] == ["a.turned"]
    same = module.fingerprint_checkpoint(there.directory, layout="other", way="turned")
    assert same.sha256 == one.sha256 != weight.sha256
    monkeypatch.setattr(module, "MOST_BETWEEN", 1 << 20)
    with pytest.raises(module.ConversionError) as error:
        module.fingerprint_checkpoint(tmp_path / "turned", layout="hf", threads=1)
    assert str(error.value) == (
        "a: expected at most 1.05 MB of it at once, found 4.19 MB; "
        "convert the directory, and take what is written"
    )


# ---- the command


def test_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_hf(tmp_path / "hf")
    ranks = write_mcore(tmp_path / "mcore", hf_tensors(), 2, 2)
    found = toy_digest(source)
    code, out, err = run(capsys, "fingerprint", ranks)
    assert (code, err) == (0, "")
    *lines, last = out.splitlines()
    assert lines == [
        f"{found.sha256}  {ranks}",
        "26 tensors of hf (3.86 KB), stored as mcore tp=2 pp=2",
    ]
    assert re.fullmatch(r"\d+\.\d\d s, \d+\.\d\d GB/s", last)
    assert run(capsys, "fingerprint", source, "--quiet") == (0, f"{found.sha256}\n", "")
    code, out, err = run(capsys, "fingerprint", source, "--json", "--threads", "2")
    report = json.loads(out)
    assert (code, err, report["sha256"], report["bytes"]) == (0, "", found.sha256, 3860)
    hf = hf_tensors()
    assert report["tensors"] == [
        {
            "name": name,
            "dtype": "BF16",
            "shape": list(hf[name].shape),
            "sha256": sha(hf[name].data),
        }
        for name in sorted(hf)
    ]


def test_neither_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = hf_tensors()
    del tensors["final.weight"]
    source = write_hf(tmp_path / "hf", tensors)
    said = f"{source / 'model.safetensors'}: final.weight: missing; "
    said += "toy.map:38 reads it as [e], expected [5] (e=5)"
    assert run(capsys, "fingerprint", source, "--layout", "hf") == (
        1,
        "",
        f"error: {said}\n",
    )
    assert run(capsys, "fingerprint", source) == (
        1,
        "",
        (
            f"error: {source}: expected a checkpoint of hf or mcore; as hf, {said}; as mcore, "
            f"{source}: expected the files of the ranks of mcore, found model.safetensors and none of them; "
            "to-mcore converts what has no ranks\n"
        ),
    )
    none = tmp_path / "none"
    assert run(capsys, "fingerprint", none) == (
        3,
        "",
        f"error: {none}: expected the directory of a checkpoint, found none\n",
    )
    assert everything_below(tmp_path).keys() == {
        "hf",
        "hf/config.json",
        "hf/model.safetensors",
    }


def test_either_layout(tmp_path: Path) -> None:
    module = load(Path("same.map"), SAME)
    write(tmp_path / "model.safetensors", {"a": coded(1, "BF16", 3)})
    (tmp_path / "config.json").write_text('{"e": 3}')
    with pytest.raises(module.ConversionError) as error:
        module.fingerprint_checkpoint(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: it may be a checkpoint of hf or other; --layout says of which"
    )
    one = module.fingerprint_checkpoint(tmp_path, layout="hf")
    assert one.sha256 == module.fingerprint_checkpoint(tmp_path, layout="other").sha256
    with pytest.raises(module.UsageError) as usage:
        module.fingerprint_checkpoint(tmp_path, layout="mcore")
    assert str(usage.value) == "layout: expected hf, other, found 'mcore'"


SAME = """# The same on both sides
language 1
map same: hf <-> other
config { e: e <-> e }
tensors { a[e] <-> a[e] }
"""


def test_the_source_changes(tmp_path: Path) -> None:
    source = write_hf(tmp_path / "hf")
    path = source / "model.safetensors"

    def touch(done: int, total: int) -> None:
        os.utime(path, ns=(1, 1))

    with pytest.raises(
        load_toy().ConversionError, match="the file was changed while it was read$"
    ):
        toy_digest(source, progress=touch)
