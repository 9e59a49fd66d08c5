"""A checkpoint from directory to directory, against one that was worked out element by element."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from .files import files_of, read, read_folder
from .toy import load_toy
from .toy_checkpoint import (
    SIZES,
    hf_tensors,
    mcore_tensors,
    rank_file,
    to_hf,
    to_mcore,
    write_hf,
    write_mcore,
)

every_mesh = pytest.mark.parametrize("tp, pp", [(1, 1), (2, 1), (1, 4), (2, 2)])


@every_mesh
def test_to_ranks(tmp_path: Path, tp: int, pp: int) -> None:
    hf = hf_tensors()
    to_mcore(write_hf(tmp_path / "hf"), tmp_path / "mcore", tp, pp)
    files = files_of(tmp_path / "mcore")
    ranks = [(at_tp, at_pp) for at_tp in range(tp) for at_pp in range(pp)]
    assert sorted(files) == ["config.json", *(rank_file(*rank) for rank in ranks)]
    for rank in ranks:
        expected = mcore_tensors(hf, tp, pp, *rank)
        assert list(read(tmp_path / "mcore" / rank_file(*rank)).items()) == list(
            expected.items()
        )
    assert json.loads(files["config.json"]) == {
        **{f"mcore_{name}": size for name, size in SIZES.items()},
        "tied": False,
        "vocab_multiple": 8,
        "mapc": {"absent from hf": {"tied": False}, "mesh": {"tp": tp, "pp": pp}},
    }


@every_mesh
@pytest.mark.parametrize(
    "recorded", [True, False], ids=["mesh-in-config", "mesh-of-names"]
)
def test_from_ranks(tmp_path: Path, tp: int, pp: int, recorded: bool) -> None:
    hf = hf_tensors()
    write_mcore(tmp_path / "mcore", hf, tp, pp, recorded)
    to_hf(tmp_path / "mcore", tmp_path / "hf")
    assert sorted(files_of(tmp_path / "hf")) == ["config.json", "model.safetensors"]
    assert list(read(tmp_path / "hf/model.safetensors").items()) == list(hf.items())
    assert json.loads((tmp_path / "hf/config.json").read_text()) == {
        **{f"hf_{name}": size for name, size in SIZES.items()},
        "tied": False,
        "mapc": {"mcore": {"vocab_multiple": 8}, "absent from mcore": {"tied": False}},
    }


def test_variants_are_chosen_and_detected(tmp_path: Path) -> None:
    source = write_hf(tmp_path / "hf")
    to_mcore(source, tmp_path / "mcore", final="shared")
    assert "final.norm.weight" in read(tmp_path / "mcore" / rank_file(0, 0))
    to_hf(tmp_path / "mcore", tmp_path / "back")
    assert read(tmp_path / "back/model.safetensors") == hf_tensors()


def test_data_start_on_a_page(tmp_path: Path) -> None:
    to_mcore(write_hf(tmp_path / "hf"), tmp_path / "mcore")
    content = (tmp_path / "mcore" / rank_file(0, 0)).read_bytes()
    length = int.from_bytes(content[:8], "little")
    assert (8 + length) % 4096 == 0
    assert content[8 : 8 + length].rstrip(b" ")[-1:] == b"}"
    digest = load_toy().converter().digest
    assert json.loads(content[8 : 8 + length])["__metadata__"] == {
        "format": "pt",
        "mapc": digest,
    }


def test_the_larger_elements_come_first(tmp_path: Path) -> None:
    tensors = hf_tensors()
    tensors["embed.weight"] = hf_tensors("U8")["embed.weight"]
    tensors["layers.2.norm.weight"] = hf_tensors("F32")["layers.2.norm.weight"]
    to_mcore(write_hf(tmp_path / "hf", tensors), tmp_path / "mcore")
    written = read(tmp_path / "mcore" / rank_file(0, 0))
    assert next(iter(written)) == "decoder.2.norm.weight"
    assert list(written)[-1] == "embedding.weight"
    to_hf(tmp_path / "mcore", tmp_path / "back")
    assert read(tmp_path / "back/model.safetensors") == tensors


def test_shards_and_their_index(tmp_path: Path) -> None:
    hf = hf_tensors()
    write_mcore(tmp_path / "mcore", hf, 2, 2)
    report = to_hf(tmp_path / "mcore", tmp_path / "hf", max_shard_size=1000)
    names = sorted(file.name for file in report.files)
    count = len(names)
    assert names == [
        f"model-{n:05}-of-{count:05}.safetensors" for n in range(1, count + 1)
    ]
    shards = {name: read(tmp_path / "hf" / name) for name in names}
    assert read_folder(tmp_path / "hf") == hf
    sizes = [
        sum(len(tensor.data) for tensor in shard.values()) for shard in shards.values()
    ]
    assert all(size <= 1000 for size in sizes) and count > 3
    index = json.loads((tmp_path / "hf/model.safetensors.index.json").read_text())
    assert index == {
        "metadata": {"total_size": sum(sizes)},
        "weight_map": {name: file for file, shard in shards.items() for name in shard},
    }
    to_mcore(tmp_path / "hf", tmp_path / "again", 2, 2)
    assert read(tmp_path / "again" / rank_file(1, 1)) == mcore_tensors(hf, 2, 2, 1, 1)


def test_a_tensor_larger_than_a_shard(tmp_path: Path) -> None:
    write_mcore(tmp_path / "mcore", hf_tensors(), 1, 1)
    report = to_hf(tmp_path / "mcore", tmp_path / "hf", max_shard_size="1B")
    assert [file.tensors for file in report.files] == [1] * len(hf_tensors())


@pytest.mark.parametrize("threads", [1, 3])
def test_bytes_do_not_depend_on_threads(tmp_path: Path, threads: int) -> None:
    source = write_hf(tmp_path / "hf")
    to_mcore(source, tmp_path / "one", 2, 2, threads=1)
    to_mcore(source, tmp_path / "some", 2, 2, threads=threads, verify=True)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "some")


def test_files_copied_along(tmp_path: Path) -> None:
    source = write_hf(tmp_path / "hf")
    for name in (
        "tokenizer.json",
        "LICENSE.txt",
        "spiece.model",
        "chat_template.jinja",
    ):
        (source / name).write_text(name)
    for name in ("modeling.py", "optimizer.pt", ".gitattributes"):
        (source / name).write_text(name)
    (source / "original").mkdir()
    (source / "original/tokenizer.model").write_text("not the model's own")
    report = to_mcore(source, tmp_path / "mcore")
    assert report.copied == (
        "LICENSE.txt",
        "chat_template.jinja",
        "spiece.model",
        "tokenizer.json",
    )
    assert report.not_copied == ("modeling.py", "optimizer.pt", "original")
    files = files_of(tmp_path / "mcore")
    assert {name: files[name] for name in report.copied} == {
        name: name.encode() for name in report.copied
    }
    assert set(files) == {*report.copied, "config.json", rank_file(0, 0)}


def test_files_beside_those_of_ranks(tmp_path: Path) -> None:
    source = write_mcore(tmp_path / "mcore", hf_tensors(), 2, 1)
    (source / "mp_rank_01_000/optimizer.pt").write_text("left")
    (source / "mp_rank_01_000/spiece.model").write_text("left")
    (source / "vocab.json").write_text("copied")
    report = to_hf(source, tmp_path / "hf")
    assert report.copied == ("vocab.json",)
    assert report.not_copied == (
        "mp_rank_01_000/optimizer.pt",
        "mp_rank_01_000/spiece.model",
    )


def test_report(tmp_path: Path) -> None:
    tensors = hf_tensors()
    tensors["layers.1.rope.inv_freq"] = hf_tensors()["layers.1.norm.weight"]
    source = write_hf(tmp_path / "hf", tensors, note="kept", model_type="kept too")
    report = to_mcore(source, tmp_path / "mcore", 2, 1, verify=True, threads=1)
    read_size = sum(len(tensor.data) for tensor in tensors.values()) - 10
    files = files_of(tmp_path / "mcore")
    names = (rank_file(0, 0), rank_file(1, 0))
    written = [
        sum(len(t.data) for t in read(tmp_path / "mcore" / name).values())
        for name in names
    ]
    toy = load_toy()
    assert report == toy.Report(
        source=str(source),
        target=str(tmp_path / "mcore"),
        direction="hf -> mcore",
        mesh={"tp": 2, "pp": 1},
        written=True,
        tensors_read=26,
        bytes_read=read_size,
        tensors_written=36,
        bytes_written=sum(written),
        files=tuple(toy.WrittenFile(name, 18, len(files[name])) for name in names),
        other_files=("config.json", "mapc.json"),
        copied=(),
        not_copied=(),
        dropped={"toy.map:35": 1},
        kept_keys=("model_type", "note"),
        nonzero_padding={},
        became_infinite={},
        became_zero={},
        verified=True,
        bytes_kept=0,
        threads=1,
        seconds=report.seconds,
        seconds_by_phase=report.seconds_by_phase,
        peak_memory=report.peak_memory,
        bound_by=report.bound_by,
    )
    assert json.loads(report.to_json())["files"][0] == {
        "name": names[0],
        "tensors": 18,
        "size": len(files[names[0]]),
    }
    assert str(report).splitlines()[:-1] == [
        f"hf -> mcore, tp=2 pp=1: {source} -> {tmp_path / 'mcore'}",
        "26 tensors read (3.86 KB), 36 written (4.50 KB)",
        "every element compared with the source",
        f"  {names[0]}  18 tensors  6.35 KB",
        f"  {names[1]}  18 tensors  6.35 KB",
        "besides: config.json, mapc.json",
        "config keys kept: model_type, note",
        "left behind: 1 by toy.map:35",
    ]


def test_plan_writes_nothing(tmp_path: Path) -> None:
    source = write_hf(tmp_path / "hf")
    planned = to_mcore(source, tmp_path / "mcore", 2, 2, plan_only=True)
    assert os.listdir(tmp_path) == ["hf"]
    done = to_mcore(source, tmp_path / "mcore", 2, 2)
    assert not planned.written and done.written
    assert (planned.files, planned.bytes_written) == (done.files, done.bytes_written)


def test_progress_ends_with_the_total(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = to_mcore(
        write_hf(tmp_path / "hf"),
        tmp_path / "mcore",
        2,
        1,
        verify=True,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (2 * report.bytes_written, 2 * report.bytes_written)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_padding_that_is_not_zero_is_counted(tmp_path: Path) -> None:
    hf = hf_tensors()
    source = write_mcore(tmp_path / "mcore", hf, 2, 1)
    file = source / rank_file(1, 0)
    content = bytearray(file.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    rows = header + 13 * 5 * 2  # of 16 rows, the last 3 are padding
    content[rows + 3] = 7
    content[rows + 10 : rows + 12] = b"\1\1"
    file.write_bytes(content)
    report = to_hf(source, tmp_path / "hf")
    assert report.nonzero_padding == {"embedding.weight (rank tp=1 pp=0)": 2}
    assert read(tmp_path / "hf/model.safetensors") == hf
    assert str(report).splitlines()[-2] == (
        "not zero in the padding of embedding.weight (rank tp=1 pp=0): 2 elements"
    )


def test_ties_must_agree(tmp_path: Path) -> None:
    tensors = hf_tensors(tied=True)
    to_mcore(write_hf(tmp_path / "good", tensors, tied=True), tmp_path / "mcore")
    data = bytearray(tensors["lm_head.weight"].data)
    data[2 * (7 * 5 + 3)] ^= 0x40
    tensors["lm_head.weight"] = tensors["lm_head.weight"]._replace(data=bytes(data))
    source = write_hf(tmp_path / "bad", tensors, tied=True)
    with pytest.raises(load_toy().ConversionError) as error:
        to_mcore(source, tmp_path / "never")
    assert str(error.value) == (
        f"{source / 'model.safetensors'}: embed.weight and lm_head.weight are one tensor in this map: "
        "element [7, 3]: expected the bytes 27 00, found 67 00"
    )
    assert sorted(os.listdir(tmp_path)) == ["bad", "good", "mcore"]


def test_copies_are_compared_on_request(tmp_path: Path) -> None:
    hf = hf_tensors()
    source = write_mcore(tmp_path / "mcore", hf, 2, 1)
    to_hf(source, tmp_path / "equal", check_replicas=True)
    file = source / rank_file(1, 0)
    content = file.read_bytes()
    norm = hf["layers.0.norm.weight"].data
    file.write_bytes(content.replace(norm, norm[:-2] + b"\xff\xff"))
    to_hf(source, tmp_path / "unnoticed")
    with pytest.raises(load_toy().ConversionError) as error:
        to_hf(source, tmp_path / "never", check_replicas=True)
    assert str(error.value) == (
        f"{source / rank_file(0, 0)}: decoder.0.norm.weight (rank tp=0 pp=0) and "
        f"{file}: decoder.0.norm.weight (rank tp=1 pp=0) are copies of one tensor: "
        f"element [4]: expected the bytes {norm[-2:].hex(' ')}, found ff ff"
    )
