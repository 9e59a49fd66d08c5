"""Checkpoints of torch.distributed.checkpoint: those that torch writes are read, and it reads ours."""

from __future__ import annotations

import io
import json
import math
import os
import pickle
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.distributed import checkpoint as dcp
from torch.distributed.checkpoint import filesystem, metadata, planner

from .files import files_of
from .test_torch_ranks import Code, same
from .toy import load

CONFIG = {"layers": 3, "e": 7, "f": 10, "groups": 2, "experts": 4}
pytestmark = pytest.mark.filterwarnings("ignore")  # torch says that it runs alone


def chunks(most: int | None = None) -> ModuleType:
    """The converter, that writes chunks of so many bytes."""
    made = load(Path(__file__).parent / "chunks.map")
    made.MOST_IN_CHUNK = most or 1 << 26
    return made


def write_whole(path: Path) -> dict[str, torch.Tensor]:
    """A checkpoint whose elements all differ, some of it in other dtypes."""
    shapes: dict[str, tuple[int, ...]] = {"embed.weight": (10, 7)}
    for i in range(3):
        layer = {
            "norm": (7,),
            "gate": (10, 7),
            "up": (10, 7),
            "q": (6, 7),
            "k": (2, 7),
            "turned": (10, 7),
        }
        layer |= {f"experts.{x}.down": (7, 10) for x in range(4)}
        shapes |= {f"layers.{i}.{name}.weight": shape for name, shape in layer.items()}
    tensors, count = {}, 0
    for name, shape in shapes.items():
        size = math.prod(shape)
        tensors[name] = torch.arange(count, count + size, dtype=torch.int32).view(shape)
        count += size
    tensors["embed.weight"] = tensors["embed.weight"].to(torch.bfloat16)
    tensors["scale.one"] = torch.tensor(2.5, dtype=torch.float64)
    tensors["scale.none"] = torch.zeros(0, 3, dtype=torch.float16)
    tensors["scale.small"] = torch.arange(3).to(torch.float8_e4m3fn)
    path.mkdir(parents=True)
    save_file(tensors, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps(CONFIG))
    return tensors


def stacked(path: Path) -> dict[str, torch.Tensor]:
    """What the checkpoint in a folder is on the other side."""
    tensors, config = load_file(path / "model.safetensors"), chunks().Config.from_hf(
        CONFIG
    )
    return dict(chunks().to_dist(tensors, config))


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


def beside(path: Path) -> None:
    """The config, and what Megatron writes besides the chunks."""
    (path / "config.json").write_text(json.dumps(CONFIG))
    said = {"sharded_backend": "torch_dist", "sharded_backend_version": 1}
    (path / "metadata.json").write_text(json.dumps(said))


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


Place = tuple[tuple[int, ...], tuple[int, ...]]


def grid(shape: tuple[int, ...], random: random.Random) -> Iterator[Place]:
    """Boxes that make up a tensor: it is cut, and the parts are, along axes that are drawn."""
    axes = [axis for axis, size in enumerate(shape) if size > 1]
    if not axes or random.random() < 0.15:
        yield (0,) * len(shape), shape
        return
    axis = random.choice(axes)
    at = random.randrange(1, shape[axis])
    for first, size in ((0, at), (at, shape[axis] - at)):
        for offsets, sizes in grid((*shape[:axis], size, *shape[axis + 1 :]), random):
            yield (*offsets[:axis], offsets[axis] + first, *offsets[axis + 1 :]), sizes


def write_chunks(
    path: Path,
    tensors: dict[str, torch.Tensor],
    places: Callable[[str, tuple[int, ...]], list[Place]],
) -> metadata.Metadata:
    """A checkpoint of any chunks, in the classes of torch."""
    path.mkdir()
    size, files = metadata.ChunkStorageMetadata, [io.BytesIO(), io.BytesIO()]
    state, storage = {}, {}
    for name, tensor in tensors.items():
        boxes = places(name, tuple(tensor.shape))
        sizes = [size(torch.Size(one), torch.Size(other)) for one, other in boxes]
        kind = metadata.TensorProperties(dtype=tensor.dtype)
        state[name] = metadata.TensorStorageMetadata(
            kind, torch.Size(tensor.shape), sizes
        )
        for number, (offsets, counts) in enumerate(boxes):
            part = tensor[tuple(slice(a, a + n) for a, n in zip(offsets, counts))]
            file = files[number % 2]
            begin = file.tell()
            torch.save(part.clone(memory_format=torch.contiguous_format), file)
            index = metadata.MetadataIndex(name, torch.Size(offsets))
            where = f"__{number % 2}_0.distcp", begin, file.tell() - begin
            storage[index] = filesystem._StorageInfo(*where)
    for number, file in enumerate(files):
        (path / f"__{number}_0.distcp").write_bytes(file.getvalue())
    found = metadata.Metadata(state, None, storage)
    (path / ".metadata").write_bytes(pickle.dumps(found))
    beside(path)
    return found


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


def halves(name: str, shape: tuple[int, ...]) -> list[Place]:
    """Two chunks of the norms, one of everything else."""
    if name != "decoder.layers.norm.weight":
        return [((0,) * len(shape), shape)]
    return [((0, 0), (2, 7)), ((2, 0), (1, 7))]


NORM = "decoder.layers.norm.weight"
AT = metadata.MetadataIndex(NORM, torch.Size((2, 0)))


def said(
    change: Callable[[metadata.Metadata], object],
) -> Callable[[Path, metadata.Metadata], object]:
    """Metadata that say something else."""

    def broken(path: Path, found: metadata.Metadata) -> None:
        change(found)
        (path / ".metadata").write_bytes(pickle.dumps(found))

    return broken


def chunk(
    number: int, offsets: tuple[int, ...], sizes: tuple[int, ...]
) -> Callable[[Path, metadata.Metadata], object]:
    """Another box for a chunk of the norms, at the same bytes."""

    def change(found: metadata.Metadata) -> None:
        entry = found.state_dict_metadata[NORM]
        old = metadata.MetadataIndex(NORM, entry.chunks[number].offsets)
        made = metadata.ChunkStorageMetadata(torch.Size(offsets), torch.Size(sizes))
        entry.chunks[number] = made
        place = found.storage_data.pop(old)
        found.storage_data[metadata.MetadataIndex(NORM, torch.Size(offsets))] = place

    return said(change)


def place(**changes: Any) -> Callable[[Path, metadata.Metadata], object]:
    """Another place for a chunk of the norms."""
    return said(lambda found: vars(found.storage_data[AT]).update(changes))


SAID = "SOURCE/.metadata"
NO_METADATA = f"{SAID}: expected the metadata of a torch.distributed checkpoint"
REFUSED: list[tuple[str, Callable[[Path, metadata.Metadata], object], str]] = [
    (
        "code in the metadata",
        said(
            lambda found: setattr(found, "planner_data", Code(os.system, "touch evil"))
        ),
        f"{NO_METADATA}, found posix.system in it, which is not run",
    ),
    (
        "code for the metadata",
        lambda path, _: (path / ".metadata").write_bytes(
            pickle.dumps(Code(os.system, "touch evil"))
        ),
        f"{NO_METADATA}, found posix.system in it, which is not run",
    ),
    (
        "metadata of something else",
        lambda path, _: (path / ".metadata").write_bytes(pickle.dumps({"a": 1})),
        f"{NO_METADATA}, found a pickle of something else",
    ),
    (
        "metadata that are cut off",
        lambda path, _: os.truncate(path / ".metadata", 900),
        f"{NO_METADATA}, found a pickle that is cut off or broken",
    ),
    (
        "no metadata",
        lambda path, _: (path / ".metadata").unlink(),
        f"{NO_METADATA}, found none",
    ),
    (
        "another backend",
        lambda path, _: (path / "metadata.json").write_text(
            '{"sharded_backend": "zarr"}'
        ),
        "SOURCE/metadata.json: sharded_backend: expected torch_dist, found 'zarr'",
    ),
    (
        "a file that is missing",
        lambda path, _: (path / "__1_0.distcp").unlink(),
        "SOURCE/__1_0.distcp: expected a file, found none",
    ),
    (
        "a file that is cut off",
        lambda path, _: os.truncate(path / "__1_0.distcp", 500),
        f"SOURCE/__1_0.distcp: {NORM}: expected a chunk of LENGTH bytes from byte 0 on, found a file of 500",
    ),
    (
        "a hole",
        said(lambda found: found.state_dict_metadata[NORM].chunks.pop()),
        f"{SAID}: {NORM}: expected chunks that hold each of 21 elements once, found 1 that leave a hole",
    ),
    (
        "chunks that overlap",
        chunk(1, (1, 0), (2, 7)),
        f"{SAID}: {NORM}: expected chunks that hold each of 21 elements once, found 2 that overlap",
    ),
    (
        "chunks that overlap and leave a hole",
        chunk(1, (1, 0), (1, 7)),
        f"{SAID}: {NORM}: expected chunks that hold each of 21 elements once, found 2 that overlap",
    ),
    (
        "a chunk outside of its tensor",
        chunk(1, (3, 0), (1, 7)),
        f"{SAID}: {NORM}: expected chunks of [3, 7], found one of [1, 7] at [3, 0]",
    ),
    (
        "a chunk of other axes",
        chunk(1, (2,), (1,)),
        f"{SAID}: {NORM}: expected chunks of [3, 7], found one of [1] at [2]",
    ),
    (
        "a chunk that is stored nowhere",
        said(lambda found: found.storage_data.pop(AT)),
        f"{SAID}: {NORM}: expected to be told where the chunk at [2, 0] is stored, found nothing",
    ),
    (
        "the bytes of another chunk",
        said(
            lambda found: vars(found.storage_data[AT]).update(
                vars(
                    found.storage_data[metadata.MetadataIndex(NORM, torch.Size((0, 0)))]
                )
            )
        ),
        f"SOURCE/__0_0.distcp: {NORM}: expected I32 [1, 7] from byte BEGIN on, found I32 [2, 7]",
    ),
    (
        "bytes in the middle of a chunk",
        place(offset=64),
        f"SOURCE/__1_0.distcp: {NORM}: expected a chunk of LENGTH bytes from byte 64 on, found a file of LENGTH",
    ),
    (
        "a place that begins nowhere",
        place(offset=64, length=700),
        "SOURCE/__1_0.distcp: expected a zip file of plain tensors, as torch.save writes it, found a file that begins with BYTES",
    ),
    (
        "a place below 0",
        place(offset=-1),
        f"{NO_METADATA}, found a pickle of something else",
    ),
    (
        "a path",
        place(relative_path="../dist/__1_0.distcp"),
        f"{SAID}: {NORM}: expected the name of a file beside it, found '../dist/__1_0.distcp'",
    ),
    (
        "bytes that are transformed",
        place(transform_descriptors=["zstd"]),
        f"{SAID}: {NORM}: expected bytes as they are, found them transformed; save without extensions",
    ),
    (
        "another dtype",
        said(
            lambda found: setattr(
                found.state_dict_metadata[NORM].properties, "dtype", torch.float32
            )
        ),
        f"SOURCE/__0_0.distcp: {NORM}: expected F32 [2, 7] from byte BEGIN on, found I32 [2, 7]",
    ),
    (
        "a dtype that is none",
        said(
            lambda found: setattr(
                found.state_dict_metadata[NORM].properties, "dtype", torch.complex128
            )
        ),
        f"{SAID}: {NORM} [i e]: expected a tensor, found something else, which is not read (chunks.map:21)",
    ),
    (
        "a list for a chunk",
        lambda path, found: rewritten(path, found, [1, 2]),
        f"SOURCE/__1_0.distcp: {NORM}: expected a tensor from byte 0 on, found list",
    ),
    (
        "code for a chunk",
        lambda path, found: rewritten(path, found, Code(os.system, "touch evil")),
        f"SOURCE/__1_0.distcp: {NORM}: expected a tensor from byte 0 on, found posix.system",
    ),
]


def rewritten(path: Path, found: metadata.Metadata, value: Any) -> None:
    """Something else for a chunk of the norms."""
    torch.save(value, path / "__1_0.distcp")
    found.storage_data[AT].length = (path / "__1_0.distcp").stat().st_size
    (path / ".metadata").write_bytes(pickle.dumps(found))


@pytest.mark.parametrize(
    ("broken", "message"),
    [kind[1:] for kind in REFUSED],
    ids=[kind[0] for kind in REFUSED],
)
def test_it_is_refused(
    broken: Callable[[Path, metadata.Metadata], object],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_whole(tmp_path / "hf")
    source = tmp_path / "dist"
    found = write_chunks(source, stacked(tmp_path / "hf"), halves)
    first = found.storage_data[metadata.MetadataIndex(NORM, torch.Size((0, 0)))]
    length, begin = found.storage_data[AT].length, first.offset
    start = (source / "__1_0.distcp").read_bytes()[64:72]
    broken(source, found)
    message = (
        message.replace("LENGTH", f"{length}")
        .replace("BEGIN", f"{begin}")
        .replace("BYTES", f"{start!r}")
    )
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(chunks().ConversionError) as error:
        chunks().convert_checkpoint(source, tmp_path / "never", to="hf")
    assert str(error.value).replace(str(source), "SOURCE") == message
    assert sorted(os.listdir(tmp_path)) == before


def test_a_chunk_that_changes_is_refused(tmp_path: Path) -> None:
    write_whole(tmp_path / "hf")
    write_chunks(tmp_path / "dist", stacked(tmp_path / "hf"), halves)
    file = tmp_path / "dist/__1_0.distcp"

    def change(what: str) -> None:
        if what == "writing":
            os.utime(file, (1, 1))

    with pytest.raises(chunks().ConversionError) as error:
        chunks().convert_checkpoint(
            tmp_path / "dist", tmp_path / "never", to="hf", announce=change
        )
    assert "the file was changed while it was read" in str(error.value)
    assert not (tmp_path / "never").exists()


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
