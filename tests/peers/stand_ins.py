"""What Megatron-Core 0.16.1 and Megatron-Bridge 0.3.1 ask of a GPU machine that a model on gloo can do without.

- The rotary embedding moves its table to `torch.cuda.current_device()`.
- Attention draws its dropout, of probability 0 here, from a generator of the GPU.
- The router asks whether there is TransformerEngine by a name that it only defines where there is.
- The bridge imports TransformerEngine and triton for classes that no model here has.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

ABSENT = ("transformer_engine", "transformer_engine_torch", "triton")


def without_gpu(tensor_parallel: Any, moe_utils: Any) -> None:
    """Let models of this process run on the CPU; these are modules of Megatron-Core."""
    if not hasattr(moe_utils, "te_general_gemm"):
        moe_utils.te_general_gemm = None
    if not torch.cuda.is_available():
        torch.cuda.current_device = lambda: "cpu"  # type: ignore[assignment,return-value]
        tracker = SimpleNamespace(fork=nullcontext)
        tensor_parallel.get_cuda_rng_tracker = lambda: tracker


class Anything(type):
    """A class whose attributes are such classes."""

    def __getattr__(cls, name: str) -> Any:
        return _named(name)


def _named(name: str) -> Any:
    """A class to inherit from, or a decorator that leaves a function as it is."""
    if name.startswith("__"):
        raise AttributeError(name)
    decorates: dict[str, Callable[..., Any]] = {
        "__init__": lambda self, *given, **named: None,
        "__call__": lambda self, decorated: decorated,
    }
    return Anything(name, (), decorates)


class Absent:
    """Finds modules that are not installed; everything in them is there and does nothing."""

    def find_spec(self, name: str, *more: Any) -> ModuleSpec | None:
        known = name.partition(".")[0] in ABSENT
        return ModuleSpec(name, self, is_package=True) if known else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name)
        module.__dict__["__getattr__"] = _named
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to do."""


def without_engine() -> None:
    """To be called when Megatron-Core is imported, which does without where it finds none."""
    sys.meta_path.append(Absent())
