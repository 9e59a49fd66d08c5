"""Ways to break a checkpoint. What each returns changes the directory of one that was good."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from ..runtime.files import Stored, read, with_header, write

MODEL = "model.safetensors"
CONFIG = "config.json"
INDEX = "model.safetensors.index.json"

MOST = 2000  # characters that are shown of a message
Break: TypeAlias = Callable[[Path], object]


class Kind(NamedTuple):
    """A kind of hostile checkpoint: what is done to a good one, the message, what it was, further arguments.

    In the message SOURCE stands for the path of the checkpoint, and OUTSIDE for that of the directory that it is in.
    """

    name: str
    broken: Break
    message: str
    base: str = "hf"
    arguments: tuple[str, ...] = ()


def shown(message: str) -> str:
    """What is shown of a message: of a long one the beginning and the end."""
    if len(message) <= MOST:
        return message
    half = MOST // 2 - 20
    left_out = len(message) - 2 * half
    return f"{message[:half]}... ({left_out} characters) ...{message[-half:]}"


def every(*steps: Break) -> Break:
    """One after the other."""

    def broken(path: Path) -> None:
        for step in steps:
            step(path)

    return broken


# ---- files


def content(name: str, change: Callable[[bytes], bytes]) -> Break:
    """Other bytes in a file."""

    def broken(path: Path) -> None:
        file = path / name
        file.write_bytes(change(file.read_bytes() if file.exists() else b""))

    return broken


def holding(name: str, data: bytes) -> Break:
    """These bytes in a file, which there may not have been."""
    return content(name, lambda _: data)


def gone(*names: str) -> Break:
    """Files that are missing."""

    def broken(path: Path) -> None:
        for name in names:
            (path / name).unlink()

    return broken


def instead(name: str, make: Callable[[Path], object]) -> Break:
    """Something else in the place of a file, or of none."""

    def broken(path: Path) -> None:
        (path / name).unlink(missing_ok=True)
        make(path / name)

    return broken


def linked(name: str, target: str) -> Break:
    """A link in the place of a file; OUTSIDE is the directory that the checkpoint is in."""
    return instead(
        name,
        lambda path: path.symlink_to(target.replace("OUTSIDE", str(path.parents[1]))),
    )


def moved_out(name: str, target: str) -> Break:
    """A file that is somewhere else, and a link in its place. `target` is relative to the checkpoint."""

    def broken(path: Path) -> None:
        away = path / target
        away.parent.mkdir(parents=True, exist_ok=True)
        (path / name).rename(away)
        (path / name).symlink_to(os.path.relpath(away, (path / name).parent))

    return broken


def sparse(name: str, start: bytes, size: int) -> Break:
    """A file of any size that begins with some bytes; the rest are zeros that take no room."""

    def broken(path: Path) -> None:
        (path / name).write_bytes(start)
        os.truncate(path / name, size)

    return broken


# ---- headers


def header(change: Callable[[dict[str, Any]], Any], name: str = MODEL) -> Break:
    """Another header before the same data: what `change` makes of it, or returns, as an object or as bytes."""

    def broken(path: Path) -> None:
        data = (path / name).read_bytes()
        end = 8 + int.from_bytes(data[:8], "little")
        found = json.loads(data[8:end])
        made = change(found)
        (path / name).write_bytes(
            with_header(found if made is None else made, data[end:])
        )

    return broken


def entry(tensor: str, name: str = MODEL, **said: Any) -> Break:
    """An entry of a header that says something else; None takes a key away."""

    def change(found: dict[str, Any]) -> None:
        changed = {**found[tensor], **said}
        found[tensor] = {k: v for k, v in changed.items() if v is not None}

    return header(change, name)


def text(old: str, new: str, name: str = MODEL) -> Break:
    """The text of a header, changed."""

    def change(found: dict[str, Any]) -> bytes:
        spelled = json.dumps(found)
        assert old in spelled
        return spelled.replace(old, new).encode("utf-8", "surrogatepass")

    return header(change, name)


def only(spelled: bytes | str, data: bytes = b"", name: str = MODEL) -> Break:
    """A file with this header and these data."""
    written = spelled if isinstance(spelled, bytes) else spelled.encode()
    return holding(name, with_header(written, data))


# ---- tensors


def tensors(change: Callable[[dict[str, Stored]], object], name: str = MODEL) -> Break:
    """A well-formed file of other tensors."""

    def broken(path: Path) -> None:
        found = read(path / name)
        change(found)
        write(path / name, found)

    return broken


def extra(name: str) -> Break:
    """A tensor too many, of this name."""
    return tensors(lambda found: found.update({name: Stored("U8", (1,), b"x")}))


def stored(name: str, tensor: Stored, file: str = MODEL) -> Break:
    """Another tensor under a name."""
    return tensors(lambda found: found.update({name: tensor}), file)


# ---- JSON


def config(**said: Any) -> Break:
    """A config.json that says something else; `...` takes a key away."""
    return document(CONFIG, said)


def document(name: str, said: Mapping[str, Any]) -> Break:
    """A JSON file that says something else."""

    def change(data: bytes) -> bytes:
        changed = {**json.loads(data), **said}
        kept = {key: value for key, value in changed.items() if value is not ...}
        return json.dumps(kept).encode()

    return content(name, change)


def shard_of(**files: Any) -> Break:
    """An index that says other files for some tensors; None says none. `_` in a name stands for a dot."""

    def change(data: bytes) -> bytes:
        found = json.loads(data)
        weight_map = found["weight_map"]
        weight_map |= {name.replace("_", "."): file for name, file in files.items()}
        found["weight_map"] = {k: v for k, v in weight_map.items() if v is not ...}
        return json.dumps(found).encode()

    return content(INDEX, change)


def deep(depth: int) -> str:
    """Lists in lists, closed."""
    return "[" * depth + "]" * depth
