"""`diff` on the command line: what it prints, its flags and its exit codes."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import pytest

from ..runtime.files import Stored
from ..runtime.toy_checkpoint import hf_tensors, rank_file, write_hf, write_mcore
from .commands import everything_below, run

ENDING = r"\d+\.\d\d s, \d+\.\d\d GB/s"


def changed(tensors: dict[str, Stored], name: str, *elements: int) -> dict[str, Stored]:
    """The tensors with a bit of some elements of one of them flipped."""
    data = bytearray(tensors[name].data)
    for element in elements:
        data[2 * element + 1] ^= 1
    return {**tensors, name: tensors[name]._replace(data=bytes(data))}


def test_the_first_element(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hf = hf_tensors()
    one = write_mcore(tmp_path / "one", hf, 2, 2)
    other = changed(hf, "layers.2.down.weight", 4 * 14 + 12, 4 * 14 + 13)
    other = changed(other, "layers.3.k.weight", 0)
    other = changed(other, "final.weight", *range(5))
    write_hf(tmp_path / "other", other)
    values = [
        struct.unpack("<f", bytes(2) + t["layers.2.down.weight"].data[136:138])[0]
        for t in (hf, other)
    ]
    codes = [t["layers.2.down.weight"].data[136:138].hex(" ") for t in (hf, other)]
    code, out, err = run(capsys, "diff", one, tmp_path / "other")
    *lines, last = out.splitlines()
    assert (code, err) == (1, "")
    assert lines == [
        "different: 3 of 26 tensors (3.86 KB)",
        f"  {one}: mcore tp=2 pp=2",
        f"  {tmp_path / 'other'}: hf",
        "first: layers.2.down.weight [4, 12]",
        (
            f"  {one}: decoder.0.fc2.weight [4, 5] in {rank_file(1, 1)} (rank tp=1 pp=1): "
            f"{values[0]} ({codes[0]})"
        ),
        (
            f"  {tmp_path / 'other'}: layers.2.down.weight [4, 12] in model.safetensors: "
            f"{values[1]} ({codes[1]})"
        ),
        "layers.2.down.weight: 2 of 70 elements, the first is [4, 12]",
        "layers.3.k.weight: 1 of 60 elements, the first is [0, 0]",
        "final.weight: 5 of 5 elements, the first is [0]",
    ]
    assert re.fullmatch(ENDING, last)
    code, out, err = run(capsys, "diff", one, tmp_path / "other", "--json")
    report = json.loads(out)
    assert (code, err, report["equal"], report["tensors"]) == (1, "", False, 26)
    assert report["different"][0] == {
        "name": "layers.2.down.weight",
        "kinds": ["BF16 [5, 14]", "BF16 [5, 14]"],
        "elements": 70,
        "different": 2,
        "first": [4, 12],
        "values": [
            {
                "value": f"{values[0]} ({codes[0]})",
                "where": {
                    "name": "decoder.0.fc2.weight",
                    "element": [4, 5],
                    "rank": {"tp": 1, "pp": 1},
                    "file": rank_file(1, 1),
                },
            },
            {
                "value": f"{values[1]} ({codes[1]})",
                "where": {
                    "name": "layers.2.down.weight",
                    "element": [4, 12],
                    "rank": {},
                    "file": "model.safetensors",
                },
            },
        ],
    }
    assert run(capsys, "diff", one, tmp_path / "other", "--quiet") == (1, "", "")


def test_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write_mcore(tmp_path / "one", hf_tensors(), 2, 1)
    other = write_mcore(tmp_path / "other", hf_tensors(), 1, 4, recorded=False)
    before = everything_below(tmp_path)
    code, out, err = run(capsys, "diff", one, other, "--threads", "3")
    *lines, last = out.splitlines()
    assert (code, err) == (0, "")
    assert lines == [
        "equal: 26 tensors (3.86 KB)",
        f"  {one}: mcore tp=2 pp=1",
        f"  {other}: mcore tp=1 pp=4",
    ]
    assert re.fullmatch(ENDING, last)
    assert run(capsys, "diff", one, one, "--quiet") == (0, "", "")
    code, out, err = run(capsys, "diff", one, other, "--json")
    assert json.loads(out)["equal"] is True
    assert everything_below(tmp_path) == before


def test_meshes_by_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each directory has flags of its own; those of the layout without ranks say nothing."""
    one = write_mcore(tmp_path / "one", hf_tensors(), 2, 2)
    hf = write_hf(tmp_path / "hf")
    flags = ("--tp", "2", "--pp", "2", "--quiet")
    assert run(capsys, "diff", one, hf, *flags) == (0, "", "")
    said = f"error: {one / 'config.json'}: expected tp=4 pp=1 as asked for, found tp=2 pp=2\n"
    other = ("--other-tp", "4", "--other-layout", "mcore", "--quiet")
    assert run(capsys, "diff", hf, one, *other) == (1, "", said)
    error = "error: --other-tp: expected 1 or more, found 0\n"
    assert run(capsys, "diff", hf, one, "--other-tp", "0") == (2, "", error)


def test_a_refused_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = write_hf(tmp_path / "one")
    tensors = hf_tensors()
    del tensors["final.weight"]
    other = write_hf(tmp_path / "other", tensors)
    said = f"{other / 'model.safetensors'}: final.weight: missing; "
    said += "toy.map:38 reads it as [e], expected [5] (e=5)"
    code, out, err = run(capsys, "diff", one, other, "--other-layout", "hf", "--json")
    assert (code, err) == (1, f"error: {said}\n")
    assert json.loads(out) == {"error": {"kind": "refused", "message": said}}


def test_reading_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, none = write_hf(tmp_path / "one"), tmp_path / "none"
    said = f"error: {none}: expected the directory of a checkpoint, found none\n"
    assert run(capsys, "diff", one, none) == (3, "", said)
    assert run(capsys, "diff", none, one) == (3, "", said)
