"""What Megatron-Core 0.16.1 asks of a GPU that a model on gloo can do without.

- The rotary embedding moves its table to `torch.cuda.current_device()`.
- Attention draws its dropout, of probability 0 here, from a generator of the GPU.
- The router asks whether there is TransformerEngine by a name that it only defines where there is.
"""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch


def without_gpu(tensor_parallel: Any, moe_utils: Any) -> None:
    """Let models of this process run on the CPU; these are modules of Megatron-Core."""
    if not hasattr(moe_utils, "te_general_gemm"):
        moe_utils.te_general_gemm = None
    if not torch.cuda.is_available():
        torch.cuda.current_device = lambda: "cpu"  # type: ignore[assignment,return-value]
        tracker = SimpleNamespace(fork=nullcontext)
        tensor_parallel.get_cuda_rng_tracker = lambda: tracker
