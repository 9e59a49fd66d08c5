"""Large files and tensors, other file systems, sources that nobody may write to, shards and names in any order."""

from __future__ import annotations

import json
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator
from math import prod
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from ..runtime.files import Stored, files_of, with_header
from ..runtime.toy import load, load_toy
from ..runtime.toy_checkpoint import (
    hf_tensors,
    mcore_tensors,
    rank_file,
    to_hf,
    to_mcore,
    write_hf,
    write_mcore,
)
from .commands import everything_below, run_apart

# ---- more than 2**32 bytes in a file, more than 2**31 elements in a tensor

LARGE = """# Matrices of more than 2**31 elements: by rows, by columns, and turned
language 1
map large: hf <-> ranks

layout ranks {
    mesh  tp
    files "rank_{tp}.safetensors"
}
config {
    r: rows    <-> rows
    e: columns <-> columns
}
tensors {
    a.weight[r e] <-> a[r@tp e]
    b.weight[r e] <-> b[r e@tp]
    c.weight[r e] <-> c[e r@tp]
}
"""
ROWS, COLUMNS = 46_346, 46_342
TP = 2
ELEMENTS = ROWS * COLUMNS
assert ELEMENTS > 2**31 and ROWS % TP == COLUMNS % TP == 0
# Elements of each matrix that are not zero: at its ends, and where numbers of 31 and 32 bits end in it or in the file.
MARKED = {
    "a.weight": (0, 9, 2**31 - 1, 2**31 + 9, ELEMENTS - 1),
    "b.weight": (0, COLUMNS // 2, 2**32 - ELEMENTS - 1, 2**31 + 5, ELEMENTS - 1),
    "c.weight": (7, ELEMENTS - 1),
}


def large() -> Any:
    return load(Path("large.map"), LARGE)


def sparse(path: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, int]:
    """A file of bytes that are all zero and take no room on the disk; where each tensor begins in it."""
    header, begins, end = {}, {}, 0
    for name, shape in shapes.items():
        begins[name], end = end, end + prod(shape)
        offsets = [begins[name], end]
        header[name] = {"dtype": "U8", "shape": shape, "data_offsets": offsets}
    text = with_header(header)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    os.truncate(path, len(text) + end)
    return {name: len(text) + begin for name, begin in begins.items()}


def mark(path: Path, at: int, value: int) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(bytes([value]))


def marks(names: tuple[str, ...]) -> Iterator[tuple[str, int, int]]:
    """Tensors, elements and their values, which all differ."""
    value = 0
    for name in names:
        for element in MARKED[name]:
            value += 1
            yield name, element, value


def place_of(name: str, element: int) -> tuple[int, str, int]:
    """The rank, the tensor and the element there: worked out by hand."""
    row, column = divmod(element, COLUMNS)
    if name == "a.weight":
        return row * TP // ROWS, "a", row % (ROWS // TP) * COLUMNS + column
    if name == "b.weight":
        own = COLUMNS // TP
        return column // own, "b", row * own + column % own
    own = ROWS // TP
    return row // own, "c", column * own + row % own


def write_large(path: Path, names: tuple[str, ...]) -> Path:
    shapes = {name: (ROWS, COLUMNS) for name in names}
    begins = sparse(path / "model.safetensors", shapes)
    for name, element, value in marks(names):
        mark(path / "model.safetensors", begins[name] + element, value)
    (path / "config.json").write_text(json.dumps({"rows": ROWS, "columns": COLUMNS}))
    return path


def write_large_ranks(path: Path, names: tuple[str, ...]) -> Path:
    shapes = {"a": (ROWS // TP, COLUMNS), "b": (ROWS, COLUMNS // TP)}
    shapes["c"] = (COLUMNS, ROWS // TP)
    begins = [sparse(path / f"rank_{rank}.safetensors", shapes) for rank in range(TP)]
    for name, element, value in marks(names):
        rank, there, at = place_of(name, element)
        mark(path / f"rank_{rank}.safetensors", begins[rank][there] + at, value)
    (path / "config.json").write_text(json.dumps({"rows": ROWS, "columns": COLUMNS}))
    return path


def stretch(made: Any, file: Any, source: Any, name: str, element: int) -> bytes:
    """Some bytes of a file that is not written, around an element of a tensor, which stands between bars."""
    (tensor,) = (t for t in file.tensors if t.transfer.name == name)
    begin = max(tensor.begin, tensor.begin + element - 3)
    end = min(tensor.begin + tensor.size, tensor.begin + element + 4)
    assembler = made.Assembler(source.tensors, made.CHUNK, 0)
    try:
        found = b"".join(bytes(v) for _, v in assembler.chunks(file, begin, end))
    finally:
        assembler.close()
    at = tensor.begin + element - begin
    return found[:at] + b"|" + found[at : at + 1] + b"|" + found[at + 1 :]


@pytest.mark.parametrize("direction", ["there", "back"])
def test_large_tensors(tmp_path: Path, direction: str) -> None:
    """Files of 6 GB that take no room: what would be written is looked at where it is not zero."""
    made, names = large(), tuple(MARKED)
    converter, mesh = made.converter(), made.Mesh(TP)
    there = direction == "there"
    path = (write_large if there else write_large_ranks)(tmp_path / "source", names)
    here = converter.left if there else converter.right
    source = made.open_source(str(path), here, converter.mesh, None)
    to = "ranks" if there else "hf"
    plan = made.plan_source(converter, source, to, mesh, {})
    if there:
        files = made.rank_outputs(plan, converter.right, mesh.ranks(), None)
    else:
        files = made.shard_outputs(plan, 10**10, None)
    assert sum(file.size for file in files) > 3 * 2**31
    for name, element, value in marks(names):
        rank, other, at = place_of(name, element) if there else (0, name, element)
        found = stretch(made, files[rank], source, other, at)
        before, one, behind = found.split(b"|")
        assert one == bytes([value]), (name, element)
        assert not any(before + behind), (name, element)


def test_a_plan_of_large_tensors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = 4 * 2**31
    if shutil.disk_usage(tmp_path).free < needed:
        pytest.skip(f"less than {needed} bytes free, so a plan is refused")
    source = write_large(tmp_path / "hf", tuple(MARKED))
    command = ["to-ranks", str(source), str(tmp_path / "never"), "--tp", "2"]
    assert large().main([*command, "--plan", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["bytes_written"] == report["bytes_read"] == 3 * ELEMENTS
    assert os.listdir(tmp_path) == ["hf"]


def test_a_large_tensor_in_memory(tmp_path: Path) -> None:
    """A share of the rows is a view, which takes no memory, so this one can be tried."""
    made = large()
    shapes = {name: (ROWS, COLUMNS) for name in MARKED}
    begins = sparse(tmp_path / "sparse", shapes)
    mark(tmp_path / "sparse", begins["a.weight"] + ELEMENTS - 1, 9)
    with open(tmp_path / "sparse", "r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    tensors = {
        name: torch.frombuffer(
            mapped, dtype=torch.uint8, count=ELEMENTS, offset=begin
        ).view(ROWS, COLUMNS)
        for name, begin in begins.items()
    }
    config = made.Config(ROWS, COLUMNS)
    name, found = next(made.to_ranks(tensors, config, made.Mesh(TP), made.Rank(1)))
    assert (name, tuple(found.shape)) == ("a", (ROWS // TP, COLUMNS))
    assert (int(found[-1, -1]), int(found[-1, -2])) == (9, 0)
    assert found.data_ptr() - tensors["a.weight"].data_ptr() == ELEMENTS // 2


TWO = LARGE.replace("    c.weight[r e] <-> c[e r@tp]\n", "")


@pytest.mark.long
def test_a_large_run(tmp_path: Path) -> None:
    """4.3 GB are really written, verified, and have the fingerprint of their source."""
    needed = 6 * 10**9
    if shutil.disk_usage(tmp_path).free < needed:
        pytest.skip(f"less than {needed} bytes free")
    made, names = load(Path("large.map"), TWO), ("a.weight", "b.weight")
    source, target = write_large(tmp_path / "hf", names), tmp_path / "ranks"
    try:
        made.convert_checkpoint(source, target, mesh=made.Mesh(1), verify=True)
        assert (target / "rank_0.safetensors").stat().st_size > 2**32
        with open(target / "rank_0.safetensors", "rb") as file:
            begin = 8 + int.from_bytes(file.read(8), "little")
            for name, element, value in marks(names):
                at = element + (ELEMENTS if name == "b.weight" else 0)
                file.seek(begin + at)
                assert file.read(1) == bytes([value]), (name, element)
        one, other = (made.fingerprint_checkpoint(path) for path in (source, target))
        assert one.sha256 == other.sha256
        assert made.diff_checkpoints(target, source).equal
    finally:
        shutil.rmtree(target, ignore_errors=True)


# ---- where source and target are


def test_a_source_that_nobody_may_write_to(tmp_path: Path) -> None:
    """Files and folders without any permission to write, for a user whom that stops."""
    user = 65534 if os.geteuid() == 0 else os.geteuid()

    def as_user(arguments: list[str]) -> int:
        os.seteuid(user)
        return int(load_toy().main(arguments))

    ranks = write_mcore(tmp_path / "mcore", hf_tensors(), 2, 2)
    sources = write_hf(tmp_path / "hf"), ranks
    out = tmp_path / "out"
    out.mkdir()
    os.chown(out, user, -1)
    before = [everything_below(source) for source in sources]
    parents = [one for one in tmp_path.parents if not one.stat().st_mode & 1]
    parents.append(tmp_path)
    modes = [parent.stat().st_mode for parent in parents]
    read_only = [path for source in sources for path in (source, *source.rglob("*"))]
    try:
        for parent in parents:
            parent.chmod(0o755)
        for path in read_only:
            path.chmod(0o555 if path.is_dir() else 0o444)
        mesh = ("--tp", "2", "--set", "vocab_multiple=8")
        for arguments in (
            ("to-mcore", sources[0], out / "there", *mesh, "--verify"),
            ("to-hf", sources[1], out / "back", "--verify"),
            ("diff", out / "there", sources[1]),
        ):
            assert run_apart(as_user, *arguments, "--quiet") == (0, "", "")
    finally:
        for path in read_only:
            path.chmod(0o755 if path.is_dir() else 0o644)
        for parent, mode in zip(parents, modes):
            parent.chmod(mode)
    assert [everything_below(source) for source in sources] == before


@pytest.mark.parametrize("way", ["to-memory", "from-memory"])
def test_other_file_systems(tmp_path: Path, way: str) -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system to try")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        one, other = tmp_path, Path(folder)
        source, target = (one, other) if way == "to-memory" else (other, one)
        write_hf(source / "hf")
        (source / "hf/tokenizer.json").write_text("{}")
        to_mcore(source / "hf", target / "mcore", 2, 2, verify=True)
        to_mcore(source / "hf", source / "mcore", 2, 2)
        assert files_of(target / "mcore") == files_of(source / "mcore")
        to_mcore(source / "hf", target / "mcore", 2, 2, overwrite=True)
        to_hf(target / "mcore", source / "back", verify=True)
        same = load_toy().diff_checkpoints(source / "back", source / "hf")
        assert same.equal
        assert os.listdir(target) == ["mcore"]


# ---- shards and names in any order


def write_shards(path: Path, tensors: dict[str, Stored], random: Random) -> Path:
    """Shards of any number of tensors under any names, in any order in headers, files and index."""
    names = random.sample(list(tensors), len(tensors))
    cuts = sorted(random.sample(range(1, len(names)), random.randrange(8)))
    weight_map = {}
    for number, (low, high) in enumerate(zip([0, *cuts], [*cuts, len(names)])):
        file = f"{random.randrange(10**6)}-{number}.safetensors"
        shard = {name: tensors[name] for name in names[low:high]}
        write_unordered(path / file, shard, random)
        weight_map.update(dict.fromkeys(shard, file))
    order = random.sample(list(weight_map), len(weight_map))
    index = {"weight_map": {name: weight_map[name] for name in order}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    return path


def write_unordered(path: Path, tensors: dict[str, Stored], random: Random) -> None:
    """A safetensors file whose header is in another order than its data."""
    entries, data = {}, b""
    for name in random.sample(list(tensors), len(tensors)):
        dtype, shape, content = tensors[name]
        offsets = [len(data), len(data) + len(content)]
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        data += content
    order = random.sample(list(entries), len(entries))
    header = {name: entries[name] for name in order}
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(with_header(header, data))


@pytest.mark.parametrize(
    "count", [6, pytest.param(200, marks=pytest.mark.long)], ids=["some", "many"]
)
def test_any_order(tmp_path: Path, count: int) -> None:
    """What is written does not depend on how the source was cut and ordered, in both directions."""
    tensors = hf_tensors()
    to_mcore(write_hf(tmp_path / "hf"), tmp_path / "expected", 2, 2)
    to_hf(tmp_path / "expected", tmp_path / "back")
    config = (tmp_path / "hf/config.json").read_bytes()
    for seed in range(count):
        random, folder = Random(seed), tmp_path / str(seed)
        source = write_shards(folder / "hf", tensors, random)
        (source / "config.json").write_bytes(config)
        to_mcore(source, folder / "mcore", 2, 2)
        assert files_of(folder / "mcore") == files_of(tmp_path / "expected"), seed
        ranks = folder / "ranks"
        for rank in ((0, 0), (1, 0), (0, 1), (1, 1)):
            own = mcore_tensors(tensors, 2, 2, *rank)
            write_unordered(ranks / rank_file(*rank), own, random)
        text = (tmp_path / "expected/config.json").read_text()
        (ranks / "config.json").write_text(text)
        to_hf(ranks, folder / "back")
        assert files_of(folder / "back") == files_of(tmp_path / "back"), seed
        shutil.rmtree(folder)
