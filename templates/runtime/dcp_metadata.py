"""The `.metadata` of a torch.distributed checkpoint: which tensors there are, and where their chunks lie.

It is a pickle, read as data: its classes are not imported, and only those of torch's own format mean something.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .errors import ConversionError
from .nested_torch import is_known_name
from .source_files import open_regular
from .stored import FileIdentity
from .torch_pickle import Foreign, Foreigns, StateDict, are_numbers, read_pickle
from .values import STORED_DTYPES

METADATA_FILE = ".metadata"
METADATA_LIMIT = 1 << 28  # bytes; a chunk takes 200 of them
PACKAGE = "torch.distributed.checkpoint."  # its plans stand in the metadata, too
CLASSES = f"{PACKAGE}metadata"
STORAGE_INFO = f"{PACKAGE}filesystem._StorageInfo"
# What Megatron calls its metadata, which say more of the optimizer.
EXTENDED = "megatron.core.dist_checkpointing.strategies.torch.MCoreMetadata"
# What stands behind the name of one part of many of what is no tensor.
SHARD = "/shard_"


class DcpChunk(NamedTuple):
    """A box of a tensor, and the bytes of a file that hold it."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    file: str
    begin: int
    length: int


class DcpTensor(NamedTuple):
    """A tensor as the metadata say. Nothing has been checked but that a chunk is within its shape."""

    dtype: str
    shape: tuple[int, ...]
    chunks: tuple[DcpChunk, ...]


class Recorded(Foreign):
    """What stands for an object of a class of the format: `state` is what it was given."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        """Keep it."""
        self.state = state


class PairedDict(StateDict):
    """A dictionary that keeps what has something else than a name for its key."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[Any, Any]] = []

    def __setitem__(self, key: Any, value: Any) -> None:
        """Add an entry."""
        if isinstance(key, Recorded):
            self.pairs.append((key, value))
        else:
            super().__setitem__(key, value)


class DcpNames(Foreigns):
    """The names of the format."""

    codes = "EMPTY_SET ADDITEMS FROZENSET BINUNICODE8 BINBYTES8"
    most = 1 << 25
    make_dict = PairedDict

    def __init__(self) -> None:
        self._classes: dict[str, Any] = {}

    def find(self, name: str) -> Any:
        """A class of the format, a size, or None."""
        if name == "torch.Size":
            return self.size
        name = f"{CLASSES}.Metadata" if name == EXTENDED else name
        if not name.startswith(f"{CLASSES}.") and name != STORAGE_INFO:
            return None
        return self._classes.setdefault(name, type(name, (Recorded,), {}))

    def size(self, items: Any = ()) -> Any:
        """A shape is the tuple of its sizes."""
        return items


def read_metadata(path: str) -> tuple[dict[str, DcpTensor], list[str], FileIdentity]:
    """The tensors of a checkpoint by name, the names of what is none, and which file it was.

    Raises ConversionError where the file is anything but the metadata of a checkpoint.
    """
    descriptor, seen = open_regular(path)
    with open(descriptor, "rb") as file:
        if seen.size > METADATA_LIMIT:
            raise ConversionError(
                f"{path}: expected at most {METADATA_LIMIT} bytes, found {seen.size}"
            )
        text = file.read(METADATA_LIMIT)
    try:
        found, foreign = read_pickle(text, DcpNames())
    except ValueError as error:
        raise _no_metadata(path, f"found in its pickle {error}") from None
    except Exception:  # noqa: BLE001
        raise _no_metadata(path, "found a pickle that is cut off or broken") from None
    for name in foreign:
        if not name.startswith(PACKAGE) and not is_known_name(name):
            raise _no_metadata(path, f"found {name} in it, which is not run")
    try:
        tensors, others = _tensors_of(path, found)
    except ConversionError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _no_metadata(path, "found a pickle of something else") from None
    return tensors, others, seen


def _no_metadata(path: str, found: str) -> ConversionError:
    return ConversionError(
        f"{path}: expected the metadata of a torch.distributed checkpoint, {found}"
    )


def _tensors_of(path: str, found: Any) -> tuple[dict[str, DcpTensor], list[str]]:
    """What the metadata say; KeyError and the like where they are none."""
    places = _places(path, _state(found, "Metadata")["storage_data"])
    tensors, others = dict[str, DcpTensor](), dict[str, None]()
    for name, entry in _state(found, "Metadata")["state_dict_metadata"].items():
        if _class_of(entry) == "BytesStorageMetadata":
            others[str(name).partition(SHARD)[0]] = None
            continue
        state = _state(entry, "TensorStorageMetadata")
        dtype, shape = state["properties"].state[0], state["size"]
        where = f"{path}: {name}"
        if not isinstance(name, str) or not are_numbers(shape):
            raise ValueError(where)
        if not isinstance(dtype, str) or dtype not in STORED_DTYPES:
            others[name] = None
            continue
        chunks = tuple(
            _chunk(where, _state(chunk, "ChunkStorageMetadata"), name, shape, places)
            for chunk in state["chunks"]
        )
        tensors[name] = DcpTensor(dtype, shape, chunks)
    return tensors, list(others)


def _class_of(found: Any) -> str:
    return type(found).__name__.removeprefix(f"{CLASSES}.")


def _state(found: Any, kind: str) -> Any:
    if not isinstance(found, Recorded) or _class_of(found) != kind:
        raise ValueError(f"no {kind}")
    return found.state


def _places(
    path: str, storage: PairedDict
) -> dict[tuple[Any, Any], tuple[str, int, int]]:
    """The file and the bytes of every chunk, by the name of its tensor and its offsets."""
    places: dict[tuple[Any, Any], tuple[str, int, int]] = {}
    for key, value in storage.pairs:
        index = _state(key, "MetadataIndex")
        name, offsets = index["fqn"], index.get("offset")
        if not isinstance(name, str) or not (offsets is None or are_numbers(offsets)):
            raise ValueError("no index")
        info = _state(value, STORAGE_INFO)
        place = info["relative_path"], info["offset"], info["length"]
        if not isinstance(place[0], str) or not are_numbers(place[1:]):
            raise ValueError("no place")
        if info.get("transform_descriptors"):
            raise ConversionError(
                f"{path}: {name}: expected bytes as they are, found them transformed; save without extensions"
            )
        if (name, offsets) in places and offsets is not None:
            raise ConversionError(
                f"{path}: {name}: expected one chunk at {list(offsets)}, found two"
            )
        places[name, offsets] = place
    return places


def _chunk(
    where: str,
    chunk: Any,
    name: str,
    shape: tuple[int, ...],
    places: dict[tuple[Any, Any], tuple[str, int, int]],
) -> DcpChunk:
    offsets, sizes = chunk["offsets"], chunk["sizes"]
    if not are_numbers(offsets) or not are_numbers(sizes):
        raise ValueError(where)
    inside = len(offsets) == len(sizes) == len(shape) and all(
        first + count <= size for first, count, size in zip(offsets, sizes, shape)
    )
    if not inside:
        raise ConversionError(
            f"{where}: expected chunks of {list(shape)}, found one of {list(sizes)} at {list(offsets)}"
        )
    place = places.get((name, offsets))
    if place is None:
        raise ConversionError(
            f"{where}: expected to be told where the chunk at {list(offsets)} is stored, found nothing"
        )
    return DcpChunk(offsets, sizes, *place)
