"""Files of torch.save that hold a state of training: the tensors of its `model`, and nothing else of it.

What stands beside them, arguments, optimizer, random numbers, may name the classes that are listed here and those of
the packages that train. They are made of nothing and run nothing; a file that names anything else is refused.
"""

from __future__ import annotations

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
    """The dictionary of tensors in a state of training."""
    state = file.pickled
    found = state.get(MODEL) if isinstance(state, StateDict) else state
    if isinstance(found, StateDict):
        return found
    what = kind_found(found)
    if found is None and isinstance(state, StateDict):
        chunks = [key for key in state if str(key).removeprefix(MODEL).isdigit()]
        names = [str(key) for key in state][:3]
        what = f"one that has {', '.join(names) or 'nothing'}"
        if chunks:
            what = f"{', '.join(map(str, chunks))}, the chunks of virtual stages"
        elif any(isinstance(value, TorchView) for value in state.values()):
            what = "the tensors themselves"
    raise ConversionError(
        f"{file.path}: expected a dictionary whose `{MODEL}` is one of tensors, found {what}"
    )
