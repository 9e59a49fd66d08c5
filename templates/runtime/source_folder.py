"""The source directory: which files hold the checkpoint, and what is stored in them.

Only headers are read. What is returned is whole: an index and its shards agree, every rank has its file,
no file of a rank or shard is left over, and no name stands twice in one rank.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, fields
from typing import Any, NamedTuple

from .errors import ConversionError
from .layouts import Container, Side
from .safetensors_io import read_header
from .source_files import SourceFiles, named_errors, what_is
from .stored import StoredTensor, StoredTensors
from .torch_files import read_torch_file

CONFIG_FILE = "config.json"
# A file of its own, or shards with an index; the first that is there is read.
WHOLE_FILES = ("model.safetensors", "pytorch_model.bin")
CHUNKED_FILE = ".metadata"  # of torch.distributed
# A rank's file may be one of torch.save instead, with the same name but for its end.
RANK_SUFFIXES = (".safetensors", ".pt", ".bin")


class SourceFolder(NamedTuple):
    """A source checkpoint: its config, its mesh (None without ranks), its files and what they hold."""

    path: str
    config: dict[str, Any]
    mesh: Any
    files: tuple[str, ...]  # of weights, and the index; relative to path
    tensors: dict[Any, StoredTensors]  # by rank, None without ranks
    folder: SourceFiles  # what has been read of it


def open_source(
    path: str, side: Side, mesh_class: Any, claimed: Any, follow_links: bool = False
) -> SourceFolder:
    """Read the headers of a checkpoint directory.

    `claimed` is the mesh that the caller says the files have, or None. Raises ConversionError where the
    directory is not one whole checkpoint of this layout, FileNotFoundError where there is none.
    """
    if not os.path.isdir(path):
        raise FileNotFoundError(
            f"{path}: expected the directory of a checkpoint, found none"
        )
    files = SourceFiles(path, follow_links)
    config = _read_config(files)
    whole = side.container(side.form)
    if side.file is None and whole is not None:
        found, ranks = whole.read(files, None)
        return SourceFolder(path, config, None, found, ranks, files)
    if side.file is None:
        names, tensors = _read_shards(files)
        all_tensors = StoredTensors(os.path.join(path, names[0]), tensors)
        return SourceFolder(path, config, None, names, {None: all_tensors}, files)
    container = _container_of(path, side, mesh_class)
    _check_for_ranks(path, side, container, mesh_class)
    mesh_there = _mesh_there if container is None else container.mesh_there
    mesh = _source_mesh(
        path, mesh_class, claimed, config, lambda: mesh_there(path, side, mesh_class)
    )
    if container is not None:
        found, ranks = container.read(files, mesh)
        return SourceFolder(path, config, mesh, found, ranks, files)
    of_rank = {rank: _found(path, side.file(rank)) for rank in mesh.ranks()}
    check_rank_files(path, of_rank, mesh)
    read = {
        name: _read_weights(files, name) for name in dict.fromkeys(of_rank.values())
    }
    ranks = {rank: read[name] for rank, name in of_rank.items()}
    return SourceFolder(path, config, mesh, tuple(read), ranks, files)


def _read_config(files: SourceFiles) -> dict[str, Any]:
    file = os.path.join(files.path, CONFIG_FILE)
    if not os.path.isfile(file):
        raise ConversionError(
            f"{files.path}: expected a {CONFIG_FILE}, found {what_is(file)}; it says what the tensors are"
        )
    return files.document(CONFIG_FILE)


def _read_weights(files: SourceFiles, name: str) -> StoredTensors:
    is_safe = name.endswith(".safetensors")
    return read_weights(files, name, read_header if is_safe else read_torch_file)


def read_weights(
    files: SourceFiles, name: str, read: Callable[[str], dict[str, StoredTensor]]
) -> StoredTensors:
    """The tensors of a file that `read` knows how to read."""
    path = files.place(name)
    if not os.path.isfile(path):
        raise ConversionError(
            f"{path}: expected a file of tensors, found {what_is(path)}"
        )
    tensors = _unless_too_large(path, read)
    if tensors is None:
        raise OSError(errno.ENOMEM, "expected more memory, found none left", path)
    for tensor in tensors.values():
        if tensor.seen is not None:
            files.seen[path] = tensor.seen
        break
    return StoredTensors(path, tensors)


def _unless_too_large(
    path: str, read: Callable[[str], dict[str, StoredTensor]]
) -> dict[str, StoredTensor] | None:
    """The tensors of a file; None where memory does not suffice, which is given back when the error is gone."""
    with suppress(MemoryError), named_errors(path):
        return read(path)
    return None


# ---- one file, or shards with an index


def _read_shards(files: SourceFiles) -> tuple[tuple[str, ...], dict[str, StoredTensor]]:
    """The weight files of a directory without ranks, its index among them, and their tensors."""
    path = files.path
    for whole in WHOLE_FILES:
        index, here = f"{whole}.index.json", _weight_files(path, whole)
        if os.path.isfile(os.path.join(path, index)):
            weight_map = _read_index(files, index, here)
            names = (index, *dict.fromkeys(weight_map.values()))
            return names, _read_all(files, index, weight_map)
        if here == [whole]:
            return (whole,), _read_weights(files, whole)
        if here:
            found = what_is(os.path.join(path, index))
            raise ConversionError(
                f"{path}: {here[0]}: expected {index} to say which shards there are, found {found}"
            )
    raise ConversionError(
        f"{path}: expected {' or '.join(WHOLE_FILES)}, or shards with an index, found none of them"
    )


def _weight_files(path: str, whole: str) -> list[str]:
    """The files that are named like shards of a checkpoint, or like the whole of it."""
    stem, suffix = map(re.escape, os.path.splitext(whole))
    pattern = re.compile(rf"{stem}(-\d+-of-\d+)?{suffix}")
    return sorted(name for name in os.listdir(path) if pattern.fullmatch(name))


def _read_index(files: SourceFiles, index: str, here: list[str]) -> dict[str, str]:
    """The file of every tensor, all of them beside the index and none of `here` left over."""
    where = os.path.join(files.path, index)
    weight_map = files.document(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ConversionError(
            f"{where}: expected a weight_map of tensor names and files, found {weight_map!r}"
        )
    named: set[str] = set()
    for name, file in weight_map.items():
        if isinstance(file, str) and file in named:
            continue
        if not isinstance(file, str) or not is_plain_name(file):
            raise ConversionError(
                f"{where}: {name}: expected the name of a file beside the index, found {file!r}"
            )
        named.add(file)
    for file in sorted(set(here) - named):
        raise ConversionError(
            f"{os.path.join(files.path, file)}: no tensor of {index} is in it; remove it or mend the index"
        )
    return weight_map


def _read_all(
    files: SourceFiles, index: str, weight_map: dict[str, str]
) -> dict[str, StoredTensor]:
    """The tensors of all shards, which must be where the index says, and no others."""
    tensors: dict[str, StoredTensor] = {}
    for file in sorted(set(weight_map.values())):
        read = _read_weights(files, file)
        for name in [name for name in read if weight_map.get(name) != file]:
            where, said = os.path.join(files.path, file), weight_map.get(name)
            found = (
                f"expected in {said} by {index}, found here"
                if said
                else f"not in {index}"
            )
            raise ConversionError(f"{where}: {name}: {found}; mend the index")
        tensors.update(read)
    for name, file in weight_map.items():
        if name not in tensors:
            where = os.path.join(files.path, file)
            raise ConversionError(
                f"{where}: {name}: expected here by {index}, found nowhere"
            )
    return {name: tensors[name] for name in weight_map}


def is_plain_name(file: str) -> bool:
    """Whether a text is the name of a file beside the one that says it."""
    hidden = file in ("", ".", "..") or set(file) & set("/\\")
    return not hidden and file.isprintable()


# ---- a file a rank


def _source_mesh(
    path: str,
    mesh_class: Any,
    claimed: Any,
    config: dict[str, Any],
    as_named: Callable[[], Any],
) -> Any:
    """The mesh of a directory: as its config records it, as the caller claims it, or as its files are named."""
    recorded = _recorded_mesh(path, mesh_class, config)
    if recorded is not None and claimed is not None and recorded != claimed:
        raise ConversionError(
            f"{os.path.join(path, CONFIG_FILE)}: expected {mesh_text(claimed)} as asked for, "
            f"found {mesh_text(recorded)}"
        )
    return recorded or claimed or as_named()


def _recorded_mesh(path: str, mesh_class: Any, config: dict[str, Any]) -> Any:
    block = config.get("mapc")
    sizes = block.get("mesh") if isinstance(block, dict) else None
    if sizes is None:
        return None
    dims = [dim.name for dim in fields(mesh_class)]
    if not isinstance(sizes, dict) or not all(
        dim in dims and type(size) is int and 0 < size < 2**31
        for dim, size in sizes.items()
    ):
        raise ConversionError(
            f"{os.path.join(path, CONFIG_FILE)}: mapc.mesh: expected sizes, 1 or more, of {', '.join(dims)}, "
            f"found {sizes!r}"
        )
    mesh = mesh_class(**sizes)
    try:
        mesh.ranks()
    except ConversionError as error:
        file = os.path.join(path, CONFIG_FILE)
        raise ConversionError(f"{file}: mapc.mesh: {error}") from None
    return mesh


def _container_of(path: str, side: Side, mesh_class: Any) -> Container | None:
    """The container of another format that a directory is; None where it is one of safetensors files."""
    is_plain = side.form == "safetensors"
    there = [one for one in side.containers if one.is_there(path, mesh_class)]
    forms = [container.form for container in there]
    if there and is_plain and names_like(path, _pattern(side, mesh_class)):
        forms.insert(0, "safetensors")
    if len(forms) > 1:
        raise ConversionError(
            f"{path}: expected rank files in one format, found those of {' and of '.join(forms)}; "
            "move the others elsewhere"
        )
    return there[0] if there else None if is_plain else side.container(side.form)


def _check_for_ranks(
    path: str, side: Side, container: Container | None, mesh_class: Any
) -> None:
    """ConversionError where a directory has no file of a rank, but what a checkpoint without ranks is made of."""
    own = [name for whole in WHOLE_FILES for name in (whole, f"{whole}.index.json")]
    folders = sorted(["", *os.listdir(path)])
    own += [os.path.join(folder, CHUNKED_FILE) for folder in folders]
    found = next((name for name in own if os.path.isfile(os.path.join(path, name))), "")
    if not found:
        return
    if container is not None and container.is_there(path, mesh_class):
        return
    if container is None and names_like(path, _pattern(side, mesh_class)):
        return
    layout = side.name.partition(" ")[0]  # without what resharding says of it
    way = f"to-{layout} converts what has no ranks"
    if found.endswith(CHUNKED_FILE):
        way = "a map that says `format dcp` reads checkpoints of torch.distributed"
    raise ConversionError(
        f"{path}: expected the files of the ranks of {layout}, found {found} and none of them; {way}"
    )


def _mesh_there(path: str, side: Side, mesh_class: Any) -> Any:
    return mesh_in(names_like(path, _pattern(side, mesh_class)), mesh_class)


def _pattern(side: Side, mesh_class: Any) -> str:
    """What the names of rank files look like, with any of their ends."""
    assert side.file is not None, "a layout without ranks has no rank files"
    stem, suffix = os.path.splitext(blank_name(side.file, mesh_class))
    ends = "|".join(map(re.escape, (suffix, *RANK_SUFFIXES)))
    return f"{rank_pattern(stem, mesh_class)}(?:{ends})"


def blank_name(file: Callable[[Any], str], mesh_class: Any) -> str:
    """The name of a rank file with blanks for coordinates."""
    rank_class = type(mesh_class().ranks()[0])
    return file(rank_class(*(_Blank(dim.name) for dim in fields(mesh_class))))


def rank_pattern(name: str, mesh_class: Any) -> str:
    """What a name with blanks for coordinates stands for: a pattern with a group for each of them."""
    pattern = re.escape(name)
    for dim in (dim.name for dim in fields(mesh_class)):
        blank = re.escape(str(_Blank(dim)))
        pattern = pattern.replace(blank, rf"(?P<{dim}>\d+)", 1).replace(blank, r"\d+")
    return pattern


def names_like(path: str, pattern: str) -> list[re.Match[str]]:
    """The files below a directory whose names are like a pattern."""
    names = files_below(path, pattern.count("/"))
    return [found for name in names if (found := re.fullmatch(pattern, name))]


def mesh_in(there: list[re.Match[str]], mesh_class: Any) -> Any:
    """Each dim as large as the coordinates in the names of the rank files go on without a hole."""
    sizes = {}
    for dim in (dim.name for dim in fields(mesh_class)):
        coordinates = {int(found.groupdict().get(dim) or 0) for found in there}
        sizes[dim] = min(set(range(1, len(coordinates) + 2)) - coordinates)
    return mesh_class(**sizes)


class _Blank(str):
    """Stands for a coordinate in a file name, whatever its width."""

    def __format__(self, width: str) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"\0{super().__str__()}\0"


def _found(path: str, name: str) -> str:
    """The name of a rank's file in a directory: with the first suffix that is there, else as the map says."""
    stem, suffix = os.path.splitext(name)
    for other in (suffix, *RANK_SUFFIXES):
        if os.path.isfile(os.path.join(path, stem + other)):
            return stem + other
    return name


def check_rank_files(path: str, names: dict[Any, str], mesh: Any) -> None:
    """Every rank has its file, and no file of that kind belongs to no rank."""
    for rank, name in names.items():
        file = os.path.join(path, name)
        if not os.path.isfile(file):
            raise ConversionError(
                f"{file}: expected for rank {rank_text(rank)} of {mesh_text(mesh)}, found {what_is(file)}; "
                "fetch it, or say which mesh it is"
            )
    alike = {_without_numbers(name) for name in names.values()}
    expected = set(names.values())
    for name in files_below(path, max(name.count("/") for name in expected)):
        if name not in expected and _without_numbers(name) in alike:
            raise ConversionError(
                f"{os.path.join(path, name)}: expected the {len(expected)} files of {mesh_text(mesh)}, "
                "found this one too; say which mesh it is, or remove the file"
            )


def _without_numbers(name: str) -> str:
    """What the files of all ranks have in common, whatever has written them."""
    stem, suffix = os.path.splitext(name)
    return re.sub(r"\d+", "#", stem if suffix in RANK_SUFFIXES else name)


def files_below(path: str, depth: int) -> list[str]:
    """The files in a directory and in the folders down to a depth, by their relative names."""
    names: list[str] = []
    level = [""]
    for _ in range(depth + 1):
        entries = [
            (prefix + entry.name, entry.is_dir())
            for prefix in level
            for entry in os.scandir(os.path.join(path, prefix))
        ]
        names += [name for name, is_folder in entries if not is_folder]
        level = [f"{name}/" for name, is_folder in entries if is_folder]
    return sorted(names)


def mesh_text(mesh: Any) -> str:
    """`tp=2 pp=1`"""
    return " ".join(f"{dim}={size}" for dim, size in asdict(mesh).items())


def rank_text(rank: Any) -> str:
    """`tp=0 pp=0`"""
    return " ".join(f"{dim}={position}" for dim, position in rank._asdict().items())
