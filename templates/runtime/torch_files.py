"""Reading what torch.save wrote (`.bin`, `.pt`): a dictionary of tensors, mapped and never loaded whole.

Only plain data is unpickled (weights_only), and the bytes are taken from the mapped storage as they are.
"""

from __future__ import annotations

import ctypes
from typing import Any

from .errors import ConversionError
from .stored import STORED_DTYPES, StoredTensor, TorchMemory


def read_torch_file(path: str) -> dict[str, StoredTensor]:
    """The tensors of a file, by name. A tensor that is not row-major is copied into memory.

    Raises ConversionError where the file is anything but a dictionary of dense tensors.
    """
    tensors = _load(path)
    if not isinstance(tensors, dict):
        raise ConversionError(
            f"{path}: expected a dictionary of tensors, found {type(tensors).__name__}"
        )
    return {
        name: _mapped_tensor(path, name, tensor) for name, tensor in tensors.items()
    }


def held_memory(tensors: dict[str, StoredTensor]) -> int:
    """The bytes of the tensors that are copied into memory."""
    return sum(
        t.size for t in tensors.values() if t.memory is not None and not t.memory.mapped
    )


def _load(path: str) -> Any:
    try:
        import torch
    except ImportError:
        raise ConversionError(
            f"{path}: reading a file of torch.save needs torch, which is not installed; "
            "install it, or save the checkpoint as safetensors"
        ) from None
    try:
        return torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except OSError:
        raise
    # torch raises whatever the bytes lead it into.
    except Exception as error:  # noqa: BLE001
        reason = str(error).strip().split("\n")[0]
        raise ConversionError(
            f"{path}: expected a zip file of plain tensors, torch.load refuses it: {reason}"
        ) from None


def _mapped_tensor(path: str, name: Any, tensor: Any) -> StoredTensor:
    import torch

    if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
        raise ConversionError(
            f"{path}: {name}: expected a name and a tensor, found {type(tensor).__name__}; "
            "save a flat dictionary of tensors"
        )
    dtypes = {
        getattr(torch, spelled, None): dtype
        for dtype, (_, spelled) in STORED_DTYPES.items()
    }
    if tensor.layout != torch.strided or tensor.dtype not in dtypes:
        raise ConversionError(
            f"{path}: {name}: expected a dense tensor of a plain dtype, found {tensor.dtype}, {tensor.layout}"
        )
    mapped = tensor.is_contiguous() and not tensor.is_conj() and not tensor.is_neg()
    if not mapped:
        tensor = tensor.resolve_conj().resolve_neg().contiguous()
    size = tensor.numel() * tensor.element_size()
    memory = TorchMemory(_bytes_at(tensor.data_ptr(), size), tensor, mapped)
    return StoredTensor(
        dtypes[tensor.dtype], tuple(tensor.shape), path, 0, size, memory
    )


def _bytes_at(address: int, size: int) -> memoryview:
    if size == 0:
        return memoryview(b"")
    return memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B")
