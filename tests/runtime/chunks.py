"""Checkpoints of chunks.map: what goes in, and chunks of any sizes in the classes of torch."""

from __future__ import annotations

import io
import json
import math
import pickle
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import load_file, save_file
from torch.distributed.checkpoint import filesystem, metadata

from .toy import load

CONFIG = {"layers": 3, "e": 7, "f": 10, "groups": 2, "experts": 4}


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


def beside(path: Path) -> None:
    """The config, and what Megatron writes besides the chunks."""
    (path / "config.json").write_text(json.dumps(CONFIG))
    said = {"sharded_backend": "torch_dist", "sharded_backend_version": 1}
    (path / "metadata.json").write_text(json.dumps(said))


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


def halves(name: str, shape: tuple[int, ...]) -> list[Place]:
    """Two chunks of the norms, one of everything else."""
    if name != "decoder.layers.norm.weight":
        return [((0,) * len(shape), shape)]
    return [((0, 0), (2, 7)), ((2, 0), (1, 7))]
