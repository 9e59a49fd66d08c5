"""The ledger beside an output says what was made of what, and the files themselves say by which map."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ..runtime import test_fills
from ..runtime.files import coded, files_of, read
from ..runtime.toy import load, load_toy
from ..runtime.toy_checkpoint import (
    hf_tensors,
    rank_file,
    to_hf,
    to_mcore,
    write_hf,
    write_mcore,
)
from .commands import everything_below

LEDGER = "mapc.json"


def ledger_of(path: Path) -> dict[str, Any]:
    found = json.loads((path / LEDGER).read_text())
    assert isinstance(found, dict)
    return found


def sha(content: bytes) -> str:
    return sha256(content).hexdigest()


def header(path: Path) -> bytes:
    content = path.read_bytes()
    return content[: 8 + int.from_bytes(content[:8], "little")]


def test_whole(tmp_path: Path) -> None:
    tensors = {**hf_tensors(), "layers.3.inv_freq": coded(99, "F32", 2)}
    source, target = write_hf(tmp_path / "hf", tensors), tmp_path / "mcore"
    report = to_mcore(source, target, 2, 1, threads=1, verify=True)
    found, toy = ledger_of(target), load_toy().converter()
    names = [rank_file(at_tp, 0) for at_tp in range(2)]
    assert list(found) == [
        *("converter", "map_sha256", "compiler", "direction", "mesh"),
        *("settings", "source", "target", "counts", "run"),
    ]
    run = found.pop("run")
    assert found == {
        "converter": "toy",
        "map_sha256": toy.digest,
        "compiler": "mapc 0.1.0",
        "direction": "hf -> mcore",
        "mesh": {"hf": None, "mcore": {"tp": 2, "pp": 1}},
        "settings": {"dtype": None, "vocab_multiple": 8, "final": "own"},
        "source": {
            "config.json": {
                "bytes": (source / "config.json").stat().st_size,
                "sha256": sha((source / "config.json").read_bytes()),
            },
            "model.safetensors": {
                "bytes": (source / "model.safetensors").stat().st_size,
                "header_sha256": sha(header(source / "model.safetensors")),
            },
        },
        "target": {
            name: {
                "tensors": 18,
                "bytes": (target / name).stat().st_size,
                "header_sha256": sha(header(target / name)),
            }
            for name in names
        },
        "counts": {
            "tensors_read": 26,
            "bytes_read": report.bytes_read,
            "tensors_written": 36,
            "bytes_written": report.bytes_written,
            "written": {
                "moved": {"tensors": 36, "bytes": report.bytes_written},
                **{
                    kind: {"tensors": 0, "bytes": 0}
                    for kind in ("cast", "computed", "made")
                },
            },
            "dropped": {"toy.map:35": 1},
            "nonzero_padding": {},
            "became_infinite": 0,
            "became_zero": 0,
        },
    }
    rest = [run.pop(name) for name in ("seconds", "gigabytes_per_second")]
    assert run == {"verified": True, "bytes_kept": 0, "threads": 1}
    assert 0 < rest[0] <= report.seconds
    rate = report.bytes_written / 1e9 / rest[0]
    assert rest[1] == pytest.approx(rate, abs=1e-5)


def test_the_way_back(tmp_path: Path) -> None:
    """The digests of what one run wrote are those of what the next one read."""
    to_mcore(write_hf(tmp_path / "hf"), tmp_path / "mcore", 2, 2)
    to_hf(tmp_path / "mcore", tmp_path / "back", max_shard_size=2000, dtype="f32")
    there, back = ledger_of(tmp_path / "mcore"), ledger_of(tmp_path / "back")
    read_back = {name: file["header_sha256"] for name, file in weights(back["source"])}
    assert read_back == {
        name: f["header_sha256"] for name, f in there["target"].items()
    }
    assert back["direction"] == "mcore -> hf"
    assert back["mesh"] == {"hf": None, "mcore": {"tp": 2, "pp": 2}}
    assert back["settings"] == {"dtype": "f32", "vocab_multiple": 8, "final": "own"}
    assert back["counts"]["written"]["cast"]["tensors"] == len(hf_tensors())
    assert len(back["target"]) > 2


def weights(files: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(name, file) for name, file in files.items() if name != "config.json"]


def test_files_of_torch_save(tmp_path: Path) -> None:
    source = write_hf(tmp_path / "hf")
    (source / "model.safetensors").unlink()
    tensors = {
        name: torch.frombuffer(bytearray(t.data), dtype=torch.bfloat16).view(t.shape)
        for name, t in hf_tensors().items()
    }
    torch.save(tensors, source / "pytorch_model.bin")
    to_mcore(source, tmp_path / "mcore")
    content = (source / "pytorch_model.bin").read_bytes()
    assert ledger_of(tmp_path / "mcore")["source"]["pytorch_model.bin"] == {
        "bytes": len(content),
        "end_sha256": sha(content),
    }


def test_the_end_of_a_file_of_torch_save(tmp_path: Path) -> None:
    """It has the checksum of each tensor, so another number far before it is another digest."""
    found = []
    for number in range(2):
        tensor = torch.zeros(1 << 20)
        tensor[5] = number
        torch.save({"a": tensor}, tmp_path / "one.bin")
        found.append(load_toy()._read_file(str(tmp_path / "one.bin")))
    content = (tmp_path / "one.bin").read_bytes()
    assert found[1] == {"bytes": len(content), "end_sha256": sha(content[-65536:])}
    assert found[0] != found[1]


def test_kinds_of_tensors(tmp_path: Path) -> None:
    """What a map makes, or puts in the place of what is absent, is neither moved nor computed."""
    source = test_fills.write_hf(tmp_path / "hf", test_fills.given())
    load(test_fills.PATH).convert_checkpoint(source, tmp_path / "mcore")
    written = ledger_of(tmp_path / "mcore")["counts"]["written"]
    sizes = {
        name: len(tensor.data)
        for name, tensor in read(tmp_path / "mcore/rank_0.safetensors").items()
    }
    made = ("mask", "number", "random", "spread", "zero")
    assert written == {
        "moved": {"tensors": 1, "bytes": sizes.pop("weight")},
        "cast": {"tensors": 0, "bytes": 0},
        "computed": {"tensors": 1, "bytes": sizes.pop("ab")},
        "made": {"tensors": 5, "bytes": sum(sizes[name] for name in made)},
    }
    assert set(sizes) == set(made)


def test_the_same_but_for_the_run(tmp_path: Path) -> None:
    source = write_hf(tmp_path / "hf")
    for name, threads in (("one", 1), ("other", 3)):
        to_mcore(source, tmp_path / name, 2, 2, threads=threads)
    one, other = (ledger_of(tmp_path / name) for name in ("one", "other"))
    assert one.pop("run") != other.pop("run")
    assert json.dumps(one) == json.dumps(other)


@pytest.mark.parametrize("text", [None, "no JSON at all {", '{"mesh": "nonsense"}'])
def test_a_ledger_in_the_source(tmp_path: Path, text: str | None) -> None:
    """It is neither read nor copied nor said to be left there, whatever is in it."""
    to_mcore(write_hf(tmp_path / "hf"), tmp_path / "mcore", 2, 2)
    to_hf(tmp_path / "mcore", tmp_path / "expected")
    if text is not None:
        (tmp_path / "mcore" / LEDGER).write_text(text)
    before = everything_below(tmp_path / "mcore")
    report = to_hf(tmp_path / "mcore", tmp_path / "back")
    assert (report.copied, report.not_copied) == ((), ())
    assert files_of(tmp_path / "back") == files_of(tmp_path / "expected")
    assert ledger_of(tmp_path / "back")["direction"] == "mcore -> hf"
    assert everything_below(tmp_path / "mcore") == before


def test_there_before_the_target_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sees a target sees its ledger in it."""
    toy, put, seen = load_toy(), load_toy().put_into_place, []

    def placed(partial: str, *how: Any) -> None:
        seen.append(json.loads((Path(partial) / LEDGER).read_text())["converter"])
        put(partial, *how)

    monkeypatch.setattr(toy, "put_into_place", placed)
    to_mcore(write_hf(tmp_path / "hf"), tmp_path / "mcore")
    assert seen == ["toy"]


def test_no_ledger_of_a_plan(tmp_path: Path) -> None:
    report = to_mcore(write_hf(tmp_path / "hf"), tmp_path / "mcore", plan_only=True)
    assert report.other_files == ("config.json", LEDGER)
    assert not (tmp_path / "mcore").exists()


# ---- the map in the files themselves


def test_metadata_of_every_file(tmp_path: Path) -> None:
    """As the readers of safetensors give them; Hugging Face's loaders ask for `format` and take the rest."""
    digest = load_toy().converter().digest
    write_mcore(tmp_path / "mcore", hf_tensors(), 2, 2)
    to_hf(tmp_path / "mcore", tmp_path / "hf", max_shard_size=2000)
    to_mcore(tmp_path / "hf", tmp_path / "again", 2, 2)
    files = [*(tmp_path / "hf").rglob("*.safetensors")]
    files += (tmp_path / "again").rglob("*.safetensors")
    assert len(files) == 6
    for file in files:
        with safe_open(file, "pt") as opened:
            assert opened.metadata() == {"format": "pt", "mapc": digest}
        assert load_file(file).keys() == read(file).keys()


def test_metadata_of_the_source_are_not_carried_on(tmp_path: Path) -> None:
    """A file that another map wrote is read without a word, and what comes of it names the one that did."""
    source = write_hf(tmp_path / "hf")
    to_mcore(source, tmp_path / "expected")
    path = source / "model.safetensors"
    content = path.read_bytes()
    size = 8 + int.from_bytes(content[:8], "little")
    said = {"format": "pt", "mapc": "0" * 64, "note": "by another map"}
    text = json.dumps({"__metadata__": said, **json.loads(content[8:size])}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[size:])
    to_mcore(source, tmp_path / "mcore")
    assert files_of(tmp_path / "mcore") == files_of(tmp_path / "expected")
