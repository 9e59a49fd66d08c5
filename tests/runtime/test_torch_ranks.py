"""Files of torch.save a rank, each with a state of training: those that torch writes are read, and it reads ours."""

from __future__ import annotations

import argparse
import collections
import io
import json
import os
import random
import shutil
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from mapc.templates.runtime.torch_output import plain_records, tensor_pickle
from mapc.templates.runtime.zip_files import ZipRecord, plan_archive
from safetensors.torch import load_file, save_file

from .files import files_of
from .toy import load

CONFIG = {"layers": 5, "e": 7, "f": 12, "experts": 4}
# tp, pp, etp, ep, and what their files are called
MESHES = [
    ((1, 1, 1, 1), ["mp_rank_00"]),
    ((2, 1, 1, 2), ["mp_rank_00_000", "mp_rank_01_001"]),
    (
        (2, 2, 2, 1),
        ["mp_rank_00_000", "mp_rank_01_000", "mp_rank_00_001", "mp_rank_01_001"],
    ),
    (
        (1, 2, 1, 2),
        [
            "mp_rank_00_000_000",
            "mp_rank_00_000_001",
            "mp_rank_00_001_000",
            "mp_rank_00_001_001",
        ],
    ),
]
STATE = "model_optim_rng.pt"


def states() -> ModuleType:
    return load(Path(__file__).parent / "states.map")


def mesh(sizes: tuple[int, ...]) -> Any:
    return states().Mesh(**dict(zip(("tp", "pp", "etp", "ep"), sizes)))


def settings(sizes: tuple[int, ...]) -> dict[str, Any]:
    return {"mesh": mesh(sizes), "halves": sizes[1] == 2}


def write_whole(path: Path) -> dict[str, torch.Tensor]:
    """A checkpoint whose elements all differ, some of it in other dtypes."""
    tensors, count = {}, 0
    config = states().Config.from_hf(CONFIG)
    for name, (shape, _) in states().expected_hf(config).items():
        size = int(np.prod(shape))
        tensors[name] = torch.arange(count, count + size, dtype=torch.int32).view(shape)
        count += size
    tensors["embed.weight"] = tensors["embed.weight"].to(torch.bfloat16)
    tensors["scale.one"] = torch.tensor(2.5, dtype=torch.float64)
    tensors["scale.none"] = torch.zeros(0, 3, dtype=torch.float16)
    if hasattr(torch, "uint16"):  # which the oldest torch lacks
        tensors["scale.two"] = torch.arange(5, dtype=torch.int16).view(torch.uint16)
    tensors["scale.small"] = torch.arange(3).to(torch.float8_e4m3fn)
    path.mkdir(parents=True)
    save_file(tensors, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps(CONFIG))
    return tensors


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(
        (
            one[name].dtype == tensor.dtype
            and one[name].shape == tensor.shape
            and one[name]
            .contiguous()
            .view(torch.uint8)
            .equal(tensor.contiguous().view(torch.uint8))
            if tensor.dim()
            else one[name].equal(tensor)
        )
        for name, tensor in other.items()
    )


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


def training_state(model: dict[str, Any]) -> dict[str, Any]:
    """What a training saves besides its model."""
    moments = {"step": 3, "exp_avg": torch.zeros(3)}
    groups = [{"lr": 1e-3, "betas": (0.9, 0.95), "params": [0]}]
    rng = {
        "random_rng_state": random.getstate(),
        "np_rng_state": np.random.get_state(),
        "torch_rng_state": torch.get_rng_state(),
        "rng_tracker_states": {},
    }
    said = {"sizes": {1, 2}, "path": Path("a"), "signal": signal.SIGTERM, "none": None}
    return {
        "args": argparse.Namespace(params_dtype=torch.bfloat16, big=2**70, **said),
        "checkpoint_version": 3.0,
        "iteration": 17,
        "model": model,
        "optimizer": {"state": {0: moments}, "param_groups": groups, ("a", 1): 2},
        "opt_param_scheduler": collections.defaultdict(list, lr=[0.5]),
        "queue": collections.deque([1]),
        "rng_state": [rng],
    }


def as_trained(path: Path, sizes: tuple[int, ...], folders: list[str]) -> Path:
    """A checkpoint as a training leaves it, in the place of one of safetensors files."""
    write_whole(path / "hf")
    states().convert_checkpoint(path / "hf", path / "plain", **settings(sizes))
    for rank, folder in zip(mesh(sizes).ranks(), folders):
        found = load_file(path / "plain" / states().rank_file(rank))
        # Copies, since torch does not save all tensors that load_file makes.
        model: dict[str, Any] = {name: one.clone() for name, one in found.items()}
        model["decoder.layers.0.norm._extra_state"] = io.BytesIO(b"scales")
        model["decoder.final._extra_state"] = None
        for steps in (5, 17):
            file = path / f"trained/iter_{steps:07}" / folder / STATE
            file.parent.mkdir(parents=True)
            torch.save(training_state(model), file)
    (path / "trained/latest_checkpointed_iteration.txt").write_text("17\n")
    config = json.loads((path / "plain/config.json").read_text())
    del config["mapc"]
    (path / "trained/config.json").write_text(json.dumps(config))
    return path / "trained"


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


class Code:
    """Pickled as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def changed(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], object]:
    """Another state in the file of rank 0."""

    def broken(source: Path) -> None:
        file = source / "iter_0000017/mp_rank_00_000" / STATE
        state = training_state(dict(torch.load(file, weights_only=False)["model"]))
        made = change(state)
        torch.save(state if made is None else made, file)

    return broken


FILE = f"SOURCE/iter_0000017/mp_rank_00_000/{STATE}"
TOUCH = Code(os.system, "touch evil")
REFUSED: list[tuple[str, Callable[[Path], object], str]] = [
    (
        "code in the arguments",
        changed(lambda state: vars(state["args"]).update(evil=TOUCH)),
        f"{FILE}: expected a zip file of plain tensors, as torch.save writes it, found posix.system in its pickle, which is not run",
    ),
    (
        "code beside the model",
        changed(lambda state: state.update(evil=[{"a": (1, TOUCH)}])),
        f"{FILE}: expected a zip file of plain tensors, as torch.save writes it, found posix.system in its pickle, which is not run",
    ),
    (
        "code for a tensor",
        changed(lambda state: state["model"].update({"scale.one": TOUCH})),
        f"{FILE}: expected a zip file of plain tensors, as torch.save writes it, found posix.system in its pickle, which is not run",
    ),
    (
        "a function of a package that is known, for a tensor",
        changed(
            lambda state: state["model"].update({"scale.one": argparse.Namespace(a=1)})
        ),
        f"{FILE}: scale.one (rank tp=0 pp=0 etp=0 ep=0): expected a tensor, found something else, which is not read (states.map:27)",
    ),
    (
        "something else for a tensor with axes",
        changed(lambda state: state["model"].update({"embedding.weight": None})),
        f"{FILE}: embedding.weight (rank tp=0 pp=0 etp=0 ep=0) [f@tp e]: expected a tensor, found something else, which is not read (states.map:22)",
    ),
    (
        "a number for a tensor",
        changed(lambda state: state["model"].update({"scale.one": 2.5})),
        f"{FILE}: scale.one: expected a name and a tensor, found float; save a flat dictionary of tensors",
    ),
    (
        "a model in a model",
        changed(lambda state: state.update(model={"language_model": state["model"]})),
        f"{FILE}: language_model: expected a name and a tensor, found dict; save a flat dictionary of tensors",
    ),
    (
        "no model",
        changed(lambda state: state.pop("model") and None),
        f"{FILE}: expected a dictionary whose `model` is one of tensors, found one that has args, checkpoint_version, iteration",
    ),
    (
        "a virtual stage without a model",
        changed(lambda state: state.update(model0=state.pop("model"), model2={})),
        f"{FILE}: expected a dictionary whose `model` is one of tensors, found one that has args, checkpoint_version, iteration",
    ),
    (
        "tensors and no state",
        changed(lambda state: state["model"]),
        f"{FILE}: expected a dictionary whose `model` is one of tensors, found the tensors themselves",
    ),
    (
        "a list for a state",
        changed(lambda state: [state]),
        f"{FILE}: expected a dictionary whose `model` is one of tensors, found list",
    ),
    (
        "names that are no names",
        changed(lambda state: state["model"].update({("a", 1): torch.ones(1)})),
        f"{FILE}: expected a zip file of plain tensors, as torch.save writes it, found in its pickle a tuple for a name",
    ),
    (
        "a rank that is missing",
        lambda source: (source / "iter_0000017/mp_rank_01_001" / STATE).unlink(),
        f"SOURCE/iter_0000017/mp_rank_01_001/{STATE}: expected for rank tp=1 pp=0 etp=0 ep=1 of tp=2 pp=1 etp=1 ep=2, found none; fetch it, or say which mesh it is",
    ),
    (
        "a rank too many",
        lambda source: shutil.copytree(
            source / "iter_0000017/mp_rank_01_001",
            source / "iter_0000017/mp_rank_01_002",
        ),
        f"SOURCE/iter_0000017/mp_rank_01_002/{STATE}: expected the 2 files of tp=2 pp=1 etp=1 ep=2, found this one too; say which mesh it is, or remove the file",
    ),
    (
        "the latest that is missing",
        lambda source: (source / "latest_checkpointed_iteration.txt").write_text("6"),
        "SOURCE/latest_checkpointed_iteration.txt: expected the folder iter_0000006, which it names, found none",
    ),
    (
        "the latest that is no number",
        lambda source: (source / "latest_checkpointed_iteration.txt").write_text(
            "../x"
        ),
        "SOURCE/latest_checkpointed_iteration.txt: expected a number of steps or 'release', found '../x'",
    ),
    (
        "files of both formats",
        lambda source: shutil.copytree(
            source.parent / "plain", source, dirs_exist_ok=True
        ),
        "SOURCE: expected rank files in one format, found those of safetensors and of torch; move the others elsewhere",
    ),
]


@pytest.mark.parametrize(
    ("broken", "message"),
    [kind[1:] for kind in REFUSED],
    ids=[kind[0] for kind in REFUSED],
)
def test_it_is_refused(
    broken: Callable[[Path], object],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    sizes, folders = MESHES[1]
    source = as_trained(tmp_path, sizes, folders)
    broken(source)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(states().ConversionError) as error:
        states().convert_checkpoint(
            source, tmp_path / "never", to="hf", mesh=mesh(sizes)
        )
    assert str(error.value).replace(str(source), "SOURCE") == message
    assert sorted(os.listdir(tmp_path)) == before


def test_names_that_leave_the_mesh_open(tmp_path: Path) -> None:
    source = as_trained(tmp_path, *MESHES[1])
    with pytest.raises(states().ConversionError) as error:
        states().convert_checkpoint(source, tmp_path / "never", to="hf")
    assert str(error.value).replace(str(source), "SOURCE") == (
        f"SOURCE/iter_0000017/mp_rank_00_000/{STATE}: expected to be told the mesh, since this name leaves open "
        "whose number it has; say which mesh it is"
    )


def test_ranks_that_names_do_not_tell_apart(tmp_path: Path) -> None:
    write_whole(tmp_path / "hf")
    with pytest.raises(states().ConversionError) as error:
        states().convert_checkpoint(
            tmp_path / "hf", tmp_path / "never", form="torch", mesh=mesh((1, 1, 2, 1))
        )
    assert str(error.value) == (
        f"release/mp_rank_00/{STATE}: expected the file of one rank, found it for tp=0 pp=0 etp=0 ep=0 and for "
        "tp=0 pp=0 etp=1 ep=0, which this format does not tell apart; choose another mesh"
    )


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
