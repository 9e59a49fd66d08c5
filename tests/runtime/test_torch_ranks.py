"""Files of torch.save a rank, each with a state of training: those that torch writes are read, and it reads ours."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from mapc.templates.runtime.torch_output import plain_records, tensor_pickle
from mapc.templates.runtime.zip_files import ZipRecord, plan_archive
from safetensors.torch import load_file

from .files import files_of
from .states import MESHES, STATE, as_trained, mesh, same, settings, states, write_whole


@pytest.mark.parametrize(("sizes", "folders"), MESHES)
def test_torch_reads_what_is_written(
    sizes: tuple[int, ...], folders: list[str], tmp_path: Path
) -> None:
    tensors = write_whole(tmp_path / "hf")
    convert = states().convert_checkpoint
    convert(tmp_path / "hf", tmp_path / "plain", **settings(sizes))
    report = convert(
        tmp_path / "hf",
        tmp_path / "states",
        form="torch",
        verify=True,
        **settings(sizes),
    )
    assert [file.name for file in report.files] == [
        f"release/{folder}/{STATE}" for folder in folders
    ]
    assert (
        tmp_path / "states/latest_checkpointed_iteration.txt"
    ).read_text() == "release"
    for rank, folder in zip(mesh(sizes).ranks(), folders):
        file = tmp_path / "states/release" / folder / STATE
        expected = load_file(tmp_path / "plain" / states().rank_file(rank))
        for mapped in (False, True):
            state = torch.load(file, weights_only=True, mmap=mapped)
            assert list(state) == ["model", "checkpoint_version", "iteration"]
            assert (state["checkpoint_version"], state["iteration"]) == (3.0, 0)
            assert same(state["model"], expected)
        with zipfile.ZipFile(file) as found:
            assert found.testzip() is None
            data = [entry for entry in found.infolist() if "/data/" in entry.filename]
        for entry in data:
            head = (
                30
                + len(entry.filename)
                + int.from_bytes(
                    file.read_bytes()[entry.header_offset + 28 :][:2], "little"
                )
            )
            assert (entry.header_offset + head) % 64 == 0
    convert(tmp_path / "states", tmp_path / "back", to="hf")
    assert same(load_file(tmp_path / "back/model.safetensors"), tensors)


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    write_whole(tmp_path / "hf")
    for number, more in enumerate(
        ({}, {"threads": 3}, {"resume": True, "verify": True})
    ):
        given = {"form": "torch", **settings((2, 2, 2, 1)), **more}
        states().convert_checkpoint(tmp_path / "hf", tmp_path / f"{number}", **given)
    assert (
        files_of(tmp_path / "0") == files_of(tmp_path / "1") == files_of(tmp_path / "2")
    )


def test_going_on_with_files_that_are_there(tmp_path: Path) -> None:
    """A file that another run has left, sealed or not, comes to hold what a new one would."""
    write_whole(tmp_path / "hf")
    given = {"form": "torch", **settings((2, 1, 1, 2))}
    states().convert_checkpoint(tmp_path / "hf", tmp_path / "new", **given)
    partial = tmp_path / ".old.mapc-partial"
    shutil.copytree(tmp_path / "new/release", partial / "release")
    file = partial / "release/mp_rank_01_001" / STATE
    file.write_bytes(file.read_bytes().replace(b"PK\1\2", b"????"))
    states().convert_checkpoint(tmp_path / "hf", tmp_path / "old", resume=True, **given)
    assert files_of(tmp_path / "old") == files_of(tmp_path / "new")


@pytest.mark.parametrize(("sizes", "folders"), MESHES)
def test_what_torch_wrote_is_read(
    sizes: tuple[int, ...], folders: list[str], tmp_path: Path
) -> None:
    source = as_trained(tmp_path, sizes, folders)
    convert, given = states().convert_checkpoint, {"to": "hf", "mesh": mesh(sizes)}
    report = convert(source, tmp_path / "back", **given)
    assert report.not_copied == ("iter_0000005",)
    assert report.dropped == {"states.map:28": 2 * len(folders)}
    expected = load_file(tmp_path / "hf/model.safetensors")
    assert same(load_file(tmp_path / "back/model.safetensors"), expected)
    # The folder of an iteration is a checkpoint for itself.
    shutil.copy(source / "config.json", source / "iter_0000005")
    convert(source / "iter_0000005", tmp_path / "five", **given)
    assert same(load_file(tmp_path / "five/model.safetensors"), expected)


def test_the_mesh_is_seen_in_the_names(tmp_path: Path) -> None:
    source = as_trained(tmp_path, *MESHES[3])
    report = states().convert_checkpoint(
        source, tmp_path / "back", to="hf", plan_only=True
    )
    assert report.mesh == {"tp": 1, "pp": 2, "etp": 1, "ep": 2}


def test_all_parts_of_the_names_may_be_there(tmp_path: Path) -> None:
    source = as_trained(tmp_path, (1, 1, 1, 1), ["mp_rank_00_000_000"])
    report = states().convert_checkpoint(source, tmp_path / "back", to="hf")
    assert report.files[0].name == "model.safetensors"


def test_a_format_is_chosen_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_whole(tmp_path / "hf")
    paths = [str(tmp_path / "hf"), str(tmp_path / "states")]
    assert states().main(["to-mcore", *paths, "--format", "torch", "--quiet"]) == 0
    assert (tmp_path / "states/release/mp_rank_00" / STATE).is_file()
    assert states().main(["to-mcore", *paths, "--format", "dcp"]) == 2
    assert states().main(["to-hf", *paths, "--format", "torch"]) == 2
    with pytest.raises(states().UsageError) as error:
        states().convert_checkpoint(*paths, form="zip")
    assert (
        str(error.value) == "format of mcore: expected safetensors, torch, found 'zip'"
    )
    capsys.readouterr()


def test_more_than_four_gigabytes(tmp_path: Path) -> None:
    """Sizes and places beyond 32 bits; the file is a hole but for what stands between its tensors."""
    shapes = [(3,), (5 << 30,), (7,)]
    tensors = {f"t{n}": tensor_pickle("U8", shape, n) for n, shape in enumerate(shapes)}
    records = [ZipRecord(f"data/{n}", shape[0]) for n, shape in enumerate(shapes)]
    planned = plan_archive("archive", [*plain_records(tensors), *records])
    with open(tmp_path / "large.pt", "wb") as file:
        os.ftruncate(file.fileno(), planned.end)
        position = 0
        for frame, begin, shape in zip(
            planned.frames, (*planned.begins, 0), (*shapes, (0,))
        ):
            file.seek(position)
            file.write(frame)
            assert begin in (file.tell(), 0)
            position = begin + shape[0]
        assert file.tell() == planned.end
    found = torch.load(tmp_path / "large.pt", weights_only=True, mmap=True)
    assert [(name, tuple(tensor.shape)) for name, tensor in found.items()] == [
        (f"t{n}", shape) for n, shape in enumerate(shapes)
    ]
    with zipfile.ZipFile(tmp_path / "large.pt") as archive:
        assert [e.file_size for e in archive.infolist()][3:] == [s for (s,) in shapes]
