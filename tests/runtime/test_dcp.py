"""Checkpoints of torch.distributed.checkpoint: those that torch writes are read, and it reads ours."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import zipfile
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.distributed import checkpoint as dcp
from torch.distributed.checkpoint import planner

from .chunks import (
    Place,
    beside,
    chunks,
    grid,
    halves,
    stacked,
    write_chunks,
    write_whole,
)
from .files import files_of
from .states import same

pytestmark = pytest.mark.filterwarnings("ignore")  # torch says that it runs alone


def loaded(path: Path, like: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What torch loads."""
    found = {name: torch.zeros_like(tensor) for name, tensor in like.items()}
    dcp.load(found, checkpoint_id=path)
    return found


@pytest.mark.parametrize("most", [None, 400, 40])
def test_torch_reads_what_is_written(most: int | None, tmp_path: Path) -> None:
    tensors = write_whole(tmp_path / "hf")
    convert = chunks(most).convert_checkpoint
    given = {"verify": True, "max_shard_size": 1000 if most else "5GB"}
    report = convert(tmp_path / "hf", tmp_path / "dist", **given)
    expected = stacked(tmp_path / "hf")
    assert report.tensors_written == len(expected)
    assert same(loaded(tmp_path / "dist/release", expected), expected)
    release = tmp_path / "dist/release"
    assert (
        json.loads((release / "metadata.json").read_text())["sharded_backend"]
        == "torch_dist"
    )
    common = torch.load(release / "common.pt", weights_only=True)
    assert common == {"checkpoint_version": 3.0, "iteration": 0}
    found = dcp.FileSystemReader(release).read_metadata()
    for place in found.storage_data.values():
        file = release / place.relative_path
        data = file.read_bytes()[place.offset : place.offset + place.length]
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
        assert torch.load(io.BytesIO(data), weights_only=True).nbytes <= max(
            most or 1 << 26, 7 * 4 * 10
        )
    assert (len(report.files) > 1) == (most is not None)
    chunks().convert_checkpoint(
        tmp_path / "dist", tmp_path / "back", to="hf", verify=True
    )
    assert same(load_file(tmp_path / "back/model.safetensors"), tensors)


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    write_whole(tmp_path / "hf")
    for number, more in enumerate(
        ({}, {"threads": 3}, {"resume": True, "verify": True})
    ):
        given = {"max_shard_size": 2000, **more}
        chunks(300).convert_checkpoint(tmp_path / "hf", tmp_path / f"{number}", **given)
    assert (
        files_of(tmp_path / "0") == files_of(tmp_path / "1") == files_of(tmp_path / "2")
    )


def test_what_torch_wrote_is_read(tmp_path: Path) -> None:
    write_whole(tmp_path / "hf")
    state: dict[str, Any] = {
        name: tensor.clone() for name, tensor in stacked(tmp_path / "hf").items()
    }
    state["decoder.layers.fc1._extra_state/shard_0_3"] = io.BytesIO(b"scales")
    state["optimizer.state.exp_avg"] = torch.zeros(3)
    state["chained_0.optimizer.param_groups"] = [{"lr": 0.1}]
    state["scale.one"] = state["scale.one"].expand(4)[0]
    dcp.save(state, checkpoint_id=tmp_path / "dist")
    file = tmp_path / "dist/.metadata"
    found = pickle.loads(file.read_bytes())
    found.all_local_plans = [planner.SavePlan([])]  # Megatron keeps its plans
    file.write_bytes(pickle.dumps(found))
    beside(tmp_path / "dist")
    report = chunks().convert_checkpoint(
        tmp_path / "dist", tmp_path / "back", to="hf", verify=True
    )
    assert report.not_copied == ()
    assert sorted(report.dropped.values()) == [1, 2]
    assert same(
        load_file(tmp_path / "back/model.safetensors"),
        load_file(tmp_path / "hf/model.safetensors"),
    )


def ranges(name: str, shape: tuple[int, ...]) -> list[Place]:
    """Of the optimizer: ranges of the elements of a block, those of each data-parallel rank; else one chunk."""
    if "optimizer" not in name:
        return [((0,) * len(shape), shape)]
    blocks = list(product(*map(range, shape[:-1])))
    return [
        ((*at, first), (*(1 for _ in at), size))
        for at in blocks
        for first, size in ((0, 29), (29, shape[-1] - 29))
    ]


def test_flattened_ranges(tmp_path: Path) -> None:
    """Earlier versions of Megatron-Core wrote those of the optimizer so: by block of a rank, and the elements of each in a row.

    A tensor of the model is none of them, and is not put together from what might be one: its shape is another.
    """
    write_whole(tmp_path / "hf")
    tensors = stacked(tmp_path / "hf")
    name = "decoder.layers.turned.weight"
    blocks = tensors[name].view(3, 7, 2, 5).transpose(1, 2).reshape(3, 1, 2, 35)
    state = {f"optimizer.state.exp_avg.{name}": blocks.float()}
    write_chunks(tmp_path / "dist", tensors | state, ranges)
    like = {each: torch.zeros_like(tensor) for each, tensor in state.items()}
    dcp.load(like, checkpoint_id=tmp_path / "dist")
    assert same(like, state)
    chunks().convert_checkpoint(tmp_path / "dist", tmp_path / "back", to="hf")
    assert same(
        load_file(tmp_path / "back/model.safetensors"),
        load_file(tmp_path / "hf/model.safetensors"),
    )
    write_chunks(tmp_path / "flat", tensors | {name: blocks}, ranges)
    with pytest.raises(chunks().ConversionError) as error:
        chunks().convert_checkpoint(tmp_path / "flat", tmp_path / "never", to="hf")
    assert str(error.value) == (
        f"{tmp_path}/flat/.metadata: {name} [i e f]: expected [3, 7, 10] (f=10 e=7 i=3), found [3, 1, 2, 35] "
        "(chunks.map:27)"
    )


RANKS = """
import os, sys
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch.distributed import checkpoint as dcp
try:
    from torch.distributed.tensor import DeviceMesh, Shard, Replicate, distribute_tensor
except ImportError:
    from torch.distributed._tensor import DeviceMesh, Shard, Replicate, distribute_tensor

def main(rank, folder, sizes):
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=sizes[0] * sizes[1])
    mesh = DeviceMesh("cpu", torch.arange(sizes[0] * sizes[1]).view(sizes))
    state = {}
    for name, tensor in load_file(f"{folder}/stacked.safetensors").items():
        places = [Replicate(), Replicate()]
        if tensor.dim() > 1 and tensor.numel():
            places = [Shard(0), Shard(tensor.dim() - 1 if "fc2" in name else 1)]
        state[name] = distribute_tensor(tensor.clone(), mesh, places) if tensor.dim() and tensor.numel() else tensor.clone()
    dcp.save(state, checkpoint_id=f"{folder}/dist")
    loaded = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    dcp.load(loaded, checkpoint_id=f"{folder}/ours/release")
    for name, tensor in state.items():
        one, other = (each.to_local() if hasattr(each, "to_local") else each for each in (tensor, loaded[name]))
        assert torch.equal(one, other), name
    dist.destroy_process_group()

main(int(sys.argv[1]), sys.argv[2], tuple(map(int, sys.argv[3].split(","))))
"""


@pytest.mark.parametrize("sizes", ["2,2", pytest.param("1,4", marks=pytest.mark.long)])
def test_four_ranks_write_what_is_read_and_read_what_is_written(
    sizes: str, tmp_path: Path
) -> None:
    write_whole(tmp_path / "hf")
    chunks(400).convert_checkpoint(tmp_path / "hf", tmp_path / "ours", to="dist")
    plain = {
        name: one.clone()
        for name, one in stacked(tmp_path / "hf").items()
        if one.dtype != torch.float8_e4m3fn
    }
    save_file(plain, tmp_path / "stacked.safetensors")
    (tmp_path / "ranks.py").write_text(RANKS)
    command = [sys.executable, "-W", "ignore", str(tmp_path / "ranks.py")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen([*command, str(rank), str(tmp_path), sizes], env=environment)
        for rank in range(4)
    ]
    assert [child.wait(120) for child in running] == [0] * 4
    assert len(list((tmp_path / "dist").glob("*.distcp"))) == 4
    beside(tmp_path / "dist")
    chunks().convert_checkpoint(
        tmp_path / "dist", tmp_path / "back", to="hf", verify=True
    )
    expected = load_file(tmp_path / "hf/model.safetensors")
    del expected["scale.small"]
    assert same(load_file(tmp_path / "back/model.safetensors"), expected)


@pytest.mark.parametrize("seed", range(4))
def test_chunks_of_any_grid(seed: int, tmp_path: Path) -> None:
    write_whole(tmp_path / "hf")
    draw = random.Random(seed)
    write_chunks(
        tmp_path / "dist",
        stacked(tmp_path / "hf"),
        lambda _, shape: list(grid(shape, draw)),
    )
    chunks().convert_checkpoint(
        tmp_path / "dist", tmp_path / "back", to="hf", verify=True
    )
    assert same(
        load_file(tmp_path / "back/model.safetensors"),
        load_file(tmp_path / "hf/model.safetensors"),
    )


def test_the_folder_of_an_iteration(tmp_path: Path) -> None:
    write_whole(tmp_path / "hf")
    write_chunks(tmp_path / "dist", stacked(tmp_path / "hf"), halves)
    run = tmp_path / "run"
    shutil.copytree(tmp_path / "dist", run / "iter_0000030")
    (run / "latest_checkpointed_iteration.txt").write_text("30")
    shutil.move(run / "iter_0000030/config.json", run / "config.json")
    chunks().convert_checkpoint(run, tmp_path / "back", to="hf")
    assert same(
        load_file(tmp_path / "back/model.safetensors"),
        load_file(tmp_path / "hf/model.safetensors"),
    )


def test_the_same_weights_have_the_same_fingerprint(tmp_path: Path) -> None:
    write_whole(tmp_path / "hf")
    draw = random.Random(7)
    write_chunks(
        tmp_path / "dist",
        stacked(tmp_path / "hf"),
        lambda _, shape: list(grid(shape, draw)),
    )
    found = [
        chunks().fingerprint_checkpoint(tmp_path / name).sha256
        for name in ("hf", "dist")
    ]
    assert found[0] == found[1]
    assert not chunks().diff_checkpoints(tmp_path / "hf", tmp_path / "dist").different
