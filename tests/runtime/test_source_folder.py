"""Source directories: what is read as a whole checkpoint, and everything that is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from mapc.templates.runtime.source_folder import open_source

from .files import with_header, write
from .source_folders import HF, TENSORS, contents, opened, refused


def shards(path: Path, names: str = "ab cd ef") -> dict[str, Any]:
    """A directory with one shard a word; its index."""
    files = names.split()
    weight_map = {}
    for number, word in enumerate(files, 1):
        file = f"model-{number:05}-of-{len(files):05}.safetensors"
        write(path / file, {name: TENSORS[name] for name in word})
        weight_map.update(dict.fromkeys(word, file))
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    (path / "config.json").write_text("{}")
    return index


def test_one_file(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors", TENSORS)
    (tmp_path / "config.json").write_text('{"a": 1}')
    folder = opened(tmp_path)
    assert contents(folder) == {None: TENSORS}
    assert (folder.config, folder.mesh, folder.files) == (
        {"a": 1},
        None,
        ("model.safetensors",),
    )


def test_shards_in_the_order_of_the_index(tmp_path: Path) -> None:
    index = shards(tmp_path, "ba fc ed")
    folder = opened(tmp_path)
    assert contents(folder) == {None: TENSORS}
    assert list(folder.tensors[None]) == list("bafced")
    assert folder.files == (
        "model.safetensors.index.json",
        *dict.fromkeys(index["weight_map"].values()),
    )


def linked(path: Path, folder: Path) -> Path:
    """A directory with links to the files of a checkpoint in another one, relative as in a cache of Hugging Face."""
    shards(path / "blobs")
    folder.mkdir(parents=True)
    for file in (path / "blobs").iterdir():
        (folder / file.name).symlink_to(os.path.relpath(file, folder))
    return folder


@pytest.mark.parametrize("below", ["", "transformer"])
def test_a_snapshot_in_a_cache(tmp_path: Path, below: str) -> None:
    """Its files are links to blobs beside the snapshots; the snapshot itself may be found by a link, too."""
    linked(tmp_path, tmp_path / "snapshots" / "0123456789abcdef" / below)
    (tmp_path / "model").symlink_to("snapshots/0123456789abcdef")
    assert contents(opened(tmp_path / "model" / below)) == {None: TENSORS}


def test_links_within_the_directory(tmp_path: Path) -> None:
    folder = linked(tmp_path / "model" / "files", tmp_path / "model" / "links")
    for file in folder.iterdir():
        (tmp_path / "model" / file.name).symlink_to(f"links/{file.name}")
    assert contents(opened(tmp_path / "model")) == {None: TENSORS}


def test_a_link_out_of_the_directory(tmp_path: Path) -> None:
    folder = linked(tmp_path, tmp_path / "snapshot")
    refused(
        folder,
        "config.json",
        f"expected a file in this directory, found a link to {tmp_path}/blobs/config.json; "
        "--follow-links reads what is there",
    )
    followed = open_source(str(folder), HF, None, None, follow_links=True)
    assert contents(followed) == {None: TENSORS}


def test_other_weights_are_no_shards(tmp_path: Path) -> None:
    shards(tmp_path)
    write(tmp_path / "consolidated.safetensors", TENSORS)
    (tmp_path / "pytorch_model.bin").write_bytes(b"never read")
    assert contents(opened(tmp_path)) == {None: TENSORS}


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        opened(tmp_path / "none")
    assert str(error.value) == (
        f"{tmp_path / 'none'}: expected the directory of a checkpoint, found none"
    )


def test_no_config(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors", TENSORS)
    refused(
        tmp_path, "", "expected a config.json, found none; it says what the tensors are"
    )


@pytest.mark.parametrize(
    "text, message",
    [
        ("[]", "expected a JSON object, found a list at the top"),
        ('{"eps": NaN}', "expected JSON, found a mistake: NaN is no JSON number"),
        (
            '{"eps": -Infinity}',
            "expected JSON, found a mistake: -Infinity is no JSON number",
        ),
        (
            '{"a": {"b": 1, "b": 2}}',
            "expected JSON, found a mistake: `b` stands there twice",
        ),
        (
            "",
            "expected JSON, found a mistake: Expecting value: line 1 column 1 (char 0)",
        ),
    ],
)
def test_a_broken_config(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path / "model.safetensors", TENSORS)
    (tmp_path / "config.json").write_text(text)
    refused(tmp_path, "config.json", message)


def test_no_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    refused(
        tmp_path,
        "",
        "expected model.safetensors or pytorch_model.bin, or shards with an index, found none of them",
    )


def test_both_whole_and_shards(tmp_path: Path) -> None:
    shards(tmp_path)
    write(tmp_path / "model.safetensors", TENSORS)
    refused(
        tmp_path,
        "model.safetensors",
        "no tensor of model.safetensors.index.json is in it; remove it or mend the index",
    )


def test_an_index_of_one_file(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors", TENSORS)
    (tmp_path / "config.json").write_text("{}")
    index = {"weight_map": dict.fromkeys(TENSORS, "model.safetensors")}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    folder = opened(tmp_path)
    assert contents(folder) == {None: TENSORS}
    assert folder.files == ("model.safetensors.index.json", "model.safetensors")


def test_files_that_only_the_index_names(tmp_path: Path) -> None:
    index = shards(tmp_path)
    for number, file in enumerate(dict.fromkeys(index["weight_map"].values())):
        (tmp_path / file).rename(tmp_path / f"part{number}.safetensors")
    names = [f"part{'abcdef'.index(name) // 2}.safetensors" for name in TENSORS]
    index["weight_map"] = dict(zip(TENSORS, names))
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    folder = opened(tmp_path)
    assert contents(folder) == {None: TENSORS}
    assert folder.files == ("model.safetensors.index.json", *dict.fromkeys(names))


def test_shards_without_index(tmp_path: Path) -> None:
    shards(tmp_path)
    (tmp_path / "model.safetensors.index.json").unlink()
    refused(
        tmp_path,
        "",
        "model-00001-of-00003.safetensors: expected model.safetensors.index.json to say which shards "
        "there are, found none",
    )


def test_a_missing_shard(tmp_path: Path) -> None:
    shards(tmp_path)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    refused(
        tmp_path,
        "model-00002-of-00003.safetensors",
        "expected a file of tensors, found none",
    )


def test_a_shard_too_many(tmp_path: Path) -> None:
    shards(tmp_path)
    write(tmp_path / "model-00001-of-00002.safetensors", {"z": TENSORS["a"]})
    refused(
        tmp_path,
        "model-00001-of-00002.safetensors",
        "no tensor of model.safetensors.index.json is in it; remove it or mend the index",
    )


def with_index(path: Path, **weight_map: Any) -> None:
    """The index with some entries changed; None takes one away."""
    index = json.loads((path / "model.safetensors.index.json").read_text())
    index["weight_map"].update(weight_map)
    index["weight_map"] = {
        k: v for k, v in index["weight_map"].items() if v is not None
    }
    (path / "model.safetensors.index.json").write_text(json.dumps(index))


def test_a_tensor_in_another_shard(tmp_path: Path) -> None:
    shards(tmp_path)
    with_index(tmp_path, b="model-00003-of-00003.safetensors")
    refused(
        tmp_path,
        "model-00001-of-00003.safetensors",
        "b: expected in model-00003-of-00003.safetensors by model.safetensors.index.json, found here; mend the index",
    )


def test_a_tensor_in_two_shards(tmp_path: Path) -> None:
    shards(tmp_path)
    write(tmp_path / "model-00003-of-00003.safetensors", {n: TENSORS[n] for n in "efa"})
    refused(
        tmp_path,
        "model-00003-of-00003.safetensors",
        "a: expected in model-00001-of-00003.safetensors by model.safetensors.index.json, found here; mend the index",
    )


def test_a_tensor_that_the_index_does_not_know(tmp_path: Path) -> None:
    shards(tmp_path)
    with_index(tmp_path, d=None)
    refused(
        tmp_path,
        "model-00002-of-00003.safetensors",
        "d: not in model.safetensors.index.json; mend the index",
    )


def test_a_tensor_that_is_nowhere(tmp_path: Path) -> None:
    shards(tmp_path)
    with_index(tmp_path, z="model-00002-of-00003.safetensors")
    refused(
        tmp_path,
        "model-00002-of-00003.safetensors",
        "z: expected here by model.safetensors.index.json, found nowhere",
    )


@pytest.mark.parametrize(
    "file",
    [
        "../model.safetensors",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "..",
        ".",
        "",
        "a\0",
        3,
        None,
    ],
)
def test_a_path_in_the_index(tmp_path: Path, file: Any) -> None:
    index = shards(tmp_path)
    index["weight_map"]["c"] = file
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(
        tmp_path,
        "model.safetensors.index.json",
        f"c: expected the name of a file beside the index, found {file!r}",
    )


@pytest.mark.parametrize("weight_map", [None, {}, ["a"]])
def test_an_index_without_map(tmp_path: Path, weight_map: Any) -> None:
    index = {**shards(tmp_path), "weight_map": weight_map}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(
        tmp_path,
        "model.safetensors.index.json",
        f"expected a weight_map of tensor names and files, found {weight_map!r}",
    )


def test_a_name_twice_in_one_file(tmp_path: Path) -> None:
    text = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}'
    (tmp_path / "model.safetensors").write_bytes(with_header(text, b"ab"))
    (tmp_path / "config.json").write_text("{}")
    refused(
        tmp_path,
        "model.safetensors",
        "expected JSON, found a mistake: `a` stands there twice",
    )
