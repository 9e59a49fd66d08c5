"""A checkpoint of both layouts of toy.map, worked out element by element, and its conversion."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .files import WIDTHS, Stored, coded, write
from .toy import load_toy

LAYERS, E, G, H, D, F, V, PADDED = 4, 5, 6, 3, 2, 14, 29, 32
SIZES = {"layers": LAYERS, "e": E, "g": G, "h": H, "d": D, "f": F, "v": V}
SHAPES = {
    "norm": (E,),
    "q": (G * H * D, E),
    "k": (G * D, E),
    "v": (G * D, E),
    "down": (E, F),
    "up": (E, F),
}


def to_mcore(source: Path, target: Path, tp: int = 1, pp: int = 1, **how: Any) -> Any:
    """Convert to ranks; the report."""
    toy = load_toy()
    how.setdefault("vocab_multiple", 8)
    return toy.convert_directory(
        toy.converter(), source, target, to="mcore", mesh=toy.Mesh(tp, pp), **how
    )


def to_hf(source: Path, target: Path, **how: Any) -> Any:
    """Convert from ranks; the report."""
    toy = load_toy()
    return toy.convert_directory(toy.converter(), source, target, to="hf", **how)


def rank_file(tp: int, pp: int) -> str:
    return f"mp_rank_{tp:02}_{pp:03}/model.safetensors"


def hf_tensors(dtype: str = "BF16", tied: bool = False) -> dict[str, Stored]:
    """The hf tensors in checkpoint order."""
    tensors = {"embed.weight": coded(0, dtype, V, E)}
    if tied:
        tensors["lm_head.weight"] = tensors["embed.weight"]
    for i in range(LAYERS):
        for name, shape in SHAPES.items():
            tensors[f"layers.{i}.{name}.weight"] = coded(len(tensors), dtype, *shape)
    return {**tensors, "final.weight": coded(len(tensors), dtype, E)}


def write_hf(
    path: Path, tensors: dict[str, Stored] | None = None, **config: Any
) -> Path:
    """A source directory of the hf layout."""
    write(path / "model.safetensors", hf_tensors() if tensors is None else tensors)
    sizes = {f"hf_{name}": size for name, size in SIZES.items()}
    (path / "config.json").write_text(json.dumps({**sizes, **config}))
    return path


def mcore_tensors(
    hf: dict[str, Stored], tp: int, pp: int, at_tp: int, at_pp: int
) -> dict[str, Stored]:
    """What one rank holds of these hf tensors, in checkpoint order."""
    tensors = {}
    rows = PADDED // tp

    def embedding(r: int, e: int) -> tuple[str, int] | None:
        row = at_tp * rows + r
        return ("embed.weight", row * E + e) if row < V else None

    if at_pp == 0:
        tensors["embedding.weight"] = gather(hf, (rows, E), embedding)
    if pp > 1 and at_pp == pp - 1:
        tensors["output.weight"] = gather(hf, (rows, E), embedding)
    for j in range(LAYERS // pp):
        layer = f"layers.{at_pp * LAYERS // pp + j}"

        def qkv(r: int, e: int, layer: str = layer) -> tuple[str, int]:
            row, d = divmod(at_tp * (G * (H + 2) * D // tp) + r, D)
            g, part = divmod(row, H + 2)
            if part < H:
                return f"{layer}.q.weight", ((g * H + part) * D + d) * E + e
            return f"{layer}.{'kv'[part - H]}.weight", (g * D + d) * E + e

        def fc2(e: int, f: int, layer: str = layer) -> tuple[str, int]:
            return f"{layer}.down.weight", e * F + at_tp * (F // tp) + f

        def turned(f: int, e: int, layer: str = layer) -> tuple[str, int]:
            return f"{layer}.up.weight", e * F + f

        tensors[f"decoder.{j}.norm.weight"] = hf[f"{layer}.norm.weight"]
        tensors[f"decoder.{j}.qkv.weight"] = gather(hf, (G * (H + 2) * D // tp, E), qkv)
        tensors[f"decoder.{j}.fc2.weight"] = gather(hf, (E, F // tp), fc2)
        tensors[f"decoder.{j}.turned.weight"] = gather(hf, (F, E), turned)
    if at_pp == pp - 1:
        tensors["final_norm.weight"] = hf["final.weight"]
    return tensors


def gather(
    source: dict[str, Stored],
    shape: tuple[int, int],
    place: Callable[[int, int], tuple[str, int] | None],
) -> Stored:
    """A matrix whose element (row, column) is stored at a place (tensor, element), or is zero."""
    dtype = source["embed.weight"].dtype
    width = WIDTHS[dtype]
    data = b""
    for row in range(shape[0]):
        for column in range(shape[1]):
            at = place(row, column)
            if at is None:
                data += bytes(width)
            else:
                data += source[at[0]].data[at[1] * width : (at[1] + 1) * width]
    return Stored(dtype, shape, data)


def write_mcore(
    path: Path,
    hf: dict[str, Stored],
    tp: int,
    pp: int,
    recorded: bool = True,
    **config: Any,
) -> Path:
    """A source directory of the mcore layout; if `recorded` its config says which ranks there are."""
    for at_pp in range(pp):
        for at_tp in range(tp):
            write(
                path / rank_file(at_tp, at_pp), mcore_tensors(hf, tp, pp, at_tp, at_pp)
            )
    sizes = {f"mcore_{name}": size for name, size in SIZES.items()}
    block = {"mapc": {"mesh": {"tp": tp, "pp": pp}}} if recorded else {}
    text = json.dumps({**sizes, "vocab_multiple": 8, **block, **config})
    (path / "config.json").write_text(text)
    return path
