"""Files of torch.save that hold a state of training: the tensors of its `model`, and nothing else of it.

What stands beside them, arguments, optimizer, random numbers, may name the classes that are listed here and those of
the packages that train. They are made of nothing and run nothing; a file that names anything else is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .checks import NO_TENSOR
from .errors import ConversionError
from .stored import StoredTensor
from .torch_files import (
    TorchRecords,
    check_foreign,
    kind_found,
    read_records,
    torch_tensors,
)
from .torch_pickle import Foreign, StateDict, TorchView

MODEL = "model"  # where the tensors stand
CHUNK_NAME = re.compile(rf"{MODEL}(0|[1-9]\d?)")  # where those of a virtual stage stand
PACKAGES = ("megatron", "transformer_engine")
TYPES = "bool bytearray bytes complex dict float frozenset int list object set slice str tuple"
KNOWN = (
    "argparse.Namespace types.SimpleNamespace collections.deque collections.defaultdict "
    "_codecs.encode _io.BytesIO io.BytesIO copy_reg._reconstructor copyreg._reconstructor "
    "pathlib.PosixPath pathlib.PurePosixPath pathlib._local.PosixPath signal.Signals "
    "datetime.datetime datetime.timedelta "
    "torch.Size torch.device torch.complex128 torch.serialization._get_layout "
    "numpy.ndarray numpy.dtype numpy.core.multiarray._reconstruct numpy.core.multiarray.scalar "
    "numpy._core.multiarray._reconstruct numpy._core.multiarray.scalar"
)


def read_nested_file(path: str) -> dict[str, StoredTensor]:
    """The tensors of the `model` in a file, by name; what is none among them has the dtype NO_TENSOR.

    Raises ConversionError where a file is anything but a state with a model, or names what it need not.
    """
    file = read_records(path)
    check_foreign(file, is_known_name)
    model = _model_of(file)
    views = StateDict()
    views.odd = model.odd
    others: dict[str, StoredTensor] = {}
    for name, value in model.items():
        if isinstance(name, str) and (value is None or isinstance(value, Foreign)):
            others[name] = StoredTensor(NO_TENSOR, (), path, 0, 0, None, file.seen)
        else:
            views[name] = value
    return {**torch_tensors(file, views), **others}


def is_known_name(name: str) -> bool:
    """Whether a state of training may name something that is made of nothing here."""
    module, _, rest = name.rpartition(".")
    if module in ("builtins", "__builtin__"):
        return rest in TYPES.split()
    return name in KNOWN.split() or name.partition(".")[0] in PACKAGES


def _model_of(file: TorchRecords) -> StateDict:
    """The dictionary of tensors in a state of training; of chunks of a model, all names behind that of their chunk."""
    state = file.pickled
    found = state.get(MODEL) if isinstance(state, StateDict) else state
    if isinstance(found, StateDict):
        return found
    if found is None and isinstance(state, StateDict) and _chunks_in(state):
        return _joined(_chunks_in(state))
    what = kind_found(found)
    if found is None and isinstance(state, StateDict):
        names = [str(key) for key in state][:3]
        what = f"one that has {', '.join(names) or 'nothing'}"
        if any(isinstance(value, TorchView) for value in state.values()):
            what = "the tensors themselves"
    raise ConversionError(
        f"{file.path}: expected a dictionary whose `{MODEL}` is one of tensors, found {what}"
    )


def _chunks_in(state: StateDict) -> list[StateDict]:
    """The chunks of a model, as virtual stages have them: `model0`, `model1` and so on; none where one is missing."""
    named = [key for key in state if isinstance(key, str) and CHUNK_NAME.fullmatch(key)]
    chunks = [state.get(f"{MODEL}{number}") for number in range(len(named))]
    found = [chunk for chunk in chunks if isinstance(chunk, StateDict)]
    return found if len(found) == len(chunks) else []


def _joined(chunks: list[StateDict]) -> StateDict:
    """The tensors of all chunks, each name behind that of its chunk."""
    found = StateDict()
    for number, chunk in enumerate(chunks):
        found.odd = found.odd or chunk.odd
        for name, value in chunk.items():
            if isinstance(name, str):
                found[f"{MODEL}{number}.{name}"] = value
            else:
                found.odd = found.odd or type(name).__name__
    return found


def models_of(tensors: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The models of a state: one, or the chunks that all names begin with, those between them too."""
    parts = {name: name.partition(".") for name in tensors}
    if not parts or not all(CHUNK_NAME.fullmatch(part[0]) for part in parts.values()):
        return {MODEL: dict(tensors)}
    most = max(int(part[0].removeprefix(MODEL)) for part in parts.values())
    models: dict[str, dict[str, Any]] = {f"{MODEL}{n}": {} for n in range(most + 1)}
    for name, (chunk, _, rest) in parts.items():
        models[chunk][rest] = tensors[name]
    return models
