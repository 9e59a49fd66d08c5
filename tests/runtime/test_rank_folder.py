"""Source directories of rank files: which mesh they are of, and everything that is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from mapc.templates.runtime.source_folder import open_source
from safetensors.torch import load_file

from .files import coded, write
from .source_folders import MCORE, TENSORS, Mesh, Rank, contents, opened_ranks, refused


def ranks(path: Path, tp: int, pp: int, mesh: Any = None) -> Path:
    """A directory of rank files; `mesh` is what its config says."""
    for at_pp in range(pp):
        for at_tp in range(tp):
            file = path / f"mp_rank_{at_tp:02}_{at_pp:03}/model.safetensors"
            write(file, {"a": coded(at_tp + 10 * at_pp, "BF16", 3)})
    (path / "config.json").write_text(
        json.dumps({"mapc": {"mesh": mesh}} if mesh else {})
    )
    return path


@pytest.mark.parametrize(
    "recorded", [None, {"tp": 2, "pp": 3}], ids=["names", "config"]
)
@pytest.mark.parametrize("claimed", [None, Mesh(2, 3)], ids=["unclaimed", "claimed"])
def test_a_file_a_rank(tmp_path: Path, recorded: Any, claimed: Any) -> None:
    folder = opened_ranks(ranks(tmp_path, 2, 3, recorded), claimed)
    assert folder.mesh == Mesh(2, 3)
    assert contents(folder) == {
        Rank(tp, pp): {"a": coded(tp + 10 * pp, "BF16", 3)}
        for tp in range(2)
        for pp in range(3)
    }


def test_ranks_that_share_a_file(tmp_path: Path) -> None:
    """A dim that no file name tells is one rank, unless the mesh is given."""
    write(tmp_path / "tp0.safetensors", {"a": TENSORS["a"]})
    (tmp_path / "config.json").write_text("{}")
    side = MCORE._replace(file=lambda rank: f"tp{rank.tp}.safetensors")
    assert open_source(str(tmp_path), side, Mesh, None).mesh == Mesh(1, 1)
    folder = open_source(str(tmp_path), side, Mesh, Mesh(1, 2))
    assert set(contents(folder)) == {Rank(0, 0), Rank(0, 1)}


def test_no_rank_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    refused(
        tmp_path,
        "mp_rank_00_000/model.safetensors",
        "expected for rank tp=0 pp=0 of tp=1 pp=1, found none; fetch it, or say which mesh it is",
        mesh=True,
    )


@pytest.mark.parametrize("claimed", [None, Mesh(2, 3)], ids=["unclaimed", "claimed"])
@pytest.mark.parametrize(
    ("file", "way"),
    [
        ("model.safetensors", "to-mcore converts what has no ranks"),
        ("pytorch_model.bin.index.json", "to-mcore converts what has no ranks"),
        *(
            (
                f"{folder}.metadata",
                "a map that says `format dcp` reads checkpoints of torch.distributed",
            )
            for folder in ("", "release/", "iter_0000030/")
        ),
    ],
)
def test_a_checkpoint_without_ranks(
    file: str, way: str, claimed: Any, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("{}")
    said = f"expected the files of the ranks of mcore, found {file} and none of them"
    refused(tmp_path, "", f"{said}; {way}", claimed, mesh=True)
    ranks(tmp_path, 2, 3)
    assert opened_ranks(tmp_path, claimed).mesh == Mesh(2, 3)


def test_a_missing_rank(tmp_path: Path) -> None:
    shutil.rmtree(ranks(tmp_path, 2, 3) / "mp_rank_01_002")
    refused(
        tmp_path,
        "mp_rank_01_002/model.safetensors",
        "expected for rank tp=1 pp=2 of tp=2 pp=3, found none; fetch it, or say which mesh it is",
        mesh=True,
    )


def test_a_rank_too_many(tmp_path: Path) -> None:
    write(ranks(tmp_path, 2, 3) / "mp_rank_03_000/model.safetensors", TENSORS)
    refused(
        tmp_path,
        "mp_rank_03_000/model.safetensors",
        "expected the 6 files of tp=2 pp=3, found this one too; "
        "say which mesh it is, or remove the file",
        mesh=True,
    )


@pytest.mark.parametrize("suffix", [".pt", ".bin"])
def test_ranks_of_torch_save(tmp_path: Path, suffix: str) -> None:
    """A map that names safetensors reads the files of torch.save of the same name; the mesh is read off them too."""
    ranks(tmp_path, 2, 1)
    for file in tmp_path.rglob("model.safetensors"):
        torch.save(load_file(file), file.with_suffix(suffix))
        file.unlink()
    folder = open_source(str(tmp_path), MCORE, Mesh, None)
    assert folder.mesh == Mesh(2, 1)
    assert folder.files == tuple(
        f"mp_rank_{tp:02}_000/model{suffix}" for tp in range(2)
    )


def test_a_rank_in_two_files(tmp_path: Path) -> None:
    write(ranks(tmp_path, 2, 3) / "mp_rank_01_000/model.pt", TENSORS)
    refused(
        tmp_path,
        "mp_rank_01_000/model.pt",
        "expected the 6 files of tp=2 pp=3, found this one too; "
        "say which mesh it is, or remove the file",
        mesh=True,
    )


def test_config_against_files(tmp_path: Path) -> None:
    ranks(tmp_path, 4, 1, {"tp": 2, "pp": 1})
    refused(
        tmp_path,
        "mp_rank_02_000/model.safetensors",
        "expected the 2 files of tp=2 pp=1, found this one too; "
        "say which mesh it is, or remove the file",
        mesh=True,
    )


def test_claim_against_config(tmp_path: Path) -> None:
    ranks(tmp_path, 2, 1, {"tp": 2})
    refused(
        tmp_path,
        "config.json",
        "expected tp=1 pp=2 as asked for, found tp=2 pp=1",
        claimed=Mesh(1, 2),
        mesh=True,
    )


def test_claim_against_files(tmp_path: Path) -> None:
    ranks(tmp_path, 2, 1)
    refused(
        tmp_path,
        "mp_rank_00_001/model.safetensors",
        "expected for rank tp=0 pp=1 of tp=2 pp=2, found none; fetch it, or say which mesh it is",
        claimed=Mesh(2, 2),
        mesh=True,
    )


@pytest.mark.parametrize(
    "sizes", [{"tp": 0}, {"tp": True}, {"tp": "2"}, {"ep": 2}, [2, 1], 2], ids=repr
)
def test_a_broken_mesh_in_the_config(tmp_path: Path, sizes: Any) -> None:
    refused(
        ranks(tmp_path, 2, 1, sizes),
        "config.json",
        f"mapc.mesh: expected sizes, 1 or more, of tp, pp, found {sizes!r}",
        mesh=True,
    )
