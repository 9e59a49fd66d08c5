"""The pickle in a file of torch.save, read as data: nothing that it names is imported, and nothing is run.

A name that a dictionary of tensors needs stands for a few lines here, every other one for a `Foreign` that does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .values import STORED_DTYPES

# What torch calls the dtypes: of a tensor, and of the storage that it is a view of.
DTYPES = {f"torch.{spelled}": dtype for dtype, (_, spelled) in STORED_DTYPES.items()}
STORAGES = {
    "torch.BoolStorage": "BOOL",
    "torch.ByteStorage": "U8",
    "torch.CharStorage": "I8",
    "torch.ShortStorage": "I16",
    "torch.HalfStorage": "F16",
    "torch.BFloat16Storage": "BF16",
    "torch.IntStorage": "I32",
    "torch.FloatStorage": "F32",
    "torch.LongStorage": "I64",
    "torch.DoubleStorage": "F64",
    "torch.ComplexFloatStorage": "C64",
    "torch.storage.UntypedStorage": "U8",
}


# What torch.save pickles with; other codes take memory as they please, or make what cannot be a tensor.
CODES = (
    "PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT "
    "BINUNICODE SHORT_BINUNICODE BINBYTES SHORT_BINBYTES SHORT_BINSTRING BINSTRING EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 "
    "TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS GLOBAL STACK_GLOBAL REDUCE NEWOBJ BUILD BINPERSID "
    "BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET"
)
MOST_CODES = 1 << 22  # 120,000 tensors take as many; each may take 200 bytes of memory
MOST_FOREIGN = 1000  # names; each takes a kilobyte


class TorchStorage(NamedTuple):
    """The record of the file that holds the elements of tensors, as the pickle says."""

    dtype: Any
    key: str
    elements: int


class TorchView(NamedTuple):
    """A tensor as the pickle says: elements of a storage. Nothing has been checked."""

    dtype: Any
    storage: Any
    offset: Any  # in elements, as the strides are
    shape: Any
    strides: Any


class Foreign:
    """What stands for a thing that is not known here: it may be made and called, and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        """Take anything."""

    def __setstate__(self, state: Any) -> None:
        """Take anything."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Take anything."""

    def append(self, item: Any) -> None:
        """Take anything."""

    extend = append


class StateDict(dict[Any, Any]):
    """A dictionary with names for keys, each once; hashing what else a pickle has for them could take for ever.

    `odd` is the first kind of such a key, whose entries are left out.
    """

    odd = ""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Add an entry; ValueError where it stands there."""
        if type(key) is not str and not (type(key) is int and abs(key) < 2**63):
            self.odd = self.odd or type(key).__name__
            return
        if key in self:
            raise ValueError(f"`{key}`, which stands there twice")
        super().__setitem__(key, value)

    def __setstate__(self, state: Any) -> None:
        """What torch notes beside the tensors is not needed."""


class _Codes(dict[int, Any]):
    """What each code of a pickle does; ValueError for all others, and where there are too many."""

    left = most = MOST_CODES

    def __getitem__(self, code: int) -> Any:
        """What a code does."""
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"more than {self.most} codes")
        return super().__getitem__(code)

    def __missing__(self, code: int) -> Any:
        raise ValueError(f"the code {code}, with which torch does not pickle")


class Foreigns:
    """What the names in a pickle stand for that no tensor has: nothing, unless a reader of other pickles says more."""

    codes = ""  # that such a pickle has besides
    most = MOST_CODES
    make_dict: Callable[[], Any] = StateDict

    def find(self, name: str) -> Any:
        """What a name stands for; None for nothing."""
        return None


def read_pickle(text: bytes, foreigns: Foreigns | None = None) -> tuple[Any, list[str]]:
    """What is pickled: StateDicts, lists, numbers, texts, TorchViews, Foreigns; and the names that are not known here.

    Raises whatever its bytes lead into.
    """
    import io
    import pickle

    # The reader that is written in Python: the other one takes as much memory as a pickle says.
    plain: Any = pickle._Unpickler
    foreigns = foreigns or Foreigns()
    names = f"{CODES} {foreigns.codes}".split()
    codes = {name: getattr(pickle, name)[0] for name in names}
    reader = plain(io.BytesIO(text))
    reader.dispatch = _Codes({code: plain.dispatch[code] for code in codes.values()})
    reader.dispatch.left = reader.dispatch.most = foreigns.most
    make_dict = foreigns.make_dict
    reader.dispatch[codes["EMPTY_DICT"]] = lambda own: own.append(make_dict())
    known = _Names(foreigns)
    reader.find_class = known.find
    reader.persistent_load = _storage
    return reader.load(), known.foreign


def _storage(found: Any) -> TorchStorage:
    what, dtype, key, _, count = _five(found)
    if what != "storage" or type(key) is not str or not are_numbers((count,)):
        raise ValueError("no storage where a record is named")
    return TorchStorage(dtype, key, count)


def _five(found: Any) -> tuple[Any, ...]:
    """What names a storage: five things; nothing where it is something else."""
    return found if isinstance(found, tuple) and len(found) == 5 else ("",) * 5


def are_numbers(found: Any) -> bool:
    """Whether something is a tuple of counts."""
    return isinstance(found, tuple) and all(
        type(one) is int and 0 <= one < 2**63 for one in found
    )


def _foreign(name: str) -> type[Foreign]:
    return type(name, (Foreign,), {})


class _Names:
    """What the names in one pickle stand for. Bound methods, since a pickle could change functions and classes."""

    def __init__(self, foreigns: Foreigns) -> None:
        self.foreign: list[str] = []
        self._foreigns = foreigns

    def find(self, module: str, name: str) -> Any:
        """What a name stands for, whatever the pickle does with it."""
        full = f"{module}.{name}"
        known: dict[str, Callable[..., Any]] = {
            "collections.OrderedDict": self.ordered,
            "torch._utils._rebuild_tensor_v2": self.tensor,
            "torch._utils._rebuild_tensor_v3": self.tensor,
            "torch._utils._rebuild_parameter": self.first,
            "torch._utils._rebuild_parameter_with_state": self.first,
            "torch._tensor._rebuild_from_type_v2": self.typed,
        }
        found = known.get(full) or STORAGES.get(full) or DTYPES.get(full)
        found = found or self._foreigns.find(full)
        if found is None:
            if len(self.foreign) == MOST_FOREIGN:
                raise ValueError(
                    f"{full}, and {MOST_FOREIGN} names before it that no tensor has"
                )
            self.foreign.append(full)
            return _foreign(full)
        return found

    def ordered(self, pairs: Any = ()) -> StateDict:
        """An OrderedDict."""
        made = StateDict()
        for name, value in pairs:
            made[name] = value
        return made

    def tensor(
        self, storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any
    ) -> Any:
        """A tensor: `rest` is whether it has a gradient, hooks, perhaps its dtype, and what has been put off."""
        dtypes = [one for one in rest[2:3] if isinstance(one, str)]
        if any(rest[2 + len(dtypes) :]):
            return _foreign("a tensor to be conjugated or negated")()
        dtype = dtypes[0] if dtypes else storage.dtype
        return TorchView(dtype, storage, offset, shape, strides)

    def first(self, tensor: Any, *_: Any) -> Any:
        """A parameter is its tensor."""
        return tensor

    def typed(self, make: Any, kind: Any, arguments: Any, _: Any) -> Any:
        """A tensor with attributes of its own, or of a class of its own."""
        is_plain = getattr(make, "__self__", None) is self
        return make(*arguments) if is_plain else kind
