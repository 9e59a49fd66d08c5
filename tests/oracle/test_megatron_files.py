"""The same cases through files: a directory of transformers to Megatron's rank files, those back, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

from safetensors.torch import load_file, save_file

from .megatron import (
    converter,
    every_case,
    every_whole_case,
    mesh_of,
    options,
    ranks_of,
    variant,
)
from .records import Case, Tensors, assert_same


@every_case
def test_out_and_back(case: Case, tmp_path: Path) -> None:
    """Out with the options of the target; back with nothing but the directory."""
    module = converter(case)
    source, ranks, back = (tmp_path / name for name in ("source", "ranks", "back"))
    config = case.json("config_src.json")
    write_folder(source, config, {"model.safetensors": case.source})
    module.convert_checkpoint(
        source,
        ranks,
        to="mcore",
        mesh=mesh_of(module, case),
        **options(case),
        **variant(case),
    )
    recorded = by_file(module, case)
    assert files(ranks) == {"config.json", "mapc.json", *recorded}
    for name, expected in recorded.items():
        assert_same(load_file(ranks / name), expected)
    module.convert_checkpoint(ranks, back, to="hf")
    assert_same(read_folder(back), case.source)
    assert read_config(back) == config


@every_whole_case
def test_from_recorded_ranks(case: Case, tmp_path: Path) -> None:
    """From what Megatron wrote to transformers; back without options, since its own config said them once."""
    module = converter(case)
    ranks, hf, again = (tmp_path / name for name in ("ranks", "hf", "again"))
    recorded, config = by_file(module, case), case.json("config_dst.json")
    write_folder(ranks, config, recorded)
    module.convert_checkpoint(ranks, hf, to="hf")
    assert_same(read_folder(hf), case.source)
    module.convert_checkpoint(
        hf, again, to="mcore", mesh=mesh_of(module, case), **variant(case)
    )
    for name, expected in recorded.items():
        assert_same(load_file(again / name), expected)
    written = read_config(again)
    assert {key: written.get(key) for key in config} == config


def by_file(module: ModuleType, case: Case) -> dict[str, Tensors]:
    """The recorded tensors by the file that a converter keeps them in."""
    recorded = ranks_of(module, case)
    return {module.rank_file(rank): tensors for rank, tensors in recorded.items()}


def write_folder(
    folder: Path, config: dict[str, Any], contents: dict[str, Tensors]
) -> None:
    for name, tensors in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / name, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2))


def read_folder(folder: Path) -> Tensors:
    return {
        name: tensor
        for path in sorted(folder.glob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def read_config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    }
