"""Safetensors files, written and read in a few lines each, so that nothing here rests on the code that is measured."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

BYTES = {"F32": 4, "BF16": 2, "F8_E4M3": 1}
UNSIGNED = {4: np.uint32, 2: np.uint16, 1: np.uint8}
PIECE = 1 << 24

Array = np.ndarray[Any, Any]


class Spec(NamedTuple):
    """A tensor without its data."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """In bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * BYTES[self.dtype]


class Stored(NamedTuple):
    """A tensor of a file: its dtype, and its bits as unsigned integers, mapped and not yet read."""

    dtype: str
    bits: Array


def write_file(path: Path, tensors: Mapping[str, Spec], seed: int | None) -> None:
    """Random finite numbers, the same for the same seed; without a seed a sparse file of zeros."""
    entries, end = {}, 0
    for name, spec in tensors.items():
        place = [end, end := end + spec.size]
        shape = list(spec.shape)
        entries[name] = {"dtype": spec.dtype, "shape": shape, "data_offsets": place}
    text = json.dumps(entries).encode()
    text += b" " * (-(len(text) + 8) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        if seed is None:
            file.truncate(8 + len(text) + end)
        else:
            for piece in _finite(end, seed):
                file.write(piece)


def _finite(size: int, seed: int) -> Iterator[bytes]:
    """Bits of which no exponent is full, be they read as bfloat16 or as float32."""
    drawn = np.random.default_rng(seed)
    for start in range(0, size, PIECE):
        bits = drawn.integers(0, 1 << 16, PIECE // 2, dtype=np.uint16)
        yield (bits & 0xBF7F).tobytes()[: size - start]


def write_shards(
    folder: Path, tensors: Mapping[str, Spec], most: int, seed: int | None
) -> None:
    """Shards of at most `most` bytes, with their index, as a hub has them."""
    shards: list[dict[str, Spec]] = [{}]
    filled = 0
    for name, spec in tensors.items():
        if shards[-1] and filled + spec.size > most:
            shards.append({})
            filled = 0
        shards[-1][name] = spec
        filled += spec.size
    index = {}
    for number, shard in enumerate(shards):
        file = f"model-{number + 1:05}-of-{len(shards):05}.safetensors"
        write_file(folder / file, shard, None if seed is None else seed + number)
        index |= dict.fromkeys(shard, file)
    document = {"metadata": {}, "weight_map": index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(document))


def read_folder(folder: Path) -> dict[str, Stored]:
    """All tensors below a folder. In the files of subfolders they are called `SUBFOLDER/NAME`."""
    found = {}
    for path in sorted(folder.rglob("*.safetensors")):
        below = path.parent.relative_to(folder).as_posix()
        for name, stored in read_file(path):
            found[name if below == "." else f"{below}/{name}"] = stored
    return found


def read_file(path: Path) -> Iterator[tuple[str, Stored]]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entries = json.loads(file.read(length))
    data = np.memmap(path, mode="r", offset=8 + length)
    for name, entry in entries.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            bits = data[start:end].view(UNSIGNED[BYTES[entry["dtype"]]])
            yield name, Stored(entry["dtype"], bits.reshape(entry["shape"]))
